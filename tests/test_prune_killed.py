"""A kill while outdated rows are removed from Parquet, at every step: a next run finds each row that stays once."""

import shutil
from pathlib import Path

import pytest

from blip_udfs.files.once import ONCE
from blip_udfs.job import increment
from blip_udfs.job.tables import Tables, ddl, names

TABLE = "pruned_embeddings"
TABLES = Tables(ONCE)
ROW = ddl(TABLES.row)
PLACES = [("s1", "b1"), ("s1", "b2"), ("s2", "b1"), ("s2", "b3")]


class KilledError(Exception):
    """In place of a process that ends."""


@pytest.fixture
def table(spark):
    spark.sql(f"DROP TABLE IF EXISTS {TABLE}")
    spark.sql(f"CREATE TABLE {TABLE} ({ROW}) USING parquet PARTITIONED BY (sequence_id, batch)")
    values = {"model": "m", "version": 1}
    rows = [
        values | {"image": f"{sequence}{batch}{number}", "sequence_id": sequence, "batch": batch}
        for sequence, batch in PLACES
        for number in range(4)
    ]
    increment.overwrite(spark.createDataFrame(rows, ROW), TABLE)
    yield TABLE
    spark.sql(f"DROP TABLE IF EXISTS {TABLE}")


def outdated(spark):
    """One row of each place, and all of the last."""
    return spark.table(TABLE).where("image LIKE '%0' OR batch = 'b3'").select(*increment.keep(TABLES))


def images(spark) -> list[str]:
    spark.catalog.refreshTable(TABLE)
    return sorted(row.image for row in spark.table(TABLE).collect())


WHOLE = sorted(f"{sequence}{batch}{number}" for sequence, batch in PLACES for number in range(4))
REMAINING = [image for image in WHOLE if "b3" not in image and not image.endswith("0")]


def test_undisturbed(spark, table):
    assert increment.remove(spark, TABLES, TABLE, outdated(spark)) == 7
    assert images(spark) == REMAINING
    assert not Path(increment.pruning(spark, TABLE).removeprefix("file:")).exists()


def test_a_kill_before_all_is_written_changes_nothing(spark, table, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(increment, "hadoop", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            increment.remove(spark, TABLES, TABLE, outdated(spark))
    increment.finish(spark, TABLE)
    assert images(spark) == WHOLE


@pytest.mark.parametrize("deleted", range(len(PLACES) + 1))
def test_a_kill_between_deletion_and_renaming_loses_no_row(spark, table, monkeypatch, deleted):
    """Spark deletes a place's folder and then renames the new one: here it deleted so many and renamed none."""
    with monkeypatch.context() as patched:
        patched.setattr(increment, "put_in_place", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            increment.remove(spark, TABLES, TABLE, outdated(spark))
    folder = Path(increment.described(spark, TABLE)["Location"].removeprefix("file:"))
    for sequence, batch in PLACES[:deleted]:
        shutil.rmtree(folder / f"sequence_id={sequence}" / f"batch={batch}")
    increment.finish(spark, TABLE)
    assert images(spark) == REMAINING
    increment.finish(spark, TABLE)
    assert images(spark) == REMAINING


@pytest.mark.parametrize("step", ["overwrite", "delete"])
def test_a_kill_after_the_places_are_replaced_loses_no_row(spark, table, monkeypatch, step):
    real = increment.overwrite

    def overwrite_and_end(rows, name):
        real(rows, name)
        raise KilledError

    def put_and_end(*words, real=increment.put_in_place):
        real(*words)
        raise KilledError

    with monkeypatch.context() as patched:
        ends = ("overwrite", overwrite_and_end) if step == "overwrite" else ("put_in_place", put_and_end)
        patched.setattr(increment, *ends)
        with pytest.raises(KilledError):
            increment.remove(spark, TABLES, TABLE, outdated(spark))
    increment.finish(spark, TABLE)
    assert images(spark) == REMAINING
    assert names(TABLES.row) == spark.table(TABLE).columns
