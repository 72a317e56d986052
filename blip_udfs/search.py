"""A table of images and embeddings, a sentence -> candidates by ITC -> ITM -> ranked rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


ROWS_A_TASK = 16  # of the rows that ITM scores: two batches


def search(
    df: DataFrame,
    query: str,
    k: int = 10,
    candidates: int = 256,
    one_per: str | None = None,
    image: str = "image",
    embedding: str = "embedding",
) -> DataFrame:
    """The `k` rows of `df` that match the sentence best, with their `score`, best first.

    BLIP's retrieval protocol (arXiv 2201.12086, section 4.1; upstream train_retrieval.py): the `candidates` rows
    whose stored `embedding` is nearest to the text (0 = all rows), ranked by match logit + ITC similarity. Rows
    without an embedding come behind the others, and images that do not decode last. `one_per` keeps the best row per
    value of that column.

    Raises ValueError for a `k` below 1, negative `candidates`, or a column that `df` does not have.
    """
    from pyspark.sql import functions as F

    from blip_udfs import functions as BF

    check_arguments(df, k, candidates, [image, embedding, *([one_per] if one_per else [])])
    itc = F.vector_inner_product(F.col(embedding), text_vector(df, query))
    ranked = df.withColumn("_itc", F.coalesce(itc, F.lit(-1.0).cast("float")))
    if candidates:
        ranked = ranked.orderBy(F.desc("_itc")).limit(candidates)
        # the nearest rows arrive as one partition: ITM would run on one core
        ranked = ranked.repartition(-(-candidates // ROWS_A_TASK))
    scored = ranked.withColumn("score", BF.try_blip_itm_logit(image, query) + F.col("_itc")).drop("_itc")
    return best_per(scored, one_per).orderBy(F.desc_nulls_last("score")).limit(k)


def check_arguments(df: DataFrame, k: int, candidates: int, columns: list[str]) -> None:
    if k < 1:
        raise ValueError(f"k: expected 1 or more rows, got {k}")
    if candidates < 0:
        raise ValueError(f"candidates: expected 0 (all rows) or more, got {candidates}")
    missing = [column for column in columns if column not in df.columns]
    if missing:
        raise ValueError(f"expected a column {missing[0]}, the table has {', '.join(df.columns)}; name another")


def text_vector(df: DataFrame, text: str) -> Column:
    """The text's embedding as a literal: evaluated here, once, for Spark evaluates a Python function per row."""
    from pyspark.sql import functions as F

    from blip_udfs import functions as BF

    (row,) = df.sparkSession.range(1).select(BF.blip_text_embed(text)).collect()
    return F.array(*map(F.lit, row[0])).cast("array<float>")


def best_per(scored: DataFrame, column: str | None) -> DataFrame:
    """Of rows with the same value in `column`, the one with the highest score."""
    if column is None:
        return scored
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    best_first = Window.partitionBy(column).orderBy(F.desc_nulls_last("score"))
    return scored.withColumn("_rank", F.row_number().over(best_first)).where("_rank = 1").drop("_rank")
