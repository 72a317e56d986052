"""Rows with a score and a time -> intervals: when a sentence holds, and the best row of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blip_udfs.results.candidates import check_columns, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SECONDS, BREAKS, NUMBER = "blip_seconds", "blip_breaks", "blip_interval"
GROUP, BEST = "blip_group", "blip_best"  # not `by`, which is among the columns of the best row
ADDED = ("since", "until", "rows", "mean_score")


def intervals(scored: DataFrame, threshold: float, gap: float = 1.0, by: str = "sequence_id") -> DataFrame:
    """Rows of `scored` with a `score` of `threshold` or more, those that follow one another as one row: an interval.

    `timestamp` orders the rows of each value of `by`; between two rows of an interval there are at most `gap` seconds,
    whatever lies below the threshold in that time. An interval's row is its best row, all columns of it, with the time
    of the first and of the last (`since`, `until`), how many `rows` reach the threshold and their `mean_score`; best
    first. The rows of all cameras of a drive count alike. Rows without score or timestamp take no part.

    Where nothing reaches the threshold no row comes back: does it occur in this drive at all? The bundled model's
    threshold for blip_itm is in its card.

    Raises ValueError for a negative `gap`, a column that `scored` does not have, or one named as what is added.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    check(scored, gap, by)
    drive = Window.partitionBy(by).orderBy("timestamp")
    reached = scored.where((F.col("score") >= threshold) & F.col("timestamp").isNotNull())
    timed = reached.withColumn(SECONDS, F.col("timestamp").cast("double"))
    since_last = F.col(SECONDS) - F.lag(SECONDS).over(drive)
    begun = timed.withColumn(BREAKS, F.when(since_last <= gap, 0).otherwise(1))
    so_far = drive.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    numbered = begun.withColumn(NUMBER, F.sum(BREAKS).over(so_far))
    found = numbered.groupBy(F.col(by).alias(GROUP), NUMBER).agg(
        F.min("timestamp").alias("since"),
        F.max("timestamp").alias("until"),
        F.count("*").alias("rows"),
        F.avg("score").alias("mean_score"),
        F.max_by(F.struct(*map(quoted, scored.columns)), "score").alias(BEST),
    )
    return found.select(*ADDED, f"{BEST}.*").orderBy(F.desc("score"))


def check(scored: DataFrame, gap: float, by: str) -> None:
    if gap < 0:
        raise ValueError(f"gap: expected 0 seconds or more, got {gap}")
    check_columns(scored, [by, "timestamp", "score"], "add or rename it")
    for name in ADDED:
        if name in scored.columns:
            raise ValueError(f"the rows have a column {name}, which intervals adds: rename or drop theirs")
