"""Rows with an `image` column, frames of intervals -> cards."""

from __future__ import annotations

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from blip_udfs.results.cards import FRAME, SKY, TIMES, Card
from blip_udfs.results.strips import BEGIN, END, strips, timed, with_files

if TYPE_CHECKING:
    from PIL import Image
    from pyspark.sql import DataFrame

# a picture's longest side in pixels and its JPEG quality, the best first: what fits in the page is taken
STEPS = ((1280, 85), (960, 82), (720, 80), (480, 75), (320, 70), (160, 60), (96, 50))
SMALL = STEPS[4]  # of a strip
MOMENT = ("sequence_id", "frame_id")

Row = dict[str, Any]


def cards(df: DataFrame, most: int, frames: DataFrame | None, by: str, moments: bool) -> list[Card]:
    """The rows of `df` in their order, at most `most` (they are collected); with `frames` those of each interval as its
    strip, with `moments` the rows of a moment in one card."""
    rows = [row.asDict() for row in with_files(timed(df.limit(most))).collect()]
    found = strips(rows, frames, by) if frames is not None else {}
    with ThreadPoolExecutor() as pool:
        out = list(pool.map(card, rows))
        thumbs = {at: list(pool.map(small, each)) for at, each in found.items()}
    for at, each in thumbs.items():
        times = (f"+{row['at']:.1f} s" for row in found[at])
        scores = (f" · {row['score']:.2f}" if row.get("score") is not None else "" for row in found[at])
        out[at] = replace(out[at], strip=tuple(zip(map("".join, zip(times, scores, strict=True)), each, strict=True)))
    out = [with_next(each, row) for each, row in zip(out, rows, strict=True)]
    return list(grouped(rows, out)) if moments else out


def grouped(rows: list[Row], made: list[Card]) -> Iterable[Card]:
    """One card of each moment, where its first row is, with all its cameras beside it."""
    moments: dict[tuple, list[int]] = {}
    for at, row in enumerate(rows):
        moments.setdefault(tuple(row[name] for name in MOMENT), []).append(at)
    for members in moments.values():
        sides = sorted((str(rows[at].get("camera")), at) for at in members)
        yield replace(made[members[0]], beside=tuple((camera, made[at]) for camera, at in sides))


def with_next(first: Card, row: Row) -> Card:
    """With what comes then, where `search(then=...)` says it."""
    then = row.get("next")
    later = (
        then.asDict() if then is not None and hasattr(then, "asDict") else {}
    )  # a column of that name may be anything
    if not {"image", "timestamp"} <= set(later):
        return first
    gap = (later["timestamp"] - row["timestamp"]).total_seconds()
    seen_by = [f" · {each['camera']}" if each.get("camera") else "" for each in (row, later)]
    return replace(first, beside=((f"first{seen_by[0]}", first), (f"+{gap:.1f} s{seen_by[1]}", card(later))))


def small(row: Row) -> Card:
    return card(row, SMALL)


def card(row: Row, size: tuple[int, int] = STEPS[0]) -> Card:
    from blip_udfs.files.carried import is_carried, parts
    from blip_udfs.files.images import ImageError, decode

    image = bytes(row["image"]) if isinstance(row["image"], (bytes, bytearray)) else row["image"]
    source = parts(image)[1] if is_carried(image) else image if isinstance(image, str) else None
    facts = facts_of(row)
    try:
        if image is None:
            raise ImageError("image is NULL")
        picture = jpeg(decode(image), *size)
    except ImageError as error:
        return Card(None, source, row.get("score"), facts, str(error))
    return Card(picture, source, row.get("score"), facts)


def facts_of(row: Row) -> tuple[tuple[str, str], ...]:
    said = {name: row[name] for name in SKY + FRAME + TIMES if row.get(name) is not None}
    if row.get(BEGIN) is not None and row.get(END) is not None:
        said["lasts"] = f"{row[END] - row[BEGIN]:.1f} s"
    if "mean_score" in said:
        said["mean_score"] = f"mean {said['mean_score']:.4f}"
    return tuple((name, str(said[name])) for name in SKY + FRAME + TIMES if name in said)


def jpeg(image: Image.Image, side: int, quality: int) -> bytes:
    """The image with no side longer than `side` pixels."""
    smaller = image.copy()
    smaller.thumbnail((side, side))
    return encoded(smaller, quality)


def encoded(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()
