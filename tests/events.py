"""Drives with an event in the midst of half of them: for a while something stands ahead that is not there before."""

from __future__ import annotations

import datetime
import random
from dataclasses import replace
from pathlib import Path

from blip_udfs.draw.picture import draw
from blip_udfs.draw.world import Drive, Thing, drive, thing_at

BEGAN = datetime.datetime(2026, 3, 1, 12)
STEP = datetime.timedelta(milliseconds=500)
SIZE = (480, 255)
CAMERA = "cam01"


def draw_events(
    folder: Path, drives: int, frames: int, kind: str, seed: int
) -> tuple[list[tuple], dict[str, set[int]]]:
    """Rows (sequence_id, frame_id, timestamp, image) of twice as many drives, and in which frames of each `kind` is
    seen: every second drive never."""
    rows, events = [], {}
    for number in range(2 * drives):
        rng = random.Random(f"{seed}/{number}/event")
        without = cleared(drive(seed, number), kind)
        thing = thing_at(rng, kind, 0.0, rng.choice(("left", "ahead", "right")), "near")
        first, length = rng.randrange(1, frames - 5), rng.randrange(3, 6)
        during = range(first, first + length) if number % 2 else range(0)
        events[without.sequence_id] = set()
        for frame in range(frames):
            view = draw(with_thing(without, thing) if frame in during else without, frame, CAMERA, SIZE)
            path = folder / without.sequence_id / f"{frame:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            view.image.save(path, quality=90)
            rows.append((without.sequence_id, f"{frame:02d}", BEGAN + frame * STEP, str(path)))
            if any(each.thing.kind == kind for each in view.things):
                events[without.sequence_id].add(frame)
    return rows, events


def cleared(one: Drive, kind: str) -> Drive:
    """Without any of the kind, and without what stands near before the vehicle, where it would hide the event."""
    kept = [thing for thing in one.things if thing.kind != kind and not (0 < thing.x < 25 and abs(thing.y) < 12)]
    return replace(one, things=tuple(kept))


def with_thing(one: Drive, thing: Thing) -> Drive:
    return replace(one, things=(*one.things, thing))


def frames_between(since: datetime.datetime, until: datetime.datetime) -> set[int]:
    return set(range(round((since - BEGAN) / STEP), round((until - BEGAN) / STEP) + 1))
