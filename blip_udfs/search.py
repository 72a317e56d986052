"""A table of images and embeddings, sentences or a picture -> candidates by ITC -> ITM -> ranked rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


ROWS_A_TASK = 16  # of the rows that ITM scores: two batches


def search(
    df: DataFrame,
    query: str | Sequence[str] = (),
    k: int = 10,
    candidates: int = 256,
    one_per: str | None = None,
    image: str = "image",
    embedding: str = "embedding",
    *,
    any_of: bool = False,
    but_not: str | Sequence[str] = (),
    like: str | bytes | None = None,
    seconds: float | None = None,
) -> DataFrame:
    """The `k` rows of `df` that match best, with their `score`, best first.

    One sentence: BLIP's retrieval protocol (arXiv 2201.12086, section 4.1; upstream train_retrieval.py). The
    `candidates` rows whose stored `embedding` is nearest to the text (0 = all rows), ranked by match logit + ITC
    similarity.

    Several sentences, or some in `but_not`: the score is a probability. An image must match all sentences (`any_of`:
    one of them) and none of `but_not`, so that it is the least of blip_itm of the sentences (the greatest) and of
    1 - blip_itm of each in `but_not`. Candidates are chosen in the same way by similarity.

    `like`, a picture (bytes, path or URI) in place of sentences: the score is the similarity of the embeddings.

    Rows without an embedding come behind the others, and images that do not decode last. `one_per` keeps the best
    row per value of that column; `seconds` keeps the best per sequence_id, or value of `one_per`, and so many
    seconds of `timestamp`.

    Raises ValueError for a `k` below 1, negative `candidates`, `seconds` that are not above 0, sentences beside
    `like` or neither, or a column that `df` does not have; Spark raises ImageError for a picture in `like` that does
    not decode.
    """
    from pyspark.sql import functions as F

    wanted, unwanted = sentences(query), sentences(but_not)
    group = [one_per or "sequence_id"] if one_per or seconds else []
    needed = [image, embedding, *group, *(["timestamp"] if seconds is not None else [])]
    check_arguments(df, k, candidates, needed)
    check_question(wanted, unwanted, like, seconds)
    near = likeness(df, embedding, like) if like is not None else nearness(df, embedding, wanted, unwanted, any_of)
    ranked = df.withColumn("_itc", near)
    if like is not None:
        scored = ranked.withColumn("score", F.col("_itc"))
    else:
        scored = nearest(ranked, candidates).withColumn("score", match(image, wanted, unwanted, any_of))
    return best_per(scored.drop("_itc"), group, seconds).orderBy(F.desc_nulls_last("score")).limit(k)


def sentences(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def check_arguments(df: DataFrame, k: int, candidates: int, columns: list[str]) -> None:
    if k < 1:
        raise ValueError(f"k: expected 1 or more rows, got {k}")
    if candidates < 0:
        raise ValueError(f"candidates: expected 0 (all rows) or more, got {candidates}")
    missing = [column for column in columns if column not in df.columns]
    if missing:
        raise ValueError(f"expected a column {missing[0]}, the table has {', '.join(df.columns)}; name another")


def check_question(wanted: list[str], unwanted: list[str], like: str | bytes | None, seconds: float | None) -> None:
    if like is None and not wanted:
        raise ValueError("expected a sentence or a picture in `like` to search for, got neither")
    if like is not None and (wanted or unwanted):
        raise ValueError("expected sentences or a picture in `like`, got both; search twice and join the rows")
    if seconds is not None and seconds <= 0:
        raise ValueError(f"seconds: expected more than 0, got {seconds}")


def nearness(df: DataFrame, embedding: str, wanted: list[str], unwanted: list[str], any_of: bool) -> Column:
    """ITC similarity to the sentences: to one, to the least (any: most) similar of several, less the unwanted's."""
    from pyspark.sql import functions as F

    products = [F.vector_inner_product(F.col(embedding), each) for each in text_vectors(df, [*wanted, *unwanted])]
    near = combined(products[: len(wanted)], any_of)
    return near - combined(products[len(wanted) :], True) if unwanted else near


def likeness(df: DataFrame, embedding: str, like: str | bytes) -> Column:
    """ITC similarity to a picture."""
    from pyspark.sql import functions as F

    from blip_udfs import functions as BF

    (row,) = df.sparkSession.range(1).select(BF.blip_image_embed(F.lit(like))).collect()
    return F.vector_inner_product(F.col(embedding), vector(row[0]))


def text_vectors(df: DataFrame, texts: list[str]) -> list[Column]:
    """The texts' embeddings as literals: evaluated here, once, for Spark evaluates a Python function per row."""
    from blip_udfs import functions as BF

    (row,) = df.sparkSession.range(1).select(*map(BF.blip_text_embed, texts)).collect()
    return list(map(vector, row))


def vector(numbers: Sequence[float]) -> Column:
    from pyspark.sql import functions as F

    return F.array(*map(F.lit, numbers)).cast("array<float>")


def combined(columns: list[Column], any_of: bool) -> Column:
    """The greatest of the columns if one is enough, else the least; of one column, itself."""
    from pyspark.sql import functions as F

    return columns[0] if len(columns) == 1 else (F.greatest if any_of else F.least)(*columns)


def nearest(ranked: DataFrame, candidates: int) -> DataFrame:
    """The rows that ITM scores."""
    from pyspark.sql import functions as F

    if not candidates:
        return ranked
    # the nearest rows arrive as one partition: ITM would run on one core
    return ranked.orderBy(F.desc_nulls_last("_itc")).limit(candidates).repartition(-(-candidates // ROWS_A_TASK))


def match(image: str, wanted: list[str], unwanted: list[str], any_of: bool) -> Column:
    """Match logit + ITC of one sentence; of more, the probability that all hold and no unwanted one does."""
    from pyspark.sql import functions as F

    from blip_udfs import functions as BF

    if len(wanted) == 1 and not unwanted:
        return BF.try_blip_itm_logit(image, wanted[0]) + F.coalesce("_itc", F.lit(-1.0).cast("float"))
    matches = BF.try_blip_itm_many(image, [*wanted, *unwanted])  # one pass over the image
    found = combined([matches[index] for index in range(len(wanted))], any_of)
    absent = [1 - matches[index] for index in range(len(wanted), len(wanted) + len(unwanted))]
    return combined([found, *absent], False)


def best_per(scored: DataFrame, columns: list[str], seconds: float | None = None) -> DataFrame:
    """Of rows with the same values in `columns`, and in the same `seconds`, the one with the highest score."""
    if not columns:
        return scored
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    same = [F.col(column) for column in columns]
    if seconds:
        same.append(F.floor(F.col("timestamp").cast("double") / seconds))
    best_first = Window.partitionBy(*same).orderBy(F.desc_nulls_last("score"))
    return scored.withColumn("_rank", F.row_number().over(best_first)).where("_rank = 1").drop("_rank")
