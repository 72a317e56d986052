"""A table of embeddings by URI, with the same images' local paths beside -> all as if the local ones had been taken."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

import blip_udfs


def check_embeddings(spark: SparkSession, table: str, count: int) -> None:
    """Each image once, with the local file's embedding; `n` counts them from zero."""
    rows = spark.sql(f"SELECT n, error, embedding, blip_image_embed(path) AS local FROM {table}").collect()
    assert sorted(row.n for row in rows) == list(range(count))
    for row in rows:
        assert row.error is None
        np.testing.assert_allclose(row.embedding, row.local, atol=1e-6)


def check_search_and_pictures(spark: SparkSession, table: str, start: str) -> None:
    """`start`: how the URIs begin."""
    by_uri, by_path = (found(spark.table(table), column) for column in ("image", "path"))
    rows, local = by_uri.collect(), by_path.collect()
    assert [row.n for row in rows] == [row.n for row in local] and len(rows) == 5
    assert [row.score for row in rows] == pytest.approx([row.score for row in local], abs=1e-6)
    pictures, wanted = (blip_udfs.gallery(each).sections[0][1] for each in (by_uri, by_path))
    assert [card.picture for card in pictures] == [card.picture for card in wanted]
    assert all(card.picture and card.source.startswith(start) for card in pictures)


def found(rows: DataFrame, column: str) -> DataFrame:
    return blip_udfs.search(rows.withColumn("image", rows[column]), "a car", k=5).orderBy("score", ascending=False)
