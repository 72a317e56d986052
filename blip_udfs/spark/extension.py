"""A session -> whether it has the extension's own functions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXTENSION = "org.apache.spark.sql.blip.BlipExtensions"


def has_extension(spark: SparkSession) -> bool:
    """Whether the session has the extension's own functions: a setting that names a missing jar gives none."""
    if spark not in _has_extension:
        _has_extension[spark] = knows(spark, "blip_search")
    return _has_extension[spark]


def knows(spark: SparkSession, name: str) -> bool:
    """Whether Spark has a function of its own by this name, whatever the current catalog: in another than Spark's, such
    as Iceberg's, SHOW FUNCTIONS lists no extension's."""
    from pyspark.errors import AnalysisException

    try:
        return bool(spark.sql(f"SHOW FUNCTIONS IN spark_catalog.default LIKE '{name}'").take(1))
    except AnalysisException:  # no such schema, or none that this user may see
        try:
            described = spark.sql(f"DESCRIBE FUNCTION {name}").collect()
        except AnalysisException:
            return False
        return any(row[0].startswith("Class: ") for row in described)


def is_connect(of: object) -> bool:
    """Whether a session or a DataFrame is a Connect client's."""
    return type(of).__module__.startswith("pyspark.sql.connect")


_has_extension: WeakKeyDictionary[SparkSession, bool] = WeakKeyDictionary()  # for good: extensions come at the start
