"""A session -> what its last WHERE with a promise did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def last_filter(spark: SparkSession) -> str | None:
    """Of the session's last `WHERE blip_itm(...) > t` with `spark.blip.filter.recall` below 1: the rows, how many ITM
    scores, the bound and what it promises. None before one has run; what a cached DataFrame was made by, and a Connect
    server's queries, have the line in the log alone."""
    report: Any = spark._jvm.org.apache.spark.sql.blip.FindAllReport  # type: ignore[union-attr]
    return report.lastOf(spark._jsparkSession)
