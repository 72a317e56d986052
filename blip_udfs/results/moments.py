"""Rows with a score and a time -> intervals, one thing after another, all cameras of a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blip_udfs.results.candidates import check_columns, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SECONDS, AFTER, BREAKS, NUMBER = "blip_seconds", "blip_after", "blip_breaks", "blip_interval"
GROUP, BEST = "blip_group", "blip_best"  # not `by`, which is among the columns of the best row
NEXT = "next"
SHOWN_OF_NEXT = ("timestamp", "frame_id", "camera")  # where the table has them
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


def check_moments(df: DataFrame, then: list[str], within: float, all_cameras: bool) -> None:
    if within < 0:
        raise ValueError(f"within: expected 0 seconds or more, got {within}")
    if then:
        check_columns(df, ["sequence_id", "timestamp"], "add or rename it")
    if then and NEXT in df.columns:
        raise ValueError(f"the rows have a column {NEXT}, which `then` adds: rename or drop theirs")
    if all_cameras:
        check_columns(df, ["sequence_id", "frame_id", "camera"], "add or rename it")


def followed(first: DataFrame, second: DataFrame, within: float, image: str) -> DataFrame:
    """Of each sequence_id and timestamp the best row of `first`, with the best of `second` in the `within` seconds from
    then on as `next`; the score is the lesser of both. Rows that nothing follows do not come back."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    drive, time = F.col("sequence_id"), F.col("timestamp").cast("double")
    moment = Window.partitionBy("sequence_id", "timestamp").orderBy(F.desc("score"))
    best = [
        rows.where("score IS NOT NULL").withColumn(NUMBER, F.row_number().over(moment)).where(F.col(NUMBER) == 1)
        for rows in (first, second)
    ]
    shown = [*(name for name in SHOWN_OF_NEXT if name in second.columns), image, "score"]
    later = best[1].select(drive.alias(GROUP), time.alias(AFTER), F.struct(*map(quoted, shown)).alias(NEXT))
    earlier = best[0].drop(NUMBER).withColumn(SECONDS, time)
    gap = F.col(AFTER) - F.col(SECONDS)
    pairs = earlier.join(later, (drive == F.col(GROUP)) & gap.between(0, within))
    pairs = pairs.withColumn("score", F.least("score", f"{NEXT}.score"))
    soonest = Window.partitionBy("sequence_id", "timestamp").orderBy(F.desc("score"), AFTER)
    numbered = pairs.withColumn(NUMBER, F.row_number().over(soonest)).where(F.col(NUMBER) == 1)
    return numbered.drop(NUMBER, GROUP, AFTER, SECONDS)


def of_all_cameras(best: DataFrame, rows: DataFrame) -> DataFrame:
    """Of each moment (sequence_id, frame_id) of `best` what `rows` has of it, by camera, with the moment's score; the
    best moment first."""
    from pyspark.sql import functions as F

    moment = ["sequence_id", "frame_id"]
    scores = best.groupBy(*moment).agg(F.max("score").alias("score"))
    order = [F.desc_nulls_last("score"), *map(F.col, (*moment, "camera"))]
    return rows.join(F.broadcast(scores), moment).select(*map(quoted, rows.columns), "score").orderBy(*order)
