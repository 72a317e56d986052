"""The embedding job that goes on: what comes in while it runs is embedded once; how it ends."""

import re
import signal
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from blip_udfs import embed
from blip_udfs.cli import main
from tests.embedded import by_image, check, expected
from tests.killed import Run
from tests.planted import START, noise, plant, write

PATIENCE = 240  # seconds in which what is waited for must come


def images_in(events: list[dict]) -> int:
    return sum(event["images"] for event in events if event["event"] == "trigger")


@pytest.mark.endurance
def test_the_command_goes_on_until_sigterm(spark, tiny_model, tmp_path):
    """A tree to which images are added and of which one is changed meanwhile."""
    tree = tmp_path / "once"
    images = plant(tree, sequences=2, frames=5)
    words = ["--source", str(tree), "--model", str(tiny_model), "--master", "local[2]", "--images-per-trigger", "8"]
    job = Run(tmp_path, *words, "--continuous", "1", "--prune")

    def embedded(count: int) -> bool:
        deadline = time.monotonic() + PATIENCE
        while images_in(job.events()) < count and time.monotonic() < deadline and job.process.poll() is None:
            time.sleep(0.2)
        return images_in(job.events()) == count

    assert embedded(20), (tmp_path / "output").read_text()[-3000:]
    added = [images[0].with_name(f"{START + 500 * (50 + frame)}.jpg") for frame in range(9)]
    for number, image in enumerate(added):
        write(image, noise(700 + number))
    assert embedded(29), (tmp_path / "output").read_text()[-3000:]
    write(images[0], noise(800), later=9.0)
    assert embedded(30), (tmp_path / "output").read_text()[-3000:]
    job.process.send_signal(signal.SIGTERM)
    assert job.process.wait(60) == 0, (tmp_path / "output").read_text()[-3000:]
    check(
        by_image(spark.read.parquet(str(tmp_path / "warehouse" / "tables" / "once_embeddings"))),
        expected(tiny_model, [*images, *added]),
    )
    last = job.events()[-1]
    assert (last["event"], last["new"], last["changed"], last["images"], last["pruned"]) == ("finished", 29, 1, 30, 1)
    planned = [event["pending"] for event in job.events() if event["event"] == "planned"]
    assert planned[0] == 20 and sum(planned) == 30 and 0 not in planned


def stored(folder: Path, file: str, numbers: range) -> None:
    """Rows of a table of images, as another program adds them; the third image is broken."""
    for number in numbers:
        write(folder / f"{number}.jpg", b"no image at all" if number == 3 else noise(number))
    paths = [str(folder / f"{number}.jpg") for number in numbers]
    (folder / "rows").mkdir(exist_ok=True)
    rows = pa.table({"n": pa.array(numbers, pa.int64()), "image": pa.array(paths, pa.string())})
    parquet.write_table(rows, folder / "rows" / file)


@pytest.mark.slow
def test_rows_that_another_program_adds(spark, table, tiny_model, tmp_path):
    """There are none at first; of images that change while it runs the view has the newest, and what fails is not
    tried again and again."""
    stored(tmp_path, "none.parquet", range(0))
    spark.read.parquet(str(tmp_path / "rows")).createOrReplaceTempView("added")
    events: list[dict] = []
    seen: Counter[int] = Counter()  # how often it was asked after so many images
    began, view = time.monotonic(), table.replace("_embeddings", "_search")

    def until() -> bool:
        done = images_in(events)
        seen[done] += 1
        if seen[done] == 1 and done in (0, 6, 10):
            {0: one, 6: two, 10: three}[done]()
        if done == 11 and seen[done] > 5:
            seen[-1] = spark.table(view).count()
            return True
        return time.monotonic() - began > PATIENCE

    def one() -> None:
        stored(tmp_path, "first.parquet", range(6))

    def two() -> None:
        stored(tmp_path, "second.parquet", range(6, 10))

    def three() -> None:
        write(tmp_path / "0.jpg", noise(600), later=9.0)

    options = {"key": "n", "images_per_trigger": 3}
    going_on = {"continuous": 0.5, "until": until, "on_event": events.append, "retry_failed": True}
    done = embed(spark, "added", table, **options, **going_on)
    assert (done.new, done.changed, done.images, done.embedded, done.failed) == (10, 1, 11, 10, 1)
    assert seen[-1] == 9
    spark.catalog.refreshTable("added")
    last = embed(spark, "added", table, **options, prune=True)
    assert (last.images, last.failed_before, last.pruned) == (0, 1, 1)
    rows = by_image(spark.table(table))
    (broken,) = rows.pop(str(tmp_path / "3.jpg"))
    assert "of another format" in broken.error
    check(rows, expected(tiny_model, [tmp_path / f"{number}.jpg" for number in range(10) if number != 3]))


@pytest.mark.slow
def test_what_was_planned_is_the_next_runs(spark, table, tiny_model, tmp_path):
    """Told to end after the first trigger, before it has looked once more; and again while it takes up the rest."""
    images = plant(tmp_path, sequences=2, frames=6)
    for at_least in (1, 9):
        events: list[dict] = []
        before = spark.table(table).count() if at_least > 1 else 0
        ending = {"until": lambda at=at_least, own=events, before=before: before + images_in(own) >= at}
        done = embed(spark, str(tmp_path), table, images_per_trigger=4, on_event=events.append, continuous=1, **ending)
        assert done.images < 24 - before and spark.table(table).count() >= at_least
    last = embed(spark, str(tmp_path), table, images_per_trigger=4)
    assert last.new == 0
    check(by_image(spark.table(table)), expected(tiny_model, images))


@pytest.mark.parametrize("options", [{"dry_run": True}, {"continuous": 0}, {"source": None}])
def test_what_it_refuses(spark, options, tmp_path):
    given = {"source": str(tmp_path), "continuous": 1.0} | options
    if given["source"] is None:
        given |= {"source": spark.range(1), "key": "id"}
    said = "continuous: expected a number of seconds above 0, no dry_run, and a tree or a table's or view's name"
    with pytest.raises(ValueError, match=re.escape(said)):
        embed(spark, table="refused_embeddings", **given)


def test_on_the_command_line():
    done = CliRunner().invoke(main, ["embed", "--source", "/data", "--continuous", "0"])
    assert done.exit_code == 2 and "--continuous" in done.output
