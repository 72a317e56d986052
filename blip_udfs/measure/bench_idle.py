"""A session that nobody asks anything for a while -> how long its next query takes, beside the same one at once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from blip_udfs.measure.bench import Result, timed
from blip_udfs.measure.bench_alternatives import base_model, session, stored
from blip_udfs.measure.bench_footprint import seconds, workers

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SILENCE = 120.0  # seconds; Spark ends workers that are idle for 60
ROWS, CANDIDATES = 512, 256


def idle(folder: Path, rounds: int, silence: float = SILENCE) -> list[Result]:
    """With base at 384 px, each query `rounds` times at once and as often after a silence: a sentence's embedding, and
    the cascade over stored patch features. Raises ValueError where the silence was too short to end the workers."""
    spark = session(folder, str(base_model(folder / "base")))
    numbers = itertools.count()

    def text() -> None:
        spark.sql(f"SELECT blip_text_embed('a car and {next(numbers)} trucks')").collect()

    first = timed(text)
    of_features(spark, folder)
    queries: dict[str, Callable[[], None]] = {
        "SELECT blip_text_embed('...'), each a new text": text,
        f"cascade of {CANDIDATES} candidates over stored features": lambda: cascade(spark, next(numbers)),
    }
    out = [seconds("idle", "the first of a session", [first])]
    for name, ask in queries.items():
        ask()  # as many workers as it takes have the model now
        warm, after = [], []
        for _ in range(rounds):
            warm.append(timed(ask))
            stay_silent(silence)
            after.append(timed(ask))
            ask()
        out += [seconds("idle", name, warm, warm), seconds("idle", f"{name}, after {silence:g} s", after, warm)]
    spark.stop()
    return out


def of_features(spark: SparkSession, folder: Path) -> None:
    """A view of stored features, each with a vector by which the cascade ranks it."""
    digest = spark.sql("SELECT blip_model()").collect()[0][0].partition("@")[2]
    spark.read.parquet(str(stored(folder / "features_idle", ROWS, digest))).createOrReplaceTempView("stored_idle")
    vector = "transform(sequence(1, 256), i -> CAST(sin(i * xxhash64(features)) / 16 AS FLOAT))"
    vectors = spark.sql(f"SELECT features AS image, {vector} AS embedding FROM stored_idle")
    vectors.write.mode("overwrite").parquet(str(folder / "idle"))
    spark.read.parquet(str(folder / "idle")).createOrReplaceTempView("idle")


def cascade(spark: SparkSession, number: int) -> None:
    spark.conf.set("spark.blip.search.candidates", CANDIDATES)
    query = f"SELECT blip_itm(image, 'a car and {number} trucks') AS score FROM idle ORDER BY score DESC LIMIT 10"
    spark.sql(query).collect()


def stay_silent(silence: float) -> None:
    time.sleep(silence)
    if still := len(workers()):
        raise ValueError(
            f"after {silence:g} s of silence {still} workers are still there: expected none, for Spark ends them when "
            "they are idle for 60 s; give a longer --silence"
        )
