"""Saved sentences over three nights, with a kill: what is found is what a search of all finds, and none of it twice."""

import random
import subprocess
import time
from pathlib import Path

import pytest

from blip_udfs import embed, search, watch
from blip_udfs.job import increment
from blip_udfs.results import watch as module
from tests.killed import COMMAND, Run
from tests.plans import evaluations
from tests.planted import noise, write

SENTENCES = {"bus": "a bus", "night": "a truck at night", "rain": "rain", "car": "a car", "it's": "a tunnel"}
BEST, BOTH = ("rain", "car"), "it's"  # two of each call; four of those above a score; of the others all above one
FEW = 24  # images of a night, in two batches
TABLE, INTO, QUERIES = "watched_embeddings", "watched_found", "watched_sentences"


def night(root: Path, number: int, images: int) -> Path:
    """A drive of images that came in."""
    for frame in range(images):
        file = root / "data" / f"{number:06d}" / "cam01" / f"{1_616_000_000_000 + frame}.jpg"
        write(file, noise(1000 * number + frame))
    return root


@pytest.fixture
def told(tmp_path):
    """The command that is told a number, and the numbers that it was told."""
    file = tmp_path / "told"
    return f"sh -c 'echo $0 >> {file}'", lambda: list(map(int, file.read_text().split())) if file.exists() else []


@pytest.fixture
def arrive(spark, use_model, tmp_path):
    yield lambda number: embed(spark, str(night(tmp_path / "once", number, FEW)), TABLE, images_per_trigger=FEW // 2)
    for name in (TABLE, INTO):
        spark.sql(f"DROP TABLE IF EXISTS {name}")
    spark.sql("DROP VIEW IF EXISTS watched_search")


def save(spark, rows: dict[str, list]) -> list[tuple]:
    """The sentences with a score between those of two rows, a third of the way down, where they want one."""
    saved = []
    for name, sentence in SENTENCES.items():
        third = len(rows[name]) // 3
        least = (rows[name][third].score + rows[name][third - 1].score) / 2 if name not in BEST else None
        saved.append((sentence, name, least, 2 if name in BEST else 4 if name == BOTH else None))
    columns = "sentence STRING, name STRING, min_score DOUBLE, k INT"
    spark.createDataFrame(saved, columns).createOrReplaceTempView(QUERIES)
    return saved


def every(table) -> dict[str, list]:
    """All rows by their score for each sentence, by a search of its own."""
    columns = ["image", "sequence_id", "score"]
    return {
        name: search(table, text, k=10_000, candidates=0).select(*columns).collect() for name, text in SENTENCES.items()
    }


def wanted(rows: dict[str, list], saved: list[tuple], calls: list[int]) -> set[tuple[str, str]]:
    """(name, image) that the sentences want of the rows, of which those of each night came to one of the calls."""
    out = set()
    for _, name, least, most in saved:
        passed = [row for row in rows[name] if least is None or row.score >= least]
        for call in set(calls):
            own = [row.image for row in passed if calls[int(row.sequence_id)] == call]
            out |= {(name, image) for image in own[:most]}
    return out


STAGES = [
    pytest.param(stage, marks=pytest.mark.endurance) for stage in (increment.WHOLE, "overwrite", "tell", module.TOLD)
]


@pytest.mark.slow
@pytest.mark.parametrize("stage", [module.FOUND, *STAGES])
def test_three_nights_and_a_kill(spark, arrive, told, monkeypatch, stage):
    command, numbers = told
    arrive(0)
    saved = save(spark, every(spark.table(TABLE)))
    first = watch(spark, QUERIES, TABLE, INTO, candidates=0, notify=command)
    arrive(1)
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        kill_before(killed, stage)
        watch(spark, QUERIES, TABLE, INTO, candidates=0, notify=command)
    arrive(2)
    second = watch(spark, QUERIES, TABLE, INTO, candidates=0, notify=command)
    assert watch(spark, QUERIES, TABLE, INTO, candidates=0, notify=command) == module.Watched(0, 5, 0)
    assert (first.batches, second.batches) == (2, 4)
    found = [(row["query"], row.image) for row in spark.table(INTO).collect()]
    calls = [0, 1, 1] if stage == increment.WHOLE else [0, 1, 2]  # half a plan is none
    assert len(found) == len(set(found)) == first.found + second.found
    assert set(found) == wanted(every(spark.table(TABLE)), saved, calls)
    again = stage == module.TOLD
    assert numbers()[0] == first.found and sum(numbers()[1:]) - (numbers()[1] if again else 0) == second.found
    assert len(numbers()) == (2 if stage == increment.WHOLE else 4 if again else 3)


def kill_before(monkeypatch, stage: str) -> None:
    """The process ends before a stage: what is on the disk is what a kill there leaves."""

    def end(*_):
        raise KeyboardInterrupt

    if stage == "overwrite":
        monkeypatch.setattr(increment, "overwrite", end)
    elif stage == "tell":
        monkeypatch.setattr(module, "tell", end)
    else:
        mark = module.Watch.mark
        monkeypatch.setattr(module.Watch, "mark", lambda *words: end() if words[-1] == stage else mark(*words))


def test_a_night_later_only_new_rows_are_scored_and_new_sentences_searched_for(spark, arrive, monkeypatch):
    arrive(0)
    one = {"bus": "a bus"}
    assert watch(spark, one, TABLE, INTO, k=3, candidates=8) == module.Watched(2, 1, 3)
    columns = [each for each in spark.table(TABLE).columns if each not in module.UNSHOWN]
    assert spark.table(INTO).columns == [*columns, "query", "rank", "score", "run"]
    arrive(1)
    scored, found = [], module.Watch.found
    monkeypatch.setattr(module.Watch, "found", lambda *words: counted(found(*words), scored))
    assert watch(spark, one | {"car": "a car"}, TABLE, INTO, k=3, candidates=8) == module.Watched(2, 2, 6)
    table = spark.table(TABLE)
    own = {name: search(table, text, 3, 8, where="sequence_id = '000001'") for name, text in SENTENCES.items()}
    of_night = spark.table(INTO).where("sequence_id = '000001'").orderBy("query", "rank").collect()
    for name in ("bus", "car"):
        rows = [(row.image, row.model, pytest.approx(row.score, abs=1e-5)) for row in own[name].collect()]
        assert [(row.image, row.model, row.score) for row in of_night if row["query"] == name] == rows
    assert {row["query"] for row in spark.table(INTO).where("sequence_id = '000000'").collect()} == {"bus"}
    assert 8 <= scored[0] <= 16  # each image of two times eight candidates once


def counted(df, scored: list[int]):
    scored.append(evaluations(df, "try_blip_together")[1])
    return df


def test_a_command_that_fails_is_run_again_and_nothing_is_searched_again(spark, arrive, told, monkeypatch):
    command, numbers = told
    arrive(0)
    one = {"bus": "a bus"}
    for words, message in (
        ("false", "notify: false 10: it ended with 1; what was found"),
        ("/nowhere/x", "No such file"),
    ):
        with pytest.raises(ValueError, match=message):
            watch(spark, one, TABLE, INTO, notify=words)
        monkeypatch.setattr(module.Watch, "found", None)
    assert watch(spark, one, TABLE, INTO, notify=command) == module.Watched(2, 1, 10)
    assert watch(spark, one, TABLE, INTO, notify=command) == module.Watched(0, 1, 0)
    assert numbers() == [10] and spark.table(INTO).count() == 10


def test_a_batch_of_which_a_killed_trigger_left_a_part_is_searched_once_it_is_whole(spark, arrive):
    """The plan's file of a killed trigger stays; of its rows only some are there."""
    arrive(0)
    (model,) = spark.sql("SELECT blip_model()").first()
    half = spark.table(TABLE).orderBy("batch").first().batch
    plan = f"{increment.job_folder(spark, TABLE, model)}/plan"
    rows = spark.range(FEW // 2 + 1).selectExpr("CAST(1 AS INT) AS version").coalesce(1)
    rows.write.mode("overwrite").parquet(f"{plan}_made")
    (made,) = Path(f"{plan}_made".removeprefix("file:")).glob("*.parquet")
    Path(plan.removeprefix("file:")).mkdir(exist_ok=True)
    file = Path(plan.removeprefix("file:")) / f"{half}.snappy.parquet"
    file.write_bytes(made.read_bytes())
    one = {"bus": "a bus"}
    assert watch(spark, one, TABLE, INTO, k=FEW, candidates=0) == module.Watched(1, 1, FEW // 2)
    assert spark.table(INTO).where(f"image IN (SELECT image FROM {TABLE} WHERE batch = '{half}')").count() == 0
    file.unlink()
    assert watch(spark, one, TABLE, INTO, k=FEW, candidates=0) == module.Watched(1, 1, FEW // 2)
    assert spark.table(INTO).select("image").distinct().count() == FEW


def test_wrong_calls(spark, arrive):
    arrive(0)
    spark.sql("CREATE TEMPORARY VIEW no_job AS SELECT 'a' AS image, array(1F) AS embedding, 'm' AS model")
    spark.sql(f"CREATE TABLE {INTO} (image STRING) USING parquet")
    saved = spark.createDataFrame([("a", "a bus", 0)], "name STRING, sentence STRING, k INT")
    for words, message in (
        (({"a": "a bus"}, "no_job"), "no_job: expected a table that embed keeps, it has no column batch"),
        (
            ({"a": "a bus"}, TABLE, INTO),
            f"table {INTO}: expected the columns frame_id string, .*, run string, it has image string;",
        ),
        (({}, TABLE), "queries: expected one sentence or more, got none"),
        ((saved, TABLE), "k: expected 1 or more rows, got 0 for 'a'"),
        ((saved.drop("name"), TABLE), "queries: expected a name and a sentence, got 'a bus' and 0"),
    ):
        with pytest.raises(ValueError, match=message):
            watch(spark, *words)


@pytest.mark.endurance
def test_the_command_is_killed_over_three_nights_of_200_images(spark, use_model, tiny_model, tmp_path):
    chance, root, found = random.Random(5), tmp_path / "once", tmp_path / "warehouse" / "tables" / "found"
    words = ["--queries", QUERIES, "--candidates", "0", "--model", str(tiny_model)]
    killed = 0
    for number in range(3):
        night(root, number, 200)
        run = Run(tmp_path, "--source", str(root), "--model", str(tiny_model), "--images-per-trigger", "50")
        assert run.process.wait() == 0, (tmp_path / "output").read_text()[-3000:]
        rows = every(spark.read.parquet(str(tmp_path / "warehouse" / "tables" / "once_embeddings")))
        if number == 0:
            saved = save(spark, rows)
            spark.table(QUERIES).write.parquet(str(tmp_path / "saved"))
            made = f"CREATE TABLE {QUERIES} USING parquet LOCATION '{tmp_path / 'saved'}'"
            subprocess.run([COMMAND, "sql", "--warehouse", str(tmp_path / "warehouse"), "-e", made], check=True)
        run = Run(tmp_path, *words, command="watch")
        if number == 1:
            while run.process.poll() is None and len(list(found.glob(f"_watch/*/*/{increment.WHOLE}"))) < 2:
                time.sleep(0.05)
            time.sleep(chance.uniform(0, 4))
            if run.process.poll() is None:
                run.kill_driver()
                killed += 1
        assert run.process.wait() == 0 or number == 1, (tmp_path / "output").read_text()[-3000:]
    got = [(row["query"], row.image) for row in spark.read.parquet(str(found)).collect()]
    assert killed == 1 and len(got) == len(set(got)) and set(got) == wanted(rows, saved, [0, 1, 2])
    print(f"{len(got)} rows found")
