"""A column of paths -> what a worker takes: where the session's settings and jar say so, read by Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blip_udfs.spark.extension import has_extension
from blip_udfs.spark.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession


def readable(spark: SparkSession, name: str = "image", asked: bool = False, bounded: bool = False) -> Column:
    """The column `name` of STRING for the package's own functions, which no rule of the optimizer sees; it is as it
    was where the workers read. `asked`: not for the files' bytes, but for their modification time and length.
    `bounded`: the workers read where the bytes of a batch have no bound, as they do for SQL's functions."""
    from pyspark.sql import functions as F

    reader = Settings.of_session(spark).reader
    if reader == "worker" or not has_extension(spark):
        return F.col(name)
    rules: Any = spark._jvm.org.apache.spark.sql.blip.ByPath  # type: ignore[union-attr]
    if bounded and not rules.isBounded(spark._jsparkSession):
        return F.col(name)
    make: Any = type(F.lit(0))  # Column, which each Spark has elsewhere
    return make(rules.column(spark._jsparkSession, name, reader, asked))
