"""An ONCE tree and a table of its embeddings -> which images are new, changed, failed or deleted; the table without
rows of what was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from blip_udfs.once import read_once
from blip_udfs.session import has_extension

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

IMAGE = (
    "sequence_id STRING, frame_id STRING, camera STRING, timestamp TIMESTAMP, weather STRING, period STRING, "
    "region STRING, image STRING, modified TIMESTAMP, length BIGINT"
)
PLANNED = f"{IMAGE}, model STRING, version INT"  # an image to embed: by which model, for the how manieth time
ROW = (  # of the table
    "frame_id STRING, camera STRING, timestamp TIMESTAMP, weather STRING, period STRING, region STRING, image STRING, "
    "modified TIMESTAMP, length BIGINT, embedding ARRAY<FLOAT>, model STRING, error STRING, similar_to STRING, "
    "version INT, sequence_id STRING, batch STRING"
)
KEY = ["image", "model", "version"]
PLACE = ["sequence_id", "batch"]  # partitions: what one micro-batch writes of one sequence, and is replaced as a whole


def names(columns: str) -> list[str]:
    """a STRING, b INT -> a, b"""
    return [column.split()[0] for column in columns.split(", ")]


def compare(spark: SparkSession, root: str, stored: DataFrame, where: str | None, model: str) -> DataFrame:
    """Every image of the tree and of the table's rows of that tree: the columns of PLANNED, and `status`.

    new: it has no row of `model`; changed: its newest row of `model` is of another modification time or length;
    failed: that row has no embedding; done; deleted: the tree has no such file; other: `where` leaves it out.
    A `where` of nothing but sequence_id is asked before listing: of other sequences no file and no row is looked at.
    """
    from pyspark.sql import functions as F

    wanted = F.coalesce(F.expr(where), F.lit(False)) if where else F.lit(True)
    images = once(spark, root)
    if where and is_of_sequences(spark, where):
        images, stored = images.where(where), stored.where(where)
    tree = images.withColumn("wanted", wanted).select(*names(IMAGE), "wanted")
    version = F.when(F.col("model") == model, F.col("version"))
    newest = F.struct("modified", "length", F.col("error").isNotNull().alias("failed"), "version")
    rows = stored.where(in_tree(spark, root)).groupBy("image").agg(F.max_by(newest, version).alias("newest"))
    both = tree.join(rows, "image", "full_outer").withColumn("status", status())
    next_version = (F.coalesce("newest.version", F.lit(0)) + 1).alias("version")
    return both.select(*names(IMAGE), F.lit(model).alias("model"), next_version, "status")


def is_of_sequences(spark: SparkSession, where: str) -> bool:
    """Whether the condition names no column but sequence_id."""
    from pyspark.errors import AnalysisException

    try:
        spark.createDataFrame([], "sequence_id STRING").where(where)
    except AnalysisException:
        return False
    return True


def once(spark: SparkSession, root: str) -> DataFrame:
    """read_once. The extension's lists files of 0 bytes too, which Spark's own readers, behind the Python one, leave
    out: an image that was cut off when it was written has failed and is not deleted."""
    if not has_extension(spark):
        return read_once(spark, root)
    from pyspark.errors import AnalysisException, IllegalArgumentException

    try:
        return spark.sql("SELECT * FROM read_once(:root)", {"root": root})
    except (AnalysisException, IllegalArgumentException):
        return read_once(spark, root)  # says the same of a root without data/, as a ValueError


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


def in_tree(spark: SparkSession, root: str) -> Column:
    """Whether a row's image lies in the tree: another tree's rows in the same table are not its deleted files."""
    from pyspark.sql import functions as F

    system, path = hadoop(spark, f"{root}/data")
    return F.col("image").startswith(f"{system.makeQualified(path).toString()}/")


def hadoop(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """The file system of a path or URI, and the path as Hadoop knows it."""
    jvm: Any = spark._jvm
    where = jvm.org.apache.hadoop.fs.Path(path)
    return where.getFileSystem(spark._jsc.hadoopConfiguration()), where


def exists(spark: SparkSession, path: str) -> bool:
    system, where = hadoop(spark, path)
    return system.exists(where)


def files(spark: SparkSession, root: str) -> DataFrame:
    """The tree's images as they are now: image, modified, length. Raises ValueError when there are none: a disk that
    is not mounted must not empty the table."""
    found = once(spark, root).select("image", "modified", "length").distinct()  # distinct: no JSON need be read
    if found.isEmpty():
        raise ValueError(f"{root} has no images, so that all rows would be removed: is its disk mounted?")
    return found


def outdated(spark: SparkSession, root: str, stored: DataFrame, tree: DataFrame) -> DataFrame:
    """The table's rows of the tree's images that are deleted or changed since, or that a newer row of the same model
    replaces: image, model, version and place of each. `tree`: `files` of the root."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    newest = F.max("version").over(Window.partitionBy("image", "model"))
    rows = stored.where(in_tree(spark, root)).withColumn("newest", newest)
    judged = rows.join(tree.selectExpr("image", "struct(modified, length) AS file"), "image", "left")
    return judged.where("NOT file <=> struct(modified, length) OR version < newest").select(*KEY, *PLACE)


def of_other_models(spark: SparkSession, root: str, stored: DataFrame, tree: DataFrame, model: str) -> DataFrame:
    """The rows of the tree's images by other models. Raises ValueError while `model` has none of some image."""
    from pyspark.sql import functions as F

    rows = stored.where(in_tree(spark, root))
    missing = tree.join(rows.where(F.col("model") == model), ["image", "modified", "length"], "left_anti").count()
    if missing:
        raise ValueError(
            f"rows of other models stay until {model} has one of every image of {root}: {missing:,} have none yet; "
            "embed them, without where"
        )
    return rows.where(F.col("model") != model).select(*KEY, *PLACE)


def remove(spark: SparkSession, table: str, rows: DataFrame) -> int:
    """Deletes `rows` (of `outdated`) from the table; how many they were.

    Delta and Iceberg do it by MERGE. Of Parquet the places that hold some are overwritten by what remains of them,
    each replaced in one rename: a kill in between can lose one place, whose images the next run embeds again.
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
    from pyspark.sql import functions as F

    places = rows.select(*PLACE).distinct()

    def remaining() -> DataFrame:
        touched = spark.table(table).join(F.broadcast(places), PLACE, "left_semi")
        return touched.join(rows, KEY, "left_anti")

    overwrite(remaining().repartition(*PLACE), table)
    spark.catalog.refreshTable(table)
    for place in places.join(remaining().select(*PLACE).distinct(), PLACE, "left_anti").collect():
        spark.sql(f"ALTER TABLE {table} DROP PARTITION (sequence_id = '{place[0]}', batch = '{place[1]}')")
    spark.catalog.refreshTable(table)


def overwrite(rows: DataFrame, table: str) -> None:
    """Replaces the places that `rows` are in, and no other: to do it twice is to do it once. The same call is one
    commit on Delta and Iceberg; on Parquet a staging folder, then one rename a place."""
    with setting(rows.sparkSession, "spark.sql.sources.partitionOverwriteMode", "dynamic"):
        rows.select(*names(ROW)).write.mode("overwrite").insertInto(table)


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
