"""What differs between the Sparks' Python, by what is there and not by their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column


def condition(error: Any) -> str | None:
    """PATH_NOT_FOUND and the like: what an error of Spark's is of."""
    return error.getCondition() if hasattr(error, "getCondition") else error.getErrorClass()


def has_inner_product(version: str) -> bool:
    """Whether Spark has vector_inner_product in SQL: from 4.2 on. (functions.py has it from 4.3 on.)"""
    major, minor = version.split(".")[:2]
    return (int(major), int(minor)) >= (4, 2)


def inner_product(a: Column, b: Column) -> Column:
    """Of two ARRAY<FLOAT> by Spark's own vector_inner_product."""
    return F.call_function("vector_inner_product", a, b)


def arrow_batches(df: Any) -> list[pa.RecordBatch]:
    """The rows of a DataFrame as Arrow has them; Spark 3.5 makes no table of them."""
    return df.toArrow().to_batches() if hasattr(df, "toArrow") else df._collect_as_arrow()
