"""A drive, a frame and a camera -> the picture, and which things can be seen in it where."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image

from blip_udfs.draw.canvas import Canvas, Pinhole
from blip_udfs.draw.roads import draw_road
from blip_udfs.draw.sky import add_noise, draw_glows, draw_rain, draw_sky, light_of, wet_ground
from blip_udfs.draw.things import Box, draw_thing, seen
from blip_udfs.draw.world import CAMERAS, DIMENSIONS, Drive, Thing

SEEN_SHARE = 0.45  # of a thing's box that must be in the picture and not behind nearer things
NEARER_THAN = 14.5  # metres to a thing's near end: near, else far


@dataclass(frozen=True)
class Seen:
    """A thing as one camera sees it: box (x1, y1, x2, y2) in pixels, clipped to the picture."""

    index: int
    thing: Thing
    box: Box
    side: str
    distance: str


@dataclass(frozen=True)
class View:
    """One picture and what can be seen in it."""

    image: Image.Image
    things: tuple[Seen, ...]


def draw(drive: Drive, frame: int, camera: str, size: tuple[int, int], pinhole: Pinhole | None = None) -> View:
    """The picture of this camera, RGB of `size` pixels, and its visible things from near to far; `pinhole` where it is
    another than ONCE's."""
    weather, period = drive.weather, drive.period
    if drive.road == "tunnel":
        weather, period = "sunny", "noon"  # neither reaches in
    light = light_of(weather, period)
    lit = (0.86, 0.8, 0.7) if drive.road == "tunnel" else light.surface
    canvas = Canvas(size, pinhole or Pinhole(CAMERAS[camera]), lit)
    rng = random.Random(f"{drive.scenery}/{camera}")
    draw_sky(canvas, light, weather, rng)
    draw_road(canvas, drive, light, frame * drive.metres_per_frame)
    if light.rain:
        wet_ground(canvas, light)
    if light.night:
        canvas.light = canvas.light * 1.75  # what stands in the head lamps' light
    boxes = draw_things(canvas, drive.things_at(frame), light.night)
    image = draw_glows(canvas.finished(), canvas)
    if light.rain:
        draw_rain(image, light, random.Random(f"{drive.scenery}/{camera}/{frame}"))
    image = add_noise(image, drive.scenery + frame)
    return View(image, tuple(visible(boxes, canvas, size)))


def draw_things(canvas: Canvas, things: list[Thing], night: bool) -> list[tuple[int, Thing, Box]]:
    """Draws the things before the camera, far ones first; (index, thing, box) from near to far."""
    before = [(index, thing) for index, thing in enumerate(things) if seen(canvas, thing)]
    before.sort(key=lambda pair: -canvas.depth(pair[1].x, pair[1].y))
    boxes = [(index, thing, draw_thing(canvas, thing, night)) for index, thing in before]
    return boxes[::-1]


def visible(boxes: list[tuple[int, Thing, Box]], canvas: Canvas, size: tuple[int, int]) -> list[Seen]:
    found: list[Seen] = []
    for index, thing, box in boxes:
        inside = clipped(box, size)
        covered = max((overlap(inside, nearer.box) for nearer in found), default=0.0)
        if area(inside) - covered >= SEEN_SHARE * area(box) and area(box) > 0:
            side = side_of((box[0] + box[2]) / 2 / size[0])
            ahead = canvas.depth(thing.x, thing.y) - DIMENSIONS[thing.kind][0] / 2
            distance = "near" if ahead < NEARER_THAN else "far"
            found.append(Seen(index, thing, inside, side, distance))
    return found


def clipped(box: Box, size: tuple[int, int]) -> Box:
    """What of it is in the picture."""
    return max(0.0, box[0]), max(0.0, box[1]), min(size[0], box[2]), min(size[1], box[3])


def side_of(middle: float) -> str:
    """Of a thing whose middle is at this share of the picture's width."""
    return "left" if middle < 0.41 else "right" if middle > 0.59 else "ahead"


def area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def overlap(one: Box, other: Box) -> float:
    return area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
