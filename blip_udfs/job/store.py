"""A dataset's columns -> the table of its embeddings and the view of its current rows, where they are missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blip_udfs.job import increment
from blip_udfs.job.tables import BATCH, Tables, ddl, names, quoted
from blip_udfs.spark.extension import has_extension

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def create(spark: SparkSession, tables: Tables, table: str, table_format: str, location: str | None) -> None:
    """The table, unless it is there. What a session with another catalog wrote to `location` is found again."""
    if spark.catalog.tableExists(table):
        check(spark, tables, table)
    else:
        is_filled = location is not None and increment.exists(spark, location)
        where = f"LOCATION {increment.literal(location)}" if location else ""
        partitions = ", ".join(map(quoted, tables.place))
        spark.sql(
            f"CREATE TABLE {table} ({ddl(tables.row)}) USING {table_format} PARTITIONED BY ({partitions}) {where}"
        )
        if is_filled and not increment.has_transactions(spark, table):
            spark.sql(f"ALTER TABLE {table} RECOVER PARTITIONS")


def check(spark: SparkSession, tables: Tables, table: str) -> None:
    """Raises ValueError for a table of other columns, of columns of other types, or that holds many triggers' rows in
    one place."""
    there = [f"{quoted(name)} {kind}" for name, kind in spark.table(table).dtypes]
    wanted = [f"{quoted(each.name)} {each.type.lower()}" for each in tables.row]
    if spark.table(table).columns != names(tables.row):
        there, wanted = spark.table(table).columns, names(tables.row)
    if [each.lower() for each in there] != [each.lower() for each in wanted]:
        raise ValueError(
            f"table {table}: expected the columns {', '.join(wanted)}, it has {', '.join(there)}; name another table, "
            "which embed creates"
        )
    if BATCH.name not in (place := increment.place_of(spark, table)):
        raise ValueError(
            f"table {table}: expected to be partitioned by {BATCH.name} among others, so that a trigger that is "
            f"repeated replaces its own rows, it is by {', '.join(place) or 'nothing'}; name another table, which "
            f"embed creates, or of Iceberg ALTER TABLE {table} ADD PARTITION FIELD {BATCH.name}"
        )


def show_current(spark: SparkSession, tables: Tables, table: str) -> None:
    """The view of the table's rows that a search wants: of the session's model, with an embedding, and of images that
    were embedded again only the newest. It lasts where the jar is and the table's catalog keeps views."""
    view = view_of(table)
    identity = [quoted(name) for name in tables.dataset.identity]
    newer = f"(SELECT {', '.join(identity)}, model, version FROM {table} WHERE version > 1)"
    equal = [f"newer.{name} = row.{name}" for name in (*identity, "model")]
    same = " AND ".join([*equal, "newer.version > row.version"])
    replaced = spark.sql(f"SELECT 1 FROM {table} AS row JOIN {newer} AS newer ON {same} LIMIT 1").collect()
    columns = ", ".join(map(quoted, names(tables.searched)))
    rows = (
        f"SELECT /*+ BROADCAST(newer) */ {columns} FROM {table} AS row "
        + (f"LEFT ANTI JOIN {newer} AS newer ON {same} " if replaced else "")
        + "WHERE model = blip_model() AND error IS NULL"
    )
    if not has_extension(spark) or not kept(spark, view, rows):
        spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW {PART.findall(view)[-1]} AS {rows}")


PART = re.compile(r"`(?:[^`]|``)+`|[^.`]+")  # of a name


def view_of(table: str) -> str:
    """a.once_embeddings -> a.once_search, quoted as the table is."""
    mark = "`" if table.endswith("`") else ""
    return f"{table.removesuffix(mark).removesuffix('_embeddings')}_search{mark}"


def kept(spark: SparkSession, view: str, rows: str) -> bool:
    """Makes the view where its catalog keeps views; those that do not, as Iceberg's of a mere folder, say so."""
    from pyspark.errors import PySparkException

    try:
        spark.sql(f"CREATE OR REPLACE VIEW {view} AS {rows}")
    except PySparkException as error:
        if not re.search(r"does not support views|view is not supported", str(error)):
            raise
        return False
    return True
