"""Saved sentences over three nights, with a kill: what is found is what a search of all finds, and none of it twice."""

from pathlib import Path

import pytest

from blip_udfs import embed, search, watch
from blip_udfs.saved import watch as module
from tests.planted import noise, write

SENTENCES = {f"s{at}": text for at, text in enumerate(["a bus", "a truck at night", "rain", "a car", "a tunnel"])}
IMAGES = 40  # of a night
STAGES = ["plan", "overwrite", "tell", "mark"]


def night(root: Path, number: int) -> None:
    """A drive of images that came in."""
    for frame in range(IMAGES):
        file = root / "data" / f"{number:06d}" / "cam01" / f"{1_616_000_000_000 + frame}.jpg"
        write(file, noise(1000 * number + frame))


@pytest.fixture
def tables(spark, use_model, tmp_path, request):
    """Names of the table that embed keeps, of that of what is found, and of the saved sentences: of two the best two of
    each night are wanted, of the others what is above a score."""
    table, into, queries = "watched_embeddings", "watched_found", "watched_sentences"
    yield table, into, queries
    for name in (table, into):
        spark.sql(f"DROP TABLE IF EXISTS {name}")
    spark.sql("DROP VIEW IF EXISTS watched_search")


def arrive(spark, root, number, table):
    night(root, number)
    embed(spark, str(root), table, images_per_trigger=16)


def thresholds(spark, table):
    """A score of each sentence that about a third of a night's images are above."""
    out = {}
    for name, sentence in SENTENCES.items():
        rows = search(spark.table(table), sentence, k=IMAGES, candidates=0).select("score").collect()
        out[name] = rows[IMAGES // 3].score
    return out


def wanted(spark, table, least, best, calls):
    """(name, image) that a search of the whole table gives: above the score, or the best of each call's nights."""
    found = set()
    for name, sentence in SENTENCES.items():
        rows = search(spark.table(table), sentence, k=10_000, candidates=0).select("image", "sequence_id", "score")
        nights: dict[int, int] = {}
        for row in rows.collect():
            call = calls[int(row.sequence_id)]
            nights[call] = nights.get(call, 0) + 1
            if nights[call] <= best if name in best_of(name) else row.score >= least[name]:
                found.add((name, row.image))
    return found


def best_of(name):
    return {"s3", "s4"} & {name}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_three_nights_and_a_kill(spark, tables, tmp_path, monkeypatch, stage):
    table, into, queries = tables
    told = tmp_path / "told"
    command = f"sh -c 'echo $0 >> {told}'"
    arrive(spark, tmp_path / "once", 0, table)
    least = thresholds(spark, table)
    rows = [(name, text, None if best_of(name) else least[name], 2) for name, text in SENTENCES.items()]
    spark.createDataFrame(rows, module.ASKED).createOrReplaceTempView(queries)
    counts = [watch(spark, queries, table, into, candidates=0, notify=command).found]
    arrive(spark, tmp_path / "once", 1, table)
    with monkeypatch.context() as killed:
        kill(killed, stage)
        with pytest.raises(KeyboardInterrupt):
            watch(spark, queries, table, into, candidates=0, notify=command)
    arrive(spark, tmp_path / "once", 2, table)
    counts.append(watch(spark, queries, table, into, candidates=0, notify=command).found)
    assert watch(spark, queries, table, into, candidates=0, notify=command).batches == 0
    found = [(row.query, row.image) for row in spark.table(into).collect()]
    expected = wanted(spark, table, least, 2, [0, 1, 1] if stage == "plan" else [0, 1, 2])  # no plan, no call
    assert len(found) == len(set(found)) == len(expected) == sum(counts) and set(found) == expected
    assert told.read_text().split()


def kill(monkeypatch, stage: str) -> None:
    """The process ends before a stage of the run: what is on the disk is what a kill there leaves."""

    def end(*_):
        raise KeyboardInterrupt

    if stage == "overwrite":
        monkeypatch.setattr(module.increment, "overwrite", end)
    elif stage == "tell":
        monkeypatch.setattr(module, "tell", end)
    else:
        mark = module.Watch.mark
        at = module.DONE if stage == "mark" else module.increment.WHOLE
        monkeypatch.setattr(module.Watch, "mark", lambda job, run, what: end() if what == at else mark(job, run, what))
