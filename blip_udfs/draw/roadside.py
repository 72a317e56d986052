"""What lines a road, and a road's own strips and marks -> drawn on a canvas."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from blip_udfs.draw.canvas import Canvas, Color, Frame, box
from blip_udfs.draw.sky import Light, mixed

LINE: Color = (236, 236, 230)
LAMPLIGHT: Color = (255, 214, 140)
FAR = 130.0  # metres drawn ahead and behind


def strips(canvas: Canvas, color: Color, y0: float, y1: float) -> None:
    canvas.ground(-FAR, FAR, y0, y1, color)


def dashes(canvas: Canvas, y: float, moved: float, length: float = 3.0, gap: float = 6.0, wide: float = 0.18) -> None:
    start = -FAR / 2 - moved % (length + gap)
    while start < FAR / 2:
        canvas.ground(start, start + length, y - wide / 2, y + wide / 2, LINE)
        start += length + gap


def far_to_near(canvas: Canvas, parts: list[tuple[float, float, Callable[[], None]]]) -> None:
    """Draws parts (x, y, draw) that are before the camera, the farthest first."""
    for _, _, draw in sorted(parts, key=lambda part: -math.hypot(part[0], part[1])):
        draw()


def skyline(canvas: Canvas, light: Light, rng: random.Random, color: Color, high: float) -> None:
    """Far buildings or hills, in the haze of the horizon."""
    base = canvas.horizon
    x = 0.0
    tint = mixed(color, light.horizon, 0.55)
    while x < canvas.width:
        wide = rng.uniform(0.03, 0.08) * canvas.width
        canvas.draw.rectangle((x, base - rng.uniform(0.3, 1.0) * high * canvas.height, x + wide, base + 2), fill=tint)
        x += wide


def hills(canvas: Canvas, light: Light, rng: random.Random) -> None:
    base = canvas.horizon
    for _ in range(6):
        x, wide = rng.uniform(0, 1) * canvas.width, rng.uniform(0.25, 0.5) * canvas.width
        high = rng.uniform(0.03, 0.09) * canvas.height
        tint = mixed((74, 112, 74), light.horizon, 0.7 if light.night else 0.4)
        canvas.draw.pieslice((x - wide / 2, base - high, x + wide / 2, base + high), 180, 360, fill=tint)


def building(
    canvas: Canvas, light: Light, rng: random.Random, x: float, y: float, size: tuple[float, float, float]
) -> None:
    """A block with rows of windows on the side that faces the road; some are lit at night."""
    long, deep, high = size
    wall = rng.choice([(178, 128, 104), (196, 186, 168), (146, 150, 160), (206, 172, 134), (122, 112, 118)])
    frame = Frame(x, y, 0.0)
    box(canvas, frame, (-long / 2, long / 2), (-deep / 2, deep / 2), (0.0, high), wall)
    face = -math.copysign(deep / 2 + 0.02, y)
    floors, bays = int(high // 3.2), int(long // 2.6)
    for floor in range(floors):
        for bay in range(bays):
            lit = light.night and rng.random() < 0.45
            left, low = -long / 2 + 0.6 + bay * 2.6, 1.0 + floor * 3.2
            panel = frame.points(
                [(left, face, low), (left + 1.5, face, low), (left + 1.5, face, low + 1.7), (left, face, low + 1.7)]
            )
            if lit:
                canvas.glowing(panel, LAMPLIGHT)
            else:
                canvas.polygon(panel, (92, 108, 128))


def house(canvas: Canvas, light: Light, rng: random.Random, x: float, y: float) -> None:
    """A small house under a pitched roof."""
    wall = rng.choice([(226, 214, 190), (200, 176, 150), (214, 206, 200), (188, 150, 128)])
    roof = rng.choice([(150, 66, 50), (110, 72, 60), (92, 92, 104)])
    frame, long, deep, high = Frame(x, y, 0.0), 8.0, 6.5, 3.4
    box(canvas, frame, (-long / 2, long / 2), (-deep / 2, deep / 2), (0.0, high), wall)
    face = -math.copysign(deep / 2, y)
    ridge = high + 2.2
    canvas.polygon(
        frame.points(
            [
                (-long / 2 - 0.4, face * 1.15, high),
                (long / 2 + 0.4, face * 1.15, high),
                (long / 2, 0, ridge),
                (-long / 2, 0, ridge),
            ]
        ),
        roof,
    )
    for end in (-1, 1):
        gable = frame.points(
            [(end * long / 2, -deep / 2, high), (end * long / 2, deep / 2, high), (end * long / 2, 0, ridge)]
        )
        if -x * end > 0:
            canvas.polygon(gable, wall, 0.85)
    for left in (-2.8, 1.4):
        panel = frame.points(
            [
                (left, face * 1.01, 1.1),
                (left + 1.4, face * 1.01, 1.1),
                (left + 1.4, face * 1.01, 2.4),
                (left, face * 1.01, 2.4),
            ]
        )
        if light.night and rng.random() < 0.6:
            canvas.glowing(panel, LAMPLIGHT)
        else:
            canvas.polygon(panel, (92, 108, 128))


def tree(canvas: Canvas, rng: random.Random, x: float, y: float) -> None:
    """A trunk and three balls of leaves, facing the camera."""
    frame, high = Frame(x, y, canvas.yaw - math.pi / 2), rng.uniform(4.0, 6.0)
    leaves = rng.choice([(58, 118, 52), (78, 134, 58), (48, 100, 58)])
    canvas.polygon(
        frame.points([(-0.18, 0, 0), (0.18, 0, 0), (0.14, 0, high * 0.6), (-0.14, 0, high * 0.6)]), (96, 72, 52)
    )
    for dx, dz, radius, bright in ((-0.7, 0.6, 1.2, 0.85), (0.7, 0.65, 1.2, 0.95), (0.0, 0.85, 1.35, 1.1)):
        ring = [
            (dx + radius * math.cos(t * math.pi / 7), 0, high * dz + radius * math.sin(t * math.pi / 7))
            for t in range(14)
        ]
        canvas.polygon(frame.points(ring), leaves, bright)


def lamp(canvas: Canvas, light: Light, x: float, y: float) -> None:
    """A street lamp, its arm over the road."""
    frame, reach = Frame(x, y, 0.0), -math.copysign(1.8, y)
    box(canvas, frame, (-0.08, 0.08), (-0.08, 0.08), (0.0, 6.2), (96, 98, 104))
    box(canvas, frame, (-0.06, 0.06), (min(0, reach), max(0, reach)), (6.1, 6.25), (96, 98, 104))
    head = frame.points([(0, reach - 0.4, 6.1), (0, reach + 0.4, 6.1), (0, reach + 0.4, 5.9), (0, reach - 0.4, 5.9)])
    if light.night:
        canvas.glowing(head, LAMPLIGHT)
        pixels = canvas.project([head.mean(0)])
        if pixels:
            canvas.glows.append((*pixels[0], 0.8 * canvas.pixels_per_metre(x, y), LAMPLIGHT))
    else:
        canvas.polygon(head, (206, 208, 210))


def rows(
    rng: random.Random, moved: float, step: float, ys: tuple[float, ...]
) -> list[tuple[float, float, random.Random]]:
    """Places along the road every `step` metres; what stands in a place keeps its own seed while the drive moves."""
    seed, first = rng.randrange(2**31), math.floor((moved - 70) / step)
    places = []
    for index in range(first, first + int(140 / step) + 1):
        for y in ys:
            places.append((index * step - moved, y, random.Random(f"{seed}/{index}/{y}")))
    return places
