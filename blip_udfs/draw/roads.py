"""A drive's road -> drawn on a canvas with what lines it, from far to near."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from blip_udfs.draw.canvas import Canvas, Color, Frame, box
from blip_udfs.draw.roadside import (
    FAR,
    LINE,
    building,
    dashes,
    far_to_near,
    hills,
    house,
    lamp,
    rows,
    skyline,
    strips,
    tree,
)
from blip_udfs.draw.sky import Light, mixed
from blip_udfs.draw.world import Drive

ASPHALT: Color = (92, 94, 99)
PAVEMENT: Color = (158, 154, 148)
GRASS: Color = (92, 140, 66)
CROSSING = (12.5, 21.5)  # metres from the middle of the view to the crossing road's edges


def draw_road(canvas: Canvas, drive: Drive, light: Light, moved: float) -> None:
    """Everything that is no vehicle or person; `moved` is how far the drive has come, in metres."""
    {
        "intersection": intersection if drive.region == "Downtown" else suburban_intersection,
        "highway": highway,
        "city street": city_street,
        "suburban road": suburban_road,
        "tunnel": tunnel,
        "bridge": bridge,
    }[drive.road](canvas, light, random.Random(drive.scenery), moved)


def city_sides(canvas: Canvas, light: Light, rng: random.Random, moved: float, gap: tuple[float, float] | None) -> None:
    """Buildings and lamps on both sides; none in the gap (near and far edge) that a crossing road leaves."""
    parts: list[tuple[float, float, Callable[[], None]]] = []
    for x, y, own in rows(rng, moved, 13.0, (16.5, -16.5)):
        if gap is None or not gap[0] - 7 < abs(x) < gap[1] + 7:
            size = (12.4, 10.0, own.uniform(8.0, 24.0))
            parts.append((x, y, lambda x=x, y=y, own=own, size=size: building(canvas, light, own, x, y, size)))  # type: ignore[misc]
    for x, y, _ in rows(rng, moved, 22.0, (9.6, -9.6)):
        if gap is None or not gap[0] - 1 < abs(x) < gap[1] + 1:
            parts.append((x, y, lambda x=x, y=y: lamp(canvas, light, x, y)))  # type: ignore[misc]
    far_to_near(canvas, parts)


def city_street(canvas: Canvas, light: Light, rng: random.Random, moved: float) -> None:
    skyline(canvas, light, rng, (120, 118, 122), 0.14)
    strips(canvas, PAVEMENT, -FAR, FAR)
    strips(canvas, ASPHALT, -8.0, 8.0)
    for y in (-8.1, 8.1):
        strips(canvas, (196, 194, 188), y - 0.2, y + 0.2)
    for y in (-2.0, 2.0):
        dashes(canvas, y, moved)
    city_sides(canvas, light, rng, moved, None)


def intersection(canvas: Canvas, light: Light, rng: random.Random, moved: float) -> None:
    """A city street with a crossing road ahead and behind."""
    skyline(canvas, light, rng, (120, 118, 122), 0.12)
    strips(canvas, PAVEMENT, -FAR, FAR)
    crossing(canvas)
    city_sides(canvas, light, rng, moved, CROSSING)
    traffic_lights(canvas, light, rng)


def suburban_intersection(canvas: Canvas, light: Light, rng: random.Random, moved: float) -> None:
    """The same between lawns, trees and houses."""
    hills(canvas, light, rng)
    strips(canvas, GRASS, -FAR, FAR)
    crossing(canvas)
    suburban_sides(canvas, light, rng, moved, 18.0, 11.0, CROSSING)
    traffic_lights(canvas, light, rng)


def crossing(canvas: Canvas) -> None:
    """A road across the street ahead and behind, zebra crossings and stop lines."""
    strips(canvas, ASPHALT, -8.0, 8.0)
    near, far = CROSSING
    for end in (-1, 1):
        across(canvas, end, near, far, -FAR, FAR, ASPHALT)
        middle = (near + far) / 2
        for y in (13.0, 22.0, 31.0, -16.0, -25.0, -34.0):
            across(canvas, end, middle - 0.12, middle + 0.12, y, y + 3.0, LINE)
        for edge in (near - 3.0, far + 0.6):
            for i in range(10):
                across(canvas, end, edge, edge + 2.4, -7.4 + i * 1.55, -6.6 + i * 1.55, LINE)
        across(canvas, end, near - 4.0, near - 3.6, -7.8, 7.8, LINE)


def across(canvas: Canvas, end: int, near: float, far: float, y0: float, y1: float, color: Color) -> None:
    """A rectangle between two distances ahead (end 1) or behind (end -1)."""
    canvas.ground(min(end * near, end * far), max(end * near, end * far), y0, y1, color)


def traffic_lights(canvas: Canvas, light: Light, rng: random.Random) -> None:
    for end in (-1, 1):
        for y in (8.8, -8.8):
            traffic_light(canvas, light, rng, end * (CROSSING[1] + 1.5), y)
            traffic_light(canvas, light, rng, end * (CROSSING[0] - 3.2), y)


def traffic_light(canvas: Canvas, light: Light, rng: random.Random, x: float, y: float) -> None:
    frame = Frame(x, y, 0.0)
    box(canvas, frame, (-0.1, 0.1), (-0.1, 0.1), (0.0, 4.6), (70, 72, 76))
    box(canvas, frame, (-0.25, 0.25), (-0.4, 0.4), (3.3, 5.3), (34, 35, 38))
    green = rng.random() < 0.5
    side = -math.copysign(0.27, x)
    for z, color, on in ((5.0, (255, 50, 40), not green), (4.3, (255, 190, 40), False), (3.65, (60, 230, 110), green)):
        ring = [(side, 0.24 * math.cos(t * math.pi / 5), z + 0.24 * math.sin(t * math.pi / 5)) for t in range(10)]
        points = frame.points(ring)
        if on:
            canvas.glowing(points, color)
            pixels = canvas.project([points.mean(0)])
            if light.night and pixels:
                canvas.glows.append((*pixels[0], 0.5 * canvas.pixels_per_metre(x, y), color))
        else:
            canvas.polygon(points, color, 0.25)


def highway(canvas: Canvas, light: Light, rng: random.Random, moved: float) -> None:
    """Three lanes a side between guard rails, a green median, gantries with blue signs; open land around."""
    hills(canvas, light, rng)
    strips(canvas, GRASS, -FAR, FAR)
    strips(canvas, ASPHALT, -7.0, 7.2)
    strips(canvas, ASPHALT, 10.5, 22.0)
    for y in (-6.6, 6.8, 10.9, 21.6):
        strips(canvas, LINE, y - 0.1, y + 0.1)
    for y in (-2.1, 2.4, 14.4, 18.2):
        dashes(canvas, y, moved, 5.0, 7.0, 0.22)
    for y in (-8.0, 8.0, 9.6):
        for z in (0.45, 0.7):
            for start in range(-60, 61, 12):
                rail_of = [(start, y, z), (start + 12, y, z), (start + 12, y, z + 0.2), (start, y, z + 0.2)]
                canvas.polygon(rail_of, (186, 190, 196))
    parts: list[tuple[float, float, Callable[[], None]]] = []
    for x, _, own in rows(rng, moved, 34.0, (0.0,)):
        parts.append((x, 0.0, lambda x=x, own=own: gantry(canvas, own, x)))  # type: ignore[misc]
    for x, y, own in rows(rng, moved, 21.0, (-24.0, 34.0)):
        parts.append((x, y, lambda x=x, y=y, own=own: tree(canvas, own, x, y)))  # type: ignore[misc]
    far_to_near(canvas, parts)


def gantry(canvas: Canvas, rng: random.Random, x: float) -> None:
    frame = Frame(x, 0.0, 0.0)
    for y in (-8.6, 8.8):
        box(canvas, frame, (-0.15, 0.15), (y - 0.15, y + 0.15), (0.0, 7.2), (128, 132, 138))
    box(canvas, frame, (-0.12, 0.12), (-8.6, 8.8), (6.9, 7.2), (128, 132, 138))
    for y in (-5.4, 0.6):
        box(canvas, frame, (-0.2, 0.2), (y, y + 4.6), (5.6, 7.6), (24, 92, 178))
        for z in (6.2, 6.8):
            side = -0.22 if x > 0 else 0.22
            long = rng.uniform(1.4, 3.4)
            line = [
                (side, y + 0.5, z),
                (side, y + 0.5 + long, z),
                (side, y + 0.5 + long, z + 0.22),
                (side, y + 0.5, z + 0.22),
            ]
            canvas.polygon(frame.points(line), LINE)


def suburban_road(canvas: Canvas, light: Light, rng: random.Random, moved: float) -> None:
    """Two lanes between lawns, hedges, trees and small houses."""
    hills(canvas, light, rng)
    strips(canvas, GRASS, -FAR, FAR)
    strips(canvas, ASPHALT, -5.5, 5.5)
    for y in (-6.4, 6.4):
        strips(canvas, PAVEMENT, y - 0.9, y + 0.9)
    dashes(canvas, 1.6, moved)
    suburban_sides(canvas, light, rng, moved, 16.0, 8.8, None)


def suburban_sides(
    canvas: Canvas,
    light: Light,
    rng: random.Random,
    moved: float,
    houses: float,
    trees: float,
    gap: tuple[float, float] | None,
) -> None:
    """Houses and trees at these distances from the middle; none in the gap that a crossing road leaves."""
    parts: list[tuple[float, float, Callable[[], None]]] = []
    for x, y, own in rows(rng, moved, 15.0, (houses, -houses)):
        if gap is None or not gap[0] - 5 < abs(x) < gap[1] + 5:
            parts.append((x, y, lambda x=x, y=y, own=own: house(canvas, light, own, x, y)))  # type: ignore[misc]
    for x, y, own in rows(rng, moved, 11.0, (trees, -trees)):
        if gap is None or not gap[0] - 2 < abs(x) < gap[1] + 2:
            parts.append((x, y, lambda x=x, y=y, own=own: tree(canvas, own, x, y)))  # type: ignore[misc]
    far_to_near(canvas, parts)


def tunnel(canvas: Canvas, light: Light, rng: random.Random, moved: float) -> None:
    """Walls, a ceiling and two strips of lamps; neither sky nor weather reach in."""
    canvas.draw.rectangle((0, 0, canvas.width, canvas.height), fill=(44, 40, 36))
    strips(canvas, (84, 82, 80), -6.5, 6.5)
    dashes(canvas, 0.0 + 2.0, moved)
    dashes(canvas, -2.0, moved)
    for i in range(20, -1, -1):  # far segments first, ahead and behind
        for start in (i * 5.0 - moved % 5.0, -(i * 5.0) - moved % 5.0):
            dim = 1.0 - 0.02 * i
            for y in (-6.5, 6.5):
                canvas.polygon(
                    [(start, y, 0), (start + 5, y, 0), (start + 5, y, 3.4), (start, y, 3.4)], (214, 206, 188), dim
                )
                canvas.polygon(
                    [(start, y, 3.4), (start + 5, y, 3.4), (start + 5, y * 0.8, 5.6), (start, y * 0.8, 5.6)],
                    (150, 142, 128),
                    dim,
                )
                canvas.polygon(
                    [
                        (start, y * 0.995, 0.9),
                        (start + 5, y * 0.995, 0.9),
                        (start + 5, y * 0.995, 1.3),
                        (start, y * 0.995, 1.3),
                    ],
                    (236, 150, 40),
                    dim,
                )
            canvas.polygon(
                [(start, -5.2, 5.6), (start + 5, -5.2, 5.6), (start + 5, 5.2, 5.6), (start, 5.2, 5.6)],
                (96, 90, 82),
                dim,
            )
            for y in (-3.0, 3.0):
                canvas.glowing(
                    [
                        (start + 1, y - 0.35, 5.5),
                        (start + 3.6, y - 0.35, 5.5),
                        (start + 3.6, y + 0.35, 5.5),
                        (start + 1, y + 0.35, 5.5),
                    ],
                    (255, 240, 190),
                )


def bridge(canvas: Canvas, light: Light, rng: random.Random, moved: float) -> None:
    """Two lanes over water, railings, and pylons that hold the cables."""
    skyline(canvas, light, rng, (112, 120, 136), 0.05)
    water = mixed((58, 116, 150), light.horizon, 0.35)
    canvas.draw.rectangle((0, canvas.horizon, canvas.width, canvas.height), fill=water)
    for i in range(26):
        y = canvas.horizon + canvas.height * (0.01 + 0.5 * (i / 26) ** 1.6)
        x = rng.uniform(0, 1) * canvas.width
        canvas.draw.line((x, y, x + canvas.width * 0.1, y), fill=mixed(water, light.horizon, 0.5), width=3)
    strips(canvas, (122, 122, 126), -7.6, 7.6)
    strips(canvas, ASPHALT, -6.6, 6.6)
    for y in (-6.3, 6.3):
        strips(canvas, LINE, y - 0.1, y + 0.1)
    dashes(canvas, 2.0, moved)
    dashes(canvas, -2.0, moved)
    parts: list[tuple[float, float, Callable[[], None]]] = []
    for x, y, _ in rows(rng, moved, 4.0, (-7.4, 7.4)):
        parts.append((x, y, lambda x=x, y=y: rail(canvas, x, y)))  # type: ignore[misc]
    for x, y, _ in rows(rng, moved, 46.0, (-7.9, 7.9)):
        parts.append((x, y, lambda x=x, y=y: pylon(canvas, x, y)))  # type: ignore[misc]
    far_to_near(canvas, parts)


def rail(canvas: Canvas, x: float, y: float) -> None:
    steel = (176, 74, 58)
    for z in (0.5, 1.05):
        canvas.polygon([(x, y, z), (x + 4, y, z), (x + 4, y, z + 0.14), (x, y, z + 0.14)], steel)
    canvas.polygon([(x, y, 0), (x + 0.2, y, 0), (x + 0.2, y, 1.2), (x, y, 1.2)], steel)


def pylon(canvas: Canvas, x: float, y: float) -> None:
    frame, steel = Frame(x, y, 0.0), (186, 80, 62)
    for reach in (6, 12, 18, 23):  # cables down to the deck
        for end in (-1, 1):
            top, foot = 15.0 - reach * 0.15, 1.0
            canvas.polygon(
                [(x, y, top), (x + end * reach, y, foot), (x + end * reach, y, foot + 0.18), (x, y, top + 0.18)],
                (206, 196, 190),
            )
    box(canvas, frame, (-0.7, 0.7), (-0.5, 0.5), (0.0, 16.0), steel)
    if y > 0:  # the beam between the two
        box(canvas, frame, (-0.5, 0.5), (-2 * y, 0.0), (12.5, 13.6), steel)
