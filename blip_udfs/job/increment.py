"""A dataset's tree and a table of its embeddings -> which images are new, changed, failed or deleted; the table without
rows of what was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from blip_udfs.job.tables import KEY, Tables, names

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

WHOLE = "whole"  # the file that says that all which is to be put in place is written


def compare(
    spark: SparkSession, tables: Tables, root: str, stored: DataFrame, where: str | None, model: str
) -> DataFrame:
    """Every image of the tree and of the table's rows of that tree: the columns of the plan, and `status`.

    new: it has no row of `model`; changed: its newest row of `model` is of another modification time or length;
    failed: that row has no embedding; done; deleted: the tree has no such file; other: `where` leaves it out.
    A `where` of nothing but the partition is asked before listing: of other sequences no file and no row is looked at.
    """
    from pyspark.sql import functions as F

    wanted = F.coalesce(F.expr(where), F.lit(False)) if where else F.lit(True)
    images = tables.dataset.read(spark, root)
    if where and is_of(spark, tables.dataset.partition, where):
        images, stored = images.where(where), stored.where(where)
    tree = images.withColumn("wanted", wanted).select(*names(tables.image), "wanted")
    version = F.when(F.col("model") == model, F.col("version"))
    newest = F.struct("modified", "length", F.col("error").isNotNull().alias("failed"), "version")
    rows = stored.where(in_tree(spark, tables, root)).groupBy("image").agg(F.max_by(newest, version).alias("newest"))
    both = tree.join(rows, "image", "full_outer").withColumn("status", status())
    next_version = (F.coalesce("newest.version", F.lit(0)) + 1).alias("version")
    return both.select(*names(tables.image), F.lit(model).alias("model"), next_version, "status")


def is_of(spark: SparkSession, column: str, where: str) -> bool:
    """Whether the condition names no column but this one."""
    from pyspark.errors import AnalysisException

    try:
        spark.createDataFrame([], f"{column} STRING").where(where)
    except AnalysisException:
        return False
    return True


def status() -> Column:
    from pyspark.sql import functions as F

    same = F.col("newest.modified").eqNullSafe(F.col("modified")) & F.col("newest.length").eqNullSafe(F.col("length"))
    return (
        F.when(F.col("wanted").isNull(), "deleted")
        .when(~F.col("wanted"), "other")
        .when(F.col("newest").isNull(), "new")
        .when(~same, "changed")
        .when(F.col("newest.failed"), "failed")
        .otherwise("done")
    )


def in_tree(spark: SparkSession, tables: Tables, root: str) -> Column:
    """Whether a row's image lies in the tree: another tree's rows in the same table are not its deleted files."""
    from pyspark.sql import functions as F

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


def files(spark: SparkSession, tables: Tables, root: str) -> DataFrame:
    """The tree's images as they are now: image, modified, length. Raises ValueError when there are none: a disk that
    is not mounted must not empty the table."""
    found = (
        tables.dataset.read(spark, root).select("image", "modified", "length").distinct()
    )  # distinct: no JSON need be read
    if found.isEmpty():
        raise ValueError(f"{root} has no images, so that all rows would be removed: is its disk mounted?")
    return found


def outdated(spark: SparkSession, tables: Tables, root: str, stored: DataFrame, tree: DataFrame) -> DataFrame:
    """The table's rows of the tree's images that are deleted or changed since, or that a newer row of the same model
    replaces: image, model, version and place of each. `tree`: `files` of the root."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    newest = F.max("version").over(Window.partitionBy("image", "model"))
    rows = stored.where(in_tree(spark, tables, root)).withColumn("newest", newest)
    judged = rows.join(tree.selectExpr("image", "struct(modified, length) AS file"), "image", "left")
    return judged.where("NOT file <=> struct(modified, length) OR version < newest").select(*KEY, *tables.place)


def of_other_models(
    spark: SparkSession, tables: Tables, root: str, stored: DataFrame, tree: DataFrame, model: str
) -> DataFrame:
    """The rows of the tree's images by other models. Raises ValueError while `model` has none of some image."""
    from pyspark.sql import functions as F

    rows = stored.where(in_tree(spark, tables, root))
    missing = tree.join(rows.where(F.col("model") == model), ["image", "modified", "length"], "left_anti").count()
    if missing:
        raise ValueError(
            f"rows of other models stay until {model} has one of every image of {root}: {missing:,} have none yet; "
            "embed them, without where"
        )
    return rows.where(F.col("model") != model).select(*KEY, *tables.place)


def remove(spark: SparkSession, table: str, rows: DataFrame) -> int:
    """Deletes `rows` (of `outdated`) from the table; how many they were.

    Delta and Iceberg do it by MERGE. Of Parquet the places that hold some are overwritten by what remains of them, as
    `rewrite` says: a kill at any instant loses no row, for the next run finishes what this one began.
    """
    rows = rows.localCheckpoint()  # not persist: what is cached is computed anew when the table below it changes
    count = rows.count()
    if count and has_transactions(spark, table):
        rows.createOrReplaceTempView("blip_outdated")
        keys = " AND ".join(f"row.{key} = outdated.{key}" for key in KEY)
        spark.sql(f"MERGE INTO {table} row USING blip_outdated outdated ON {keys} WHEN MATCHED THEN DELETE")
    elif count:
        rewrite(spark, table, rows)
    return count


def rewrite(spark: SparkSession, table: str, rows: DataFrame) -> None:
    """Writes beside the table what remains of the places that hold `rows`, marks it whole, and puts it in place."""
    from pyspark.sql import functions as F

    place = place_of(spark, table)
    beside, places = pruning(spark, table), rows.select(*place).distinct()
    touched = spark.table(table).join(F.broadcast(places), place, "left_semi")
    remaining = touched.join(rows, KEY, "left_anti").select(*spark.table(table).columns)
    remaining.write.mode("overwrite").parquet(f"{beside}/rows")
    places.write.mode("overwrite").parquet(f"{beside}/places")
    system, whole = hadoop(spark, f"{beside}/{WHOLE}")
    system.create(whole).close()
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
        where = ", ".join(f"{name} = {quoted(value)}" for name, value in place.asDict().items())
        spark.sql(f"ALTER TABLE {table} DROP IF EXISTS PARTITION ({where})")
    spark.catalog.refreshTable(table)


def place_of(spark: SparkSession, table: str) -> list[str]:
    """Tables.place of the dataset that the table is of: its partitions stand last."""
    return spark.table(table).columns[-2:]


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def pruning(spark: SparkSession, table: str) -> str:
    return f"{described(spark, table)['Location']}/_embed/pruning"


def overwrite(rows: DataFrame, table: str) -> None:
    """Replaces the places that `rows` are in, and no other: to do it twice is to do it once. The same call is one
    commit on Delta and Iceberg; on Parquet a staging folder, then one rename a place."""
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
    rows = spark.sql(f"DESCRIBE TABLE EXTENDED {table}").collect()
    return {row.col_name: row.data_type for row in rows}
