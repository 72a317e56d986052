"""A dataset's tree and a table of its embeddings -> which images are new, changed, failed or deleted; the table without
rows of what was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any

from blip_udfs.job.tables import BATCH, Tables, ddl, names, quoted
from blip_udfs.spark.extension import is_connect

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession

WHOLE = "whole"  # the file that says that all which is to be put in place is written


# columns of the job's own on the way, beside those of any table
STATUS, WANTED, NEWEST, STAMP, OWN = (f"blip_{name}" for name in ("status", "wanted", "newest", "stamp", "own"))


def compare(
    spark: SparkSession, tables: Tables, root: str, stored: DataFrame, where: str | None, model: str
) -> DataFrame:
    """Every image of the tree and of the table's rows of that tree: the plan's columns but for bytes, and STATUS.

    new: it has no row of `model`; changed: its newest row of `model` is of another stamp (modification time, length);
    failed: that row has no embedding; done; deleted: the tree has no such file; other: `where` leaves it out.
    A `where` of nothing but the partition is asked before listing: of other sequences no file and no row is looked at.
    """
    from pyspark.sql import functions as F

    wanted = F.coalesce(F.expr(where), F.lit(False)) if where else F.lit(True)
    images = tables.dataset.read(spark, root)
    if where and is_of_place(spark, tables, where):
        images, stored = images.where(where), stored.where(where)
    tree = images.withColumn(WANTED, wanted).select(*names(tables.compared), WANTED)
    version = F.when(F.col("model") == model, F.col("version"))
    newest = F.struct(stamp(tables), F.col("error").isNotNull().alias("failed"), "version")
    identity = list(tables.dataset.identity)
    rows = stored.where(in_tree(spark, tables, root)).groupBy(*identity).agg(F.max_by(newest, version).alias(NEWEST))
    both = tree.join(rows, identity, "full_outer").withColumn(STATUS, status(tables))
    next_version = (F.coalesce(f"{NEWEST}.version", F.lit(0)) + 1).alias("version")
    return both.select(*names(tables.compared), F.lit(model).alias("model"), next_version, STATUS)


FIELDS = {
    "new": "new",
    "changed": "changed",
    "failed": "failed_before",
    "deleted": "deleted",
    "done": "done_before",
}


def counts(images: DataFrame) -> dict[str, int]:
    """How many images of `compare` have each status."""
    found = {row[STATUS]: row["count"] for row in images.groupBy(STATUS).count().collect()}
    return {field: found.get(status, 0) for status, field in FIELDS.items()}


def nothing() -> dict[str, int]:
    """`counts` of no images."""
    return dict.fromkeys(FIELDS.values(), 0)


def stamp(tables: Tables) -> Column:
    """What tells an image from what it was: the same struct of a source's row and of the table's."""
    from pyspark.sql import functions as F

    return F.struct(*tables.dataset.stamp).alias(STAMP)


def is_of_place(spark: SparkSession, tables: Tables, where: str) -> bool:
    """Whether the condition names no column but those by which the table is partitioned."""
    from pyspark.errors import AnalysisException

    place = tuple(each for each in tables.image if each.name in tables.dataset.partition)
    try:
        rows = spark.createDataFrame([], ddl(place)).where(where)
    except AnalysisException:
        return False
    return rows._jdf.queryExecution().analyzed().deterministic()  # else two answers, of the source and of the table


def status(tables: Tables) -> Column:
    from pyspark.sql import functions as F

    same = F.col(f"{NEWEST}.{STAMP}").eqNullSafe(stamp(tables))
    return (
        F.when(F.col(WANTED).isNull(), "deleted")
        .when(~F.col(WANTED), "other")
        .when(F.col(NEWEST).isNull(), "new")
        .when(~same, "changed")
        .when(F.col(f"{NEWEST}.failed"), "failed")
        .otherwise("done")
    )


def in_tree(spark: SparkSession, tables: Tables, root: str) -> Column:
    """Whether a row's image lies in the tree: another tree's rows in the same table are not its deleted files."""
    from pyspark.sql import functions as F

    if tables.dataset.below is None:
        return F.lit(True)
    system, path = hadoop(spark, f"{root}/{tables.dataset.below}")
    return F.col("image").startswith(f"{system.makeQualified(path).toString()}/")


def hadoop(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """The file system of a path or URI, and the path as Hadoop knows it."""
    jvm: Any = spark._jvm
    where = jvm.org.apache.hadoop.fs.Path(path)
    return where.getFileSystem(spark._jsc.hadoopConfiguration()), where


def exists(spark: SparkSession, path: str) -> bool:
    system, where = hadoop(spark, path)
    return system.exists(where)


def touch(spark: SparkSession, path: str) -> None:
    """Makes an empty file, which is there whole or not at all."""
    system, where = hadoop(spark, path)
    system.create(where).close()


def job_folder(spark: SparkSession, table: str, model: str) -> str:
    """Of the model's plan and checkpoint, in the table's own: they are dropped together. Readers skip names that begin
    with _. What another model's run left waits there for that model's next one."""
    return f"{described(spark, table)['Location']}/_embed/{model.split('@')[-1]}"


def batch_name() -> Column:
    """Of a plan's file, which no other run gives again: the place of its rows in the table."""
    from pyspark.sql import functions as F

    return F.substring_index("_metadata.file_name", ".", 1).alias(BATCH.name)


def whole_batches(spark: SparkSession, table: str, model: str) -> DataFrame:
    """The batches of the model's rows, but those of which a killed trigger left a part: fewer rows than are planned. A
    plan's file is removed some time after its trigger."""
    from pyspark.sql import functions as F

    there = spark.table(table).where(F.col("model") == model).groupBy(BATCH.name).agg(F.count("*").alias("there"))
    plan = f"{job_folder(spark, table, model)}/plan"
    if not exists(spark, plan):
        return there.select(BATCH.name)
    planned = spark.read.schema("version INT").parquet(plan).groupBy(batch_name()).agg(F.count("*").alias("planned"))
    return there.join(planned, BATCH.name, "left").where("planned IS NULL OR there >= planned").select(BATCH.name)


def check_classic(spark: SparkSession, command: str) -> None:
    """Raises ValueError for a Connect client, which has no file system of the driver's."""
    if is_connect(spark):
        raise ValueError(
            f"{command}: expected a classic session, got a Connect client; run it where the driver runs, by blip-udfs "
            f"{command}"
        )


def files(spark: SparkSession, tables: Tables, root: str) -> DataFrame:
    """The tree's images as they are now: identity and stamp. Raises ValueError when there are none: a disk that
    is not mounted must not empty the table."""
    now = tables.dataset.read(spark, root).select(*tables.dataset.identity, stamp(tables))
    found = now.distinct()  # distinct: no JSON need be read
    if found.isEmpty():
        raise ValueError(f"{root} has no images, so that all rows would be removed: is its disk mounted?")
    return found


def outdated(spark: SparkSession, tables: Tables, root: str, stored: DataFrame, tree: DataFrame) -> DataFrame:
    """The table's rows of the tree's images that are deleted or changed since, or that a newer row of the same model
    replaces: key and place of each. `tree`: `files` of the root."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    identity = list(tables.dataset.identity)
    newest = F.max("version").over(Window.partitionBy(*identity, "model"))
    rows = stored.where(in_tree(spark, tables, root)).withColumn(NEWEST, newest)
    judged = rows.withColumn(OWN, stamp(tables)).join(tree, identity, "left")
    return judged.where(f"NOT {STAMP} <=> {OWN} OR version < {NEWEST}").select(*keep(tables))


def of_other_models(
    spark: SparkSession, tables: Tables, root: str, stored: DataFrame, tree: DataFrame, model: str
) -> DataFrame:
    """The rows of the tree's images by other models. Raises ValueError while `model` has none of some image."""
    from pyspark.sql import functions as F

    rows = stored.where(in_tree(spark, tables, root))
    done = rows.where(F.col("model") == model).select(*tables.dataset.identity, stamp(tables))
    missing = tree.join(done, [*tables.dataset.identity, STAMP], "left_anti").count()
    if missing:
        raise ValueError(
            f"rows of other models stay until {model} has one of every image of {root}: {missing:,} have none yet; "
            "embed them, without where"
        )
    return rows.where(F.col("model") != model).select(*keep(tables))


def keep(tables: Tables) -> list[str]:
    """By what a row of the table is found: its key, and the place that it is in."""
    return list(dict.fromkeys([*tables.key, *tables.place]))


def remove(spark: SparkSession, tables: Tables, table: str, rows: DataFrame) -> int:
    """Deletes `rows` (of `outdated`) from the table; how many they were.

    Delta and Iceberg do it by MERGE. Of Parquet the places that hold some are overwritten by what remains of them, as
    `rewrite` says: a kill at any instant loses no row, for the next run finishes what this one began.
    """
    rows = rows.localCheckpoint()  # not persist: what is cached is computed anew when the table below it changes
    count = rows.count()
    if count and has_transactions(spark, table):
        rows.createOrReplaceTempView("blip_outdated")
        keys = " AND ".join(f"row.{quoted(key)} = outdated.{quoted(key)}" for key in tables.key)
        spark.sql(f"MERGE INTO {table} row USING blip_outdated outdated ON {keys} WHEN MATCHED THEN DELETE")
    elif count:
        rewrite(spark, tables, table, rows)
    return count


def rewrite(spark: SparkSession, tables: Tables, table: str, rows: DataFrame) -> None:
    """Writes beside the table what remains of the places that hold `rows`, marks it whole, and puts it in place."""
    from pyspark.sql import functions as F

    place = tables.place
    beside, places = pruning(spark, table), rows.select(*place).distinct()
    touched = spark.table(table).join(F.broadcast(places), place, "left_semi")
    remaining = touched.join(rows, tables.key, "left_anti").select(*spark.table(table).columns)
    remaining.write.mode("overwrite").parquet(f"{beside}/rows")
    places.write.mode("overwrite").parquet(f"{beside}/places")
    touch(spark, f"{beside}/{WHOLE}")
    finish(spark, table)


def finish(spark: SparkSession, table: str) -> None:
    """Puts in place what `rewrite` wrote beside the table, if it is whole, and removes it. To do it twice is to do it
    once, so that a next run takes up what a killed one left."""
    if has_transactions(spark, table):
        return
    beside = pruning(spark, table)
    if exists(spark, f"{beside}/{WHOLE}"):
        put_in_place(spark, table, beside)
        system, whole = hadoop(spark, f"{beside}/{WHOLE}")
        system.delete(whole, False)  # first: what is half removed is not whole
    system, folder = hadoop(spark, beside)
    system.delete(folder, True)


def put_in_place(spark: SparkSession, table: str, beside: str) -> None:
    names_of_place = place_of(spark, table)
    remaining = spark.read.schema(spark.table(table).schema).parquet(f"{beside}/rows")
    places = spark.read.schema(spark.table(table).select(*names_of_place).schema).parquet(f"{beside}/places")
    overwrite(remaining.repartition(*names_of_place), table)
    spark.catalog.refreshTable(table)
    emptied = places.join(remaining.select(*names_of_place).distinct(), names_of_place, "left_anti")
    for place in emptied.collect():
        where = ", ".join(f"{quoted(name)} = {literal(value)}" for name, value in place.asDict().items())
        spark.sql(f"ALTER TABLE {table} DROP IF EXISTS PARTITION ({where})")
    spark.catalog.refreshTable(table)


def place_of(spark: SparkSession, table: str) -> list[str]:
    """By what the table is partitioned: Tables.place of its dataset, to which an owner of an Iceberg table may add."""
    if not has_transactions(spark, table):
        return [column.name for column in spark.catalog.listColumns(table) if column.isPartition]
    said = dropwhile(lambda row: not row.col_name.startswith("# Partition"), described_rows(spark, table))
    rows = [row for row in takewhile(lambda row: row.col_name, said) if not row.col_name.startswith("#")]
    # of mere columns; where one is made of a column: `Part 0`, `days(captured_at)`
    return [row.data_type if row.col_name.startswith("Part ") else row.col_name for row in rows]


def literal(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def pruning(spark: SparkSession, table: str) -> str:
    return f"{described(spark, table)['Location']}/_embed/pruning"


def replace(rows: DataFrame, table: str, images: DataFrame) -> None:
    """Puts the rows of a micro-batch of images in place of those that it wrote before: to do it twice is to do it once.

    On Delta and Iceberg it is one commit, and whatever the table is partitioned by now, all rows of the batch go: those
    of a killed trigger may be in places of before."""
    from pyspark.sql import functions as F

    if has_transactions(rows.sparkSession, table):
        (batch,) = images.select(BATCH.name).first()  # type: ignore[misc]
        rows.writeTo(table).overwrite(F.col(BATCH.name) == batch)
    else:
        overwrite(rows, table)


def overwrite(rows: DataFrame, table: str) -> None:
    """Replaces the places of a Parquet table that `rows` are in, and no other: by a staging folder, then one rename a
    place."""
    with setting(rows.sparkSession, "spark.sql.sources.partitionOverwriteMode", "dynamic"):
        rows.select(*rows.sparkSession.table(table).columns).write.mode("overwrite").insertInto(table)


@contextmanager
def setting(spark: SparkSession, key: str, value: str) -> Iterator[None]:
    before = spark.conf.get(key, None)
    spark.conf.set(key, value)
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset(key)
        else:
            spark.conf.set(key, before)


def has_transactions(spark: SparkSession, table: str) -> bool:
    return described(spark, table)["Provider"].lower() in ("delta", "iceberg")


def described(spark: SparkSession, table: str) -> dict[str, str]:
    """What DESCRIBE says: Location, Provider and others."""
    return {row.col_name: row.data_type for row in described_rows(spark, table)}


def described_rows(spark: SparkSession, table: str) -> list[Row]:
    return spark.sql(f"DESCRIBE TABLE EXTENDED {table}").collect()
