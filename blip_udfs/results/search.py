"""A table of images and embeddings, sentences or a picture -> candidates by ITC -> ITM -> ranked rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blip_udfs.results.candidates import REFUSED, SIMILARITY, Names, check_columns, judged, measured
from blip_udfs.results.candidates import candidates as chosen_of
from blip_udfs.results.many import search_many
from blip_udfs.results.moments import check_moments, followed, of_all_cameras

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

RANK = "blip_rank"


def search(
    df: DataFrame,
    query: str | Sequence[str] = (),
    k: int = 10,
    candidates: int = 256,
    one_per: str | None = None,
    image: str = "image",
    embedding: str = "embedding",
    *,
    queries: Mapping[str, str] | DataFrame | str | None = None,
    any_of: bool = False,
    but_not: str | Sequence[str] = (),
    like: str | bytes | None = None,
    seconds: float | None = None,
    where: str | None = None,
    min_score: float | None = None,
    then: str | Sequence[str] = (),
    within: float = 3.0,
    all_cameras: bool = False,
) -> DataFrame:
    """The `k` rows of `df` that match best, with their `score`, best first.

    One sentence: BLIP's retrieval protocol (arXiv 2201.12086, section 4.1; upstream train_retrieval.py). The
    `candidates` rows whose stored `embedding` is nearest to the text (0 = all rows), ranked by match logit + ITC
    similarity.

    Several sentences, or some in `but_not`: the score is a probability. An image must match all sentences (`any_of`:
    one of them) and none of `but_not`, so that it is the least of blip_itm of the sentences (the greatest) and of
    1 - blip_itm of each in `but_not`. Candidates are chosen in the same way by similarity.

    `like`, a picture (bytes, path or URI) in place of sentences: the score is the similarity of the embeddings.

    Rows whose `model` is another than the session's, older `version`s of an image and rows with an `error` in place of
    an embedding take no part; where nothing but rows of another model is left, Spark raises an error that names it.
    Rows whose embedding cannot be compared (NULL, NaN, zero, another length) come behind the others, and images that
    do not decode last. `one_per` keeps the best row per value of that column, and chooses candidates so that `k`
    values come back where the table has as many; `seconds` keeps the best per sequence_id, or value of `one_per`, and
    so many seconds of `timestamp`. `where`, a condition in SQL, is asked of the rows after their versions: of an image
    that has changed it does not bring the old one back.

    `min_score`: rows with less do not come back, and none where none reaches it; the same call without it and with a
    `k` of 1 says the best score that was there. `blip-udfs evaluate` says what suits a model: one value for
    one sentence's score, one for a probability.

    `then`: moments of one thing after another. A row shows `query`, and at most `within` seconds later (0: at once, by
    whichever camera) some row of its sequence_id shows `then`, the best of which is its column `next`, a STRUCT with
    the row's timestamp, frame_id, camera, image and score. The score is the lesser of both probabilities; of each
    sequence_id and timestamp there is one row. `candidates` are chosen for each of both.

    `all_cameras`: of each of the `k` best moments (sequence_id and frame_id) the rows of all cameras, one after the
    other, with the moment's score.

    `queries`, many sentences in place of `query`, each searched for by itself, in one scan of the table: a dictionary,
    name -> sentence, or a table or its name, of two columns. The `k` best rows of each have its name in `query` and
    their `rank`, 1 the best; an image is encoded once for all sentences that it is a candidate of. `where`,
    `min_score`, `image` and `embedding` hold for them too, the other arguments do not.

    A column `score` of `df` is replaced; `query` and `rank` too, where `queries` are given.

    Raises ValueError for a `k` below 1, negative `candidates`, `seconds` that are not above 0, a negative `within`,
    sentences beside `like` or neither, or a column that `df` does not have; Spark raises ImageError for a picture in
    `like` that does not decode.
    """
    from pyspark.sql import functions as F

    if queries is not None:
        others = {"any_of": any_of, "but_not": but_not, "like": like, "seconds": seconds, "then": then}
        check_alone(query=query, one_per=one_per, **others, all_cameras=all_cameras)
        check_arguments(df, k, candidates, [image, embedding])
        return reaching(search_many(df, queries, k, candidates, image, embedding, where), min_score)
    wanted, unwanted, later = sentences(query), sentences(but_not), sentences(then)
    group = [one_per or "sequence_id"] if one_per or seconds else ["sequence_id", "frame_id"] if all_cameras else []
    needed = [image, embedding, *group, *(["timestamp"] if seconds is not None else [])]
    check_arguments(df, k, candidates, needed)
    check_question(wanted, unwanted, later, like, seconds)
    check_moments(df, later, within, all_cameras)
    same = groups(group, seconds)
    of = Scored(df.drop("score"), Names.of(df, image, embedding), candidates, where)
    if like is not None:
        scored = of.by_likeness(like, k)
    elif later:
        first, second = of.by_itm(wanted, unwanted, any_of, True), of.by_itm(later, [], False, True)
        scored = followed(first, second, within, image)
    else:
        scored = of.by_itm(wanted, unwanted, any_of, len(wanted) > 1 or bool(unwanted), same, k)
    best = reaching(best_per(scored, same), min_score).orderBy(F.desc_nulls_last("score")).limit(k)
    return of_all_cameras(best, of.taking_part()) if all_cameras else best


def sentences(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def check_alone(**others: object) -> None:
    """Raises ValueError for an argument that `queries` do not go with."""
    if given := [name for name, value in others.items() if value not in ((), "", None, False)]:
        raise ValueError(f"queries: expected no {given[0]} beside them, which is of one search; search for it alone")


def check_arguments(df: DataFrame, k: int, candidates: int, columns: list[str]) -> None:
    if k < 1:
        raise ValueError(f"k: expected 1 or more rows, got {k}")
    if candidates < 0:
        raise ValueError(f"candidates: expected 0 (all rows) or more, got {candidates}")
    check_columns(df, columns)


def check_question(
    wanted: list[str], unwanted: list[str], later: list[str], like: str | bytes | None, seconds: float | None
) -> None:
    if like is None and not wanted:
        raise ValueError("expected a sentence or a picture in `like` to search for, got neither")
    if like is not None and (wanted or unwanted or later):
        raise ValueError("expected sentences or a picture in `like`, got both; search twice and join the rows")
    if seconds is not None and seconds <= 0:
        raise ValueError(f"seconds: expected more than 0, got {seconds}")


def reaching(rows: DataFrame, min_score: float | None) -> DataFrame:
    """The rows with that score or more, all of them without one."""
    from pyspark.sql import functions as F

    return rows if min_score is None else rows.where(F.col("score") >= min_score)


@dataclass(frozen=True)
class Scored:
    """A table, and which of its rows are scored."""

    df: DataFrame
    names: Names
    candidates: int
    where: str | None

    def by_itm(
        self,
        wanted: list[str],
        unwanted: list[str],
        any_of: bool,
        is_probability: bool,
        group: Sequence[Column] = (),
        k: int = 1,
    ) -> DataFrame:
        """The candidates with their `score`."""
        near, size, ours = nearness(self.df, self.names.embedding, wanted, unwanted, any_of)
        rows = measured(self.df, self.names, near, size, ours, self.where)
        chosen = chosen_of(rows, self.names, self.candidates, list(group), k, ours)
        score = match(self.names.image, wanted, unwanted, any_of) if is_probability else both(self.names.image, *wanted)
        return chosen.withColumn("score", score.cast("double")).drop(SIMILARITY)

    def by_likeness(self, like: str | bytes, k: int) -> DataFrame:
        """All rows, with the similarity to a picture as their `score`."""
        from pyspark.sql import functions as F

        near, size, ours = likeness(self.df, self.names.embedding, like)
        rows = measured(self.df, self.names, near, size, ours, self.where)
        return chosen_of(rows, self.names, 0, [], k, ours).withColumn("score", F.col(SIMILARITY)).drop(SIMILARITY)

    def taking_part(self) -> DataFrame:
        """The rows of the session's model and of the newest versions, whatever `where` says."""
        from pyspark.sql import functions as F

        from blip_udfs.spark import catalog as BF

        ((ours,),) = self.df.sparkSession.range(1).select(BF.blip_model()).collect()
        return judged(self.df, self.names, ours).where(F.col(REFUSED).isNull()).drop(REFUSED)


def nearness(
    df: DataFrame, embedding: str, wanted: list[str], unwanted: list[str], any_of: bool
) -> tuple[Column, int, str]:
    """ITC similarity to the sentences: to one, to the least (any: most) similar of several, less the unwanted's; the
    length of their embeddings, and the model that made them."""
    from pyspark.sql import functions as F

    from blip_udfs.spark import catalog as BF

    texts = [BF.blip_text_embed(F.lit(text)) for text in (*wanted, *unwanted)]
    # evaluated here, once, for Spark evaluates a Python function per row
    ((*vectors, ours),) = df.sparkSession.range(1).select(*texts, BF.blip_model()).collect()
    products = [BF.blip_similarity(F.col(embedding), vector(each)) for each in vectors]
    near = combined(products[: len(wanted)], any_of)
    return near - combined(products[len(wanted) :], True) if unwanted else near, len(vectors[0]), ours


def likeness(df: DataFrame, embedding: str, like: str | bytes) -> tuple[Column, int, str]:
    """ITC similarity to a picture; the length of its embedding, and the model that made it."""
    from pyspark.sql import functions as F

    from blip_udfs.spark import catalog as BF

    picture = BF.blip_image_embed(F.lit(like))
    ((seen, ours),) = df.sparkSession.range(1).select(picture, BF.blip_model()).collect()
    return BF.blip_similarity(F.col(embedding), vector(seen)), len(seen), ours


def vector(numbers: Sequence[float]) -> Column:
    from pyspark.sql import functions as F

    return F.array(*map(F.lit, numbers)).cast("array<float>")


def combined(columns: list[Column], any_of: bool) -> Column:
    """The greatest of the columns if one is enough, else the least; of one column, itself."""
    from pyspark.sql import functions as F

    return columns[0] if len(columns) == 1 else (F.greatest if any_of else F.least)(*columns)


def both(image: str, sentence: str) -> Column:
    """Match logit + ITC, the paper's score of a sentence."""
    from pyspark.sql import functions as F

    from blip_udfs.spark import catalog as BF

    return BF.try_blip_itm_logit(image, sentence) + F.coalesce(SIMILARITY, F.lit(-1.0).cast("float"))


def match(image: str, wanted: list[str], unwanted: list[str], any_of: bool) -> Column:
    """The probability that all sentences hold (any_of: one of them) and no unwanted one does."""
    from blip_udfs.spark import catalog as BF

    matches = BF.try_blip_itm_many(image, [*wanted, *unwanted])  # one pass over the image
    found = combined([matches[index] for index in range(len(wanted))], any_of)
    absent = [1 - matches[index] for index in range(len(wanted), len(wanted) + len(unwanted))]
    return combined([found, *absent], False)


def groups(columns: list[str], seconds: float | None) -> list[Column]:
    """What rows have in common of which the best is shown: values of columns, and so many seconds of `timestamp`."""
    from pyspark.sql import functions as F

    same = [F.col(column) for column in columns]
    return [*same, F.floor(F.col("timestamp").cast("double") / seconds)] if seconds else same


def best_per(scored: DataFrame, same: list[Column]) -> DataFrame:
    """Of rows that have the same in common, the one with the highest score."""
    if not same:
        return scored
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    best_first = Window.partitionBy(*same).orderBy(F.desc_nulls_last("score"))
    return scored.withColumn(RANK, F.row_number().over(best_first)).where(F.col(RANK) == 1).drop(RANK)
