"""A table of images and embeddings, many named sentences -> the best rows of each, of one scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blip_udfs.results import candidates as of_one
from blip_udfs.results.candidates import OTHER, REFUSED, SIMILARITY, Names, kind, quoted
from blip_udfs.spark.extension import has_extension, is_connect
from blip_udfs.spark.settings import PREFIX

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

MADE = ("query", "rank", "score")  # columns
HITS, ASKED, ROW, AT, PLACE = "blip_hits", "blip_asked", "blip_row", "blip_at", "blip_place"
SENTENCE, LOGITS, RANK = "blip_sentence", "blip_logits", "blip_rank"
PAIRS_A_TASK = 64  # of an image and a sentence

Queries = Mapping[str, str]


def search_many(
    df: DataFrame,
    queries: Queries | DataFrame | str,
    k: int,
    candidates: int,
    image: str,
    embedding: str,
    where: str | None,
) -> DataFrame:
    """`search` of each sentence, in one scan; see there."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    asked = named(df.sparkSession, queries)
    if planned_by_extension(df, image, embedding):
        return by_extension(df, asked, k, candidates, where)
    scored = scored_pairs(df.drop(*MADE), asked, candidates, image, embedding, where)
    best_first = Window.partitionBy(PLACE).orderBy(F.desc_nulls_last("score"))
    ranked = scored.withColumn("rank", F.row_number().over(best_first)).where(F.col("rank") <= k)
    name = F.element_at(F.array(*map(F.lit, asked)), F.col(PLACE) + 1)
    others = [quoted(each) for each in df.drop(*MADE).columns]
    return ranked.orderBy(PLACE, "rank").select(*others, name.alias("query"), "rank", "score")


def planned_by_extension(df: DataFrame, image: str, embedding: str) -> bool:
    """Whether blip_search can be asked: its plan moves no embedding into Python. A Connect client's query is planned
    when it runs, where the views that it names are gone."""
    spark = df.sparkSession
    if is_connect(spark) or not has_extension(spark):
        return False
    ranked_by = spark.conf.get(PREFIX + "search.embeddingColumn", "embedding")
    return (image, embedding) == ("image", ranked_by) and kind(df.schema[embedding]) == "array<float>"


def by_extension(df: DataFrame, asked: Queries, k: int, candidates: int, where: str | None) -> DataFrame:
    spark = df.sparkSession
    saved = spark.createDataFrame(list(asked.items()), "name STRING, sentence STRING").coalesce(1)
    condition = "true" if where is None else where.replace("{", "{{").replace("}", "}}")
    # a comment may end the condition; behind WHERE alone the parser takes (a name) for a table's alias and its columns
    tables = f"TABLE(SELECT * FROM {{rows}} WHERE true AND ({condition}\n)), queries => TABLE(SELECT * FROM {{saved}})"
    call = f"blip_search({tables}, k => {k}, candidates => {candidates})"
    return spark.sql(f"SELECT * FROM {call}", rows=df, saved=saved)


def named(spark: SparkSession, queries: Queries | DataFrame | str) -> dict[str, str]:
    """Name -> sentence. Raises ValueError where there is none, and for NULL or a name that is there twice."""
    if isinstance(queries, Mapping):
        pairs = list(queries.items())
    else:
        rows = spark.table(queries) if isinstance(queries, str) else queries
        pairs = [tuple(row) for row in rows.select(*pair_of(rows)).collect()]
    return checked_names(pairs)


def checked_names(pairs: Sequence[tuple]) -> dict[str, str]:
    """Names and sentences as a dictionary; ValueError as of `named`."""
    if not pairs:
        raise ValueError("queries: expected one sentence or more, got none")
    for name, sentence in pairs:
        if not isinstance(name, str) or not isinstance(sentence, str):
            raise ValueError(f"queries: expected a name and a sentence, got {name!r} and {sentence!r}")
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"queries: expected each name once, {twice!r} is there {names.count(twice)} times")
    return out


def pair_of(rows: DataFrame) -> list[str]:
    """The columns of the names and sentences: those of these names, or the only two. Raises ValueError for others."""
    there = {name.lower(): quoted(name) for name in rows.columns}
    if {"name", "sentence"} <= set(there):
        return [there["name"], there["sentence"]]
    if len(rows.columns) != 2:
        raise ValueError(f"queries: expected the columns name and sentence, got {', '.join(rows.columns)}")
    return [quoted(name) for name in rows.columns]


def scored_pairs(
    df: DataFrame, asked: Queries, candidates: int, image: str, embedding: str, where: str | None
) -> DataFrame:
    """A row for each sentence's candidate: `df`'s columns, the sentence's place in `asked`, and `score`. An image is
    encoded once for all the sentences whose candidate it is."""
    from pyspark.sql import functions as F

    texts = list(asked.values())
    vectors, ours = embedded(df.sparkSession, texts)
    names = Names.of(df, image, embedding)
    rows = with_sentences(of_one.judged(df, names, ours, where), names, vectors, texts, candidates)
    chosen = nearest_of_each(rows, names, candidates, len(texts), ours)
    logits = chosen.withColumn(LOGITS, logits_of_asked(df, image))
    pairs = logits.select("*", F.posexplode(ASKED).alias(AT, PLACE))
    near = F.coalesce(F.col(PLACE)[SIMILARITY], F.lit(-1.0).cast("float"))
    score = (F.get(LOGITS, F.col(AT)) + near).cast("double")
    others = [quoted(each) for each in df.columns]
    return pairs.select(*others, F.col(PLACE)[PLACE].alias(PLACE), score.alias("score"))


def embedded(spark: SparkSession, texts: list[str]) -> tuple[Any, str]:
    """The texts' embeddings (S, D) float32, and the model that made them."""
    import numpy as np
    from pyspark.sql import functions as F

    from blip_udfs.spark import catalog as BF

    each = spark.range(1).select(F.posexplode(F.array(*map(F.lit, texts))).alias(AT, SENTENCE))
    rows = each.select(AT, BF.blip_text_embed(F.col(SENTENCE)), BF.blip_model()).collect()
    return np.array([vector for _, vector, _ in sorted(rows)], np.float32), rows[0][2]


def with_sentences(rows: DataFrame, names: Names, vectors: Any, texts: list[str], count: int) -> DataFrame:
    """The rows that may be among the `count` nearest of a sentence (0: all), with those sentences: place, similarity,
    text. A batch of rows and all sentences are one product."""
    from pyspark.sql import functions as F

    from blip_udfs.spark import nearest

    possible = F.col(REFUSED).isNull()
    rows = rows.where(possible | (F.col(REFUSED) == OTHER) if count else possible)
    function: Any = F.pandas_udf(nearest.hits(vectors, count), nearest.HITS)  # type: ignore[call-overload]
    hits = function.asNondeterministic()(names.embedding, REFUSED)  # for an answer depends on the rows before it
    found = rows.withColumn(HITS, hits).where(F.col(HITS)["sentences"].isNotNull())
    every = F.array(*map(F.lit, texts))

    def of_pair(pair: Column) -> Column:
        near = F.when(~F.isnan(pair["similarities"]), pair["similarities"])
        place = pair["sentences"]
        return F.struct(place.alias(PLACE), near.alias(SIMILARITY), F.element_at(every, place + 1).alias(SENTENCE))

    pairs = F.arrays_zip(F.col(HITS)["sentences"].alias("sentences"), F.col(HITS)["similarities"].alias("similarities"))
    return found.withColumn(ASKED, F.transform(pairs, of_pair)).drop(HITS)


def nearest_of_each(rows: DataFrame, names: Names, count: int, sentences: int, ours: str) -> DataFrame:
    """Of what `with_sentences` gives, the `count` nearest of each sentence (0: all), each row once, with those that it
    is a candidate of. Spark raises an error that names both models if nothing but rows of another one is there."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if not count:
        return rows.drop(REFUSED)
    pairs = rows.withColumn(ROW, F.monotonically_increasing_id()).withColumn(ASKED, F.explode(ASKED))
    order = [F.asc_nulls_first(REFUSED), F.desc_nulls_last(F.col(ASKED)[SIMILARITY])]
    pairs = pairs.withColumn(PLACE, F.col(ASKED)[PLACE])
    taken = pairs.withColumn(RANK, F.row_number().over(Window.partitionBy(PLACE).orderBy(*order)))
    labels = of_one.labels_of_others(rows, names, ours)
    kept = of_one.checked(taken.where(F.col(RANK) <= count), labels, ours, F.col(PLACE)).drop(REFUSED, RANK, PLACE)
    others = [F.col(quoted(each)) for each in rows.columns if each not in (REFUSED, ASKED)]
    spread = kept.repartition(-(-count * sentences // PAIRS_A_TASK), ROW).groupBy(ROW)
    each = spread.agg(F.first(F.struct(*others)).alias(AT), F.collect_list(ASKED).alias(ASKED))
    return each.select(f"{AT}.*", ASKED)


def logits_of_asked(df: DataFrame, image: str) -> Column:
    """Match logits of an image and the texts of ASKED, in one pass over it; NULL where the image does not decode."""
    from pyspark.sql import functions as F

    from blip_udfs.spark import catalog as BF
    from blip_udfs.spark.by_path import readable
    from blip_udfs.spark.settings import Settings

    spark, is_path = df.sparkSession, kind(df.schema[image]) == "string"
    given = readable(spark, image, bounded=True) if is_path else F.col(image)
    together = BF.try_blip_together.udf(Settings.of_session(spark))
    nothing = F.array().cast("array<array<string>>")
    return together(given, F.lit("logits"), F.col(ASKED)[SENTENCE], nothing)["logits"]
