"""Intervals, the table that they were found in -> the frames of each, in the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blip_udfs.results.candidates import check_columns
from blip_udfs.spark.extension import is_connect

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

BEGIN, END = "blip_begin", "blip_end"  # seconds
PLACE, GROUP, CAMERA, AT, NUMBER, COUNT = (
    "blip_place",
    "blip_group",
    "blip_camera",
    "blip_at",
    "blip_number",
    "blip_count",
)
MOST_FRAMES, LONGEST = 600, 12  # frames of all strips of a page, and of one


def timed(df: DataFrame) -> DataFrame:
    """`since` and `until` as text of the session's time zone, with their seconds and what is between them."""
    from pyspark.sql import functions as F

    if not {"since", "until"} <= set(df.columns):
        return df
    seconds = {BEGIN: F.col("since").cast("double"), END: F.col("until").cast("double")}
    return df.withColumns(seconds).withColumns({name: F.col(name).cast("string") for name in ("since", "until")})


def strips(rows: list[dict[str, Any]], frames: DataFrame, by: str) -> dict[int, list[dict[str, Any]]]:
    """Place of an interval -> its frames, of the best frame's camera, with their seconds from its begin in `at`: all
    that are not too many, else so many at equal distances. Raises ValueError for columns that are missing."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    check_columns(frames, [by, "timestamp", "image"], "the frames of intervals need it")
    if not rows:
        return {}
    if BEGIN not in rows[0] or by not in rows[0]:
        raise ValueError(f"frames: expected rows of intervals, with since, until and {by}, got {', '.join(rows[0])}")
    asked = [(at, str(row[by]), row[BEGIN], row[END], row.get("camera")) for at, row in enumerate(rows)]
    schema = f"{PLACE} INT, {GROUP} STRING, {BEGIN} DOUBLE, {END} DOUBLE, {CAMERA} STRING"
    spans = F.broadcast(frames.sparkSession.createDataFrame(asked, schema))
    time = F.col("timestamp").cast("double")
    same = (F.col(by).cast("string") == F.col(GROUP)) & time.between(F.col(BEGIN), F.col(END))
    if "camera" in frames.columns and "camera" in rows[0]:
        same &= F.col("camera") == F.col(CAMERA)
    within = frames.join(spans, same).withColumn(AT, time - F.col(BEGIN)).dropDuplicates([PLACE, AT])
    strip = Window.partitionBy(PLACE)
    number = F.row_number().over(strip.orderBy(AT)) - 1
    most = max(3, min(LONGEST, MOST_FRAMES // len(rows)))
    step = F.floor(F.col(NUMBER) * most / F.col(COUNT)) - F.floor((F.col(NUMBER) - 1) * most / F.col(COUNT))
    taken = within.withColumns({NUMBER: number, COUNT: F.count("*").over(strip)}).where(step > 0)
    shown = [name for name in ("frame_id", "camera", "image", "score") if name in frames.columns]
    out: dict[int, list[dict[str, Any]]] = {}
    for row in with_files(taken.select(PLACE, AT, *shown)).orderBy(PLACE, AT).collect():
        out.setdefault(row[PLACE], []).append(row.asDict() | {"at": row[AT]})
    return out


def with_files(df: DataFrame) -> DataFrame:
    """Paths as whoever reads them takes them."""
    from blip_udfs.spark.by_path import readable

    is_path = not is_connect(df) and dict(df.dtypes)["image"] == "string"
    return df.withColumn("image", readable(df.sparkSession)) if is_path else df
