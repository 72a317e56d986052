"""Intervals against ones found by hand, at every edge; and on drives with an event in the midst of each."""

import datetime
import re
from pathlib import Path

import numpy as np
import pytest

from blip_udfs import intervals
from tests.events import draw_events, frames_between

COLUMNS = "sequence_id STRING, frame_id STRING, timestamp TIMESTAMP, camera STRING, score DOUBLE"
THEN = datetime.datetime(2026, 3, 1, 12, 0, 0)


def rows(spark, *drives: tuple[str, list[tuple[float, str, float | None]]]):
    """(sequence, [(second, camera, score)]) as a table of scored frames, in no order."""
    flat = [
        (sequence, f"{second:g}", THEN + datetime.timedelta(seconds=second), camera, score)
        for sequence, frames in drives
        for second, camera, score in frames
    ]
    return spark.createDataFrame(flat[::-1], COLUMNS).repartition(3)


def found(df, *words, **named) -> list[tuple]:
    return [
        (
            row.sequence_id,
            (row.since - THEN).total_seconds(),
            (row.until - THEN).total_seconds(),
            row.rows,
            row.frame_id,
        )
        for row in intervals(df, *words, **named).collect()
    ]


def test_neighbours_are_one_row_with_the_best_of_them(spark):
    a = ("a", [(0, "cam01", 0.9), (0.5, "cam01", 0.7), (1, "cam01", 0.1), (1.5, "cam01", 0.95), (4, "cam01", 0.65)])
    b = ("b", [(0, "cam01", 0.8)])
    df = rows(spark, a, b)
    assert found(df, 0.65) == [("a", 0, 1.5, 3, "1.5"), ("b", 0, 0, 1, "0"), ("a", 4, 4, 1, "4")]
    first = intervals(df, 0.65).first()
    assert first.score == 0.95 and first.mean_score == pytest.approx((0.9 + 0.7 + 0.95) / 3)
    assert first.camera == "cam01" and first.timestamp == THEN + datetime.timedelta(seconds=1.5)


@pytest.mark.parametrize(("gap", "expected"), [(0.5, 3), (1, 2), (2.4, 2), (2.5, 1), (3600, 1)])
def test_a_gap_is_bridged_up_to_its_length(spark, gap, expected):
    df = rows(spark, ("a", [(0, "cam01", 0.9), (1, "cam01", 0.9), (3.5, "cam01", 0.9)]))
    assert len(found(df, 0.5, gap=gap)) == expected


def test_all_cameras_of_a_drive_count_alike_or_each_for_itself(spark):
    df = rows(spark, ("a", [(0, "cam01", 0.9), (0, "cam03", 0.8), (1, "cam03", 0.7), (2, "cam01", 0.6)]))
    assert found(df, 0.5) == [("a", 0, 2, 4, "0")]
    lanes = intervals(df, 0.5, by="camera").collect()
    assert [(row.camera, row.rows) for row in lanes] == [("cam01", 1), ("cam03", 2), ("cam01", 1)]


def test_what_has_no_score_or_time_takes_no_part(spark):
    df = rows(spark, ("a", [(0, "cam01", None), (1, "cam01", float("nan")), (2, "cam01", 0.2)]))
    untimed = df.selectExpr("sequence_id", "frame_id", "CAST(NULL AS TIMESTAMP) AS timestamp", "camera", "1D AS score")
    assert found(df.where("NOT isnan(score) OR score IS NULL"), 0.5) == []  # an honest empty answer
    assert found(untimed, 0.5) == [] and found(df.limit(0), 0.5) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"gap": -1}, "gap: expected 0 seconds or more, got -1"),
        ({"by": "drive"}, "expected a column drive, the table has sequence_id, frame_id, timestamp, camera, score"),
    ],
)
def test_wrong_calls(spark, words, message):
    with pytest.raises(ValueError, match=message):
        intervals(rows(spark, ("a", [(0, "cam01", 0.9)])), 0.5, **words)


def test_a_column_that_it_adds_is_not_replaced(spark):
    df = rows(spark, ("a", [(0, "cam01", 0.9)])).withColumnRenamed("camera", "since")
    with pytest.raises(ValueError, match="the rows have a column since, which intervals adds"):
        intervals(df, 0.5)


CARD = Path(__file__).resolve().parent.parent / "blip_udfs/demo/model/README.md"
FRAMES = 12


@pytest.mark.parametrize(
    "drives", [pytest.param(8, marks=pytest.mark.slow), pytest.param(40, marks=pytest.mark.endurance)]
)
def test_planted_events_are_found_when_they_are(spark, tmp_path, drives):
    """`pytest -m endurance -s tests/test_moments.py` prints the figures of 40 drives with an event and 40 without."""
    threshold = float(re.findall(r"`blip_itm` > (0\.\d+)", CARD.read_text())[0])
    rows, events = draw_events(tmp_path, drives, FRAMES, "bus", seed=77)
    table = spark.createDataFrame(rows, "sequence_id STRING, frame_id STRING, timestamp TIMESTAMP, image STRING")
    scored = table.repartition(4).selectExpr("*", "blip_itm(image, 'a bus') AS score").localCheckpoint()
    found = [
        (row.sequence_id, frames_between(row.since, row.until)) for row in intervals(scored, threshold, gap=1).collect()
    ]
    seen = {
        sequence: set().union(*(frames for other, frames in found if other == sequence))  # also what is found wrongly
        for sequence in events
    }
    overlaps = [iou(seen[sequence], true) for sequence, true in events.items() if true]
    alarms = sum(not events[sequence] for sequence, _ in found)
    beside = sum(bool(events[sequence]) and not frames & events[sequence] for sequence, frames in found)
    without = sum(not true for true in events.values())
    print(
        f"{len(overlaps)} events at threshold {threshold}: mean IoU {np.mean(overlaps):.3f}, "
        f"{sum(each == 0 for each in overlaps)} not found, {beside} intervals beside an event; "
        f"{alarms} intervals in {without} drives without one"
    )
    assert len(overlaps) >= 0.9 * drives and np.mean(overlaps) >= 0.7 and alarms <= 0.1 * drives


def iou(found: set[int], true: set[int]) -> float:
    return len(found & true) / len(found | true)
