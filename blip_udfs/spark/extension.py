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
        _has_extension[spark] = bool(spark.sql("SHOW FUNCTIONS LIKE 'blip_search'").take(1))
    return _has_extension[spark]


def is_connect(of: object) -> bool:
    """Whether a session or a DataFrame is a Connect client's."""
    return type(of).__module__.startswith("pyspark.sql.connect")


_has_extension: WeakKeyDictionary[SparkSession, bool] = WeakKeyDictionary()  # for good: extensions come at the start
