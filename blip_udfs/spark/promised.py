"""A session -> what its last WHERE with a promise did."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def last_filter(spark: SparkSession) -> str | None:
    """Of the session's last `WHERE blip_itm(...) > t` with `spark.blip.filter.recall` below 1: the rows, how many ITM
    scored, the bound and what it promises. None before one has run. Not by Spark Connect, whose log has the line."""
    return spark._jvm.org.apache.spark.sql.blip.FindAllReport.lastOf(spark._jsparkSession)
