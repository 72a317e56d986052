"""A vehicle or person and a canvas -> its drawing and the box around it."""

from __future__ import annotations

import math

from blip_udfs.draw.canvas import Canvas, Color, Frame, box
from blip_udfs.draw.world import DIMENSIONS, Thing

PAINT: dict[str, Color] = {
    "red": (214, 34, 30),
    "blue": (34, 84, 214),
    "white": (238, 239, 242),
    "black": (36, 36, 42),
    "yellow": (246, 205, 26),
    "green": (30, 150, 66),
}
GLASS: Color = (58, 74, 92)
TYRE: Color = (22, 22, 24)
SKIN: Color = (224, 178, 146)
TROUSERS: Color = (54, 58, 74)
HEADLIGHT: Color = (255, 250, 214)
TAILLIGHT: Color = (255, 40, 30)

Box = tuple[float, float, float, float]


def draw_thing(canvas: Canvas, thing: Thing, night: bool) -> Box:
    """Draws it; its box in pixels of the finished picture, not clipped to it."""
    canvas.extent = []
    lamps: list = []
    {"car": car, "truck": truck, "bus": bus, "pedestrian": pedestrian, "cyclist": cyclist}[thing.kind](
        canvas, thing, lamps
    )
    points, canvas.extent = canvas.extent, None
    if night:
        lights(canvas, lamps)
    us, vs = [u for u, _ in points], [v for _, v in points]
    smooth = canvas.width / canvas.finished_width
    return min(us) / smooth, min(vs) / smooth, max(us) / smooth, max(vs) / smooth


def seen(canvas: Canvas, thing: Thing) -> bool:
    """Whether all of it is in front of the camera."""
    return canvas.depth(thing.x, thing.y) > DIMENSIONS[thing.kind][0] / 2 + 1.5


def shadow(canvas: Canvas, frame: Frame, length: float, width: float) -> None:
    canvas.polygon(
        frame.points([(a * (length / 2 + 0.2), b * (width / 2 + 0.25), 0.0) for a, b in CORNERS]), (34, 35, 38)
    )


CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def wheels(canvas: Canvas, frame: Frame, xs: tuple[float, ...], across: float, radius: float) -> None:
    """Discs on the side that looks at the camera, and the tyres of the end that does."""
    for sign in (-1, 1):
        for y in (-across, across - 0.32):
            canvas.polygon(end_panel(frame, sign * (max(xs) + radius), (y, y + 0.32), (0.0, radius * 1.6)), TYRE)
    for side in [side for side in (-1, 1) if facing(frame, 1, side, across)]:
        for x in xs:
            ring = [(math.cos(t * math.pi / 5), math.sin(t * math.pi / 5)) for t in range(10)]
            canvas.polygon(frame.points([(x + radius * c, side * across, radius + radius * s) for c, s in ring]), TYRE)
            inner = radius * 0.5
            canvas.polygon(
                frame.points([(x + inner * c, side * (across + 0.01), radius + inner * s) for c, s in ring]),
                (150, 152, 158),
            )


def end_panel(frame: Frame, x: float, y: tuple[float, float], z: tuple[float, float]):
    return frame.points([(x, y[0], z[0]), (x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1])])


def side_panel(frame: Frame, y: float, x: tuple[float, float], z: tuple[float, float]):
    return frame.points([(x[0], y, z[0]), (x[1], y, z[0]), (x[1], y, z[1]), (x[0], y, z[1])])


def facing(frame: Frame, axis: int, sign: int, half: float) -> bool:
    """Whether the end (axis 0) or side (axis 1) of this sign, `half` metres from the middle, looks at the camera."""
    return -float(frame.origin @ frame.axes[axis]) * sign > half


def lamp_pair(canvas: Canvas, frame: Frame, half: float, across: float, z: float, lamps: list) -> None:
    """Head lamps in front, tail lamps behind; what looks at the camera."""
    for sign, color in ((1, HEADLIGHT), (-1, TAILLIGHT)):
        if facing(frame, 0, sign, half):
            for side in (-1, 1):
                y = (side * across * 0.6, side * across * 0.95)
                panel = end_panel(frame, sign * (half + 0.02), y, (z, z + 0.22))
                canvas.glowing(panel, color)
                lamps.append((panel.mean(0), color))


def car(canvas: Canvas, thing: Thing, lamps: list) -> None:
    length, width, height = DIMENSIONS["car"]
    frame, paint = Frame(thing.x, thing.y, thing.heading), PAINT[thing.color]
    half, across = length / 2, width / 2
    shadow(canvas, frame, length, width)
    box(canvas, frame, (-half, half), (-across, across), (0.28, 0.9), paint)
    wheels(canvas, frame, (-half * 0.62, half * 0.62), across, 0.34)
    cabin = (-half * 0.75, half * 0.4)
    box(canvas, frame, cabin, (-across * 0.86, across * 0.86), (0.9, height - 0.12), GLASS)
    box(canvas, frame, cabin, (-across * 0.86, across * 0.86), (height - 0.12, height), paint)
    for x in (cabin[0] + 0.08, sum(cabin) / 2, cabin[1] - 0.08):  # pillars
        for side in (-1, 1):
            if facing(frame, 1, side, across):
                canvas.polygon(side_panel(frame, side * across * 0.87, (x - 0.06, x + 0.06), (0.9, height)), paint)
    for sign in (-1, 1):
        if facing(frame, 0, sign, half):
            canvas.polygon(end_panel(frame, sign * half * 1.003, (-across, across), (0.28, 0.42)), (40, 41, 45))
            canvas.polygon(end_panel(frame, sign * half * 1.004, (-0.28, 0.28), (0.46, 0.6)), (225, 226, 228))
    lamp_pair(canvas, frame, half, across, 0.64, lamps)


def truck(canvas: Canvas, thing: Thing, lamps: list) -> None:
    length, width, height = DIMENSIONS["truck"]
    frame, paint = Frame(thing.x, thing.y, thing.heading), PAINT[thing.color]
    half, across = length / 2, width / 2
    shadow(canvas, frame, length, width)
    box(canvas, frame, (-half, half), (-across * 0.8, across * 0.8), (0.45, 0.8), (48, 49, 53))
    wheels(canvas, frame, (-half * 0.75, -half * 0.42, half * 0.72), across, 0.48)
    parts = [truck_cab, truck_cargo]
    if facing(frame, 0, 1, half):  # the cab is nearer: it is drawn last
        parts.reverse()
    for part in parts:
        part(canvas, frame, paint, half, across, height)
    lamp_pair(canvas, frame, half, across, 0.55, lamps)


def truck_cargo(canvas: Canvas, frame: Frame, paint: Color, half: float, across: float, height: float) -> None:
    back, front = -half, half * 0.42
    box(canvas, frame, (back, front), (-across, across), (0.8, height), paint)
    edge = (205, 206, 210) if paint != PAINT["white"] else (120, 122, 128)
    if facing(frame, 0, -1, half):
        for y in (-across, -0.05, across - 0.1):  # doors
            canvas.polygon(end_panel(frame, back - 0.02, (y, y + 0.1), (0.8, height)), edge)
        for z in (0.8, 1.6, 2.4, height - 0.1):
            canvas.polygon(end_panel(frame, back - 0.02, (-across, across), (z, z + 0.08)), edge)
    for side in (-1, 1):
        if facing(frame, 1, side, across):
            for x in (back, back + (front - back) / 3, back + (front - back) * 2 / 3, front - 0.1):
                canvas.polygon(side_panel(frame, side * (across + 0.01), (x, x + 0.09), (0.8, height)), edge)


def truck_cab(canvas: Canvas, frame: Frame, paint: Color, half: float, across: float, height: float) -> None:
    back, front, top = half * 0.5, half, height * 0.8
    box(canvas, frame, (back, front), (-across * 0.95, across * 0.95), (0.6, top), paint)
    if facing(frame, 0, 1, half):
        canvas.polygon(end_panel(frame, front + 0.02, (-across * 0.85, across * 0.85), (1.6, 2.35)), GLASS)
        canvas.polygon(end_panel(frame, front + 0.02, (-across * 0.6, across * 0.6), (0.8, 1.3)), (52, 53, 58))
    for side in (-1, 1):
        if facing(frame, 1, side, across):
            window = (back + 0.5, front - 0.15)
            canvas.polygon(side_panel(frame, side * across * 0.96, window, (1.6, 2.35)), GLASS)


def bus(canvas: Canvas, thing: Thing, lamps: list) -> None:
    length, width, height = DIMENSIONS["bus"]
    frame, paint = Frame(thing.x, thing.y, thing.heading), PAINT[thing.color]
    half, across = length / 2, width / 2
    shadow(canvas, frame, length, width)
    box(canvas, frame, (-half, half), (-across, across), (0.35, height), paint)
    wheels(canvas, frame, (-half * 0.62, half * 0.62), across, 0.46)
    for side in (-1, 1):
        if facing(frame, 1, side, across):
            for i in range(7):  # a row of windows
                x = -half + 0.3 + i * (length - 0.6) / 7
                panel = side_panel(frame, side * (across + 0.02), (x + 0.08, x + (length - 0.6) / 7), (1.4, 2.45))
                canvas.polygon(panel, (150, 186, 214))
    for sign in (-1, 1):
        if facing(frame, 0, sign, half):  # one wide window, a lit sign above it
            canvas.polygon(
                end_panel(frame, sign * (half + 0.02), (-across * 0.9, across * 0.9), (1.25, 2.45)), (150, 186, 214)
            )
            canvas.glowing(
                end_panel(frame, sign * (half + 0.03), (-across * 0.7, across * 0.7), (2.6, 2.9)), (255, 150, 30)
            )
            canvas.polygon(end_panel(frame, sign * (half + 0.03), (-across, across), (0.35, 0.55)), (40, 41, 45))
    lamp_pair(canvas, frame, half, across, 0.7, lamps)


def billboard(thing: Thing, canvas: Canvas) -> Frame:
    """A person is flat and faces the camera: the frame's first axis runs to the right of the picture."""
    return Frame(thing.x, thing.y, canvas.yaw - math.pi / 2)


def flat(canvas: Canvas, frame: Frame, points, color: Color) -> None:
    canvas.polygon(frame.points([(x, 0.0, z) for x, z in points]), color)


def bar(canvas: Canvas, frame: Frame, start, end, thick: float, color: Color) -> None:
    """A thick line from (x, z) to (x, z)."""
    dx, dz = end[0] - start[0], end[1] - start[1]
    norm = math.hypot(dx, dz) or 1.0
    ox, oz = -dz / norm * thick / 2, dx / norm * thick / 2
    corners = [
        (start[0] + ox, start[1] + oz),
        (end[0] + ox, end[1] + oz),
        (end[0] - ox, end[1] - oz),
        (start[0] - ox, start[1] - oz),
    ]
    flat(canvas, frame, corners, color)


def disc(canvas: Canvas, frame: Frame, x: float, z: float, radius: float, color: Color) -> None:
    ring = [(x + radius * math.cos(t * math.pi / 6), z + radius * math.sin(t * math.pi / 6)) for t in range(12)]
    flat(canvas, frame, ring, color)


def pedestrian(canvas: Canvas, thing: Thing, lamps: list) -> None:
    frame, paint = billboard(thing, canvas), PAINT[thing.color]
    shadow(canvas, frame, 0.6, 0.3)
    bar(canvas, frame, (0.0, 0.9), (-0.24, 0.0), 0.2, TROUSERS)
    bar(canvas, frame, (0.0, 0.9), (0.24, 0.0), 0.2, TROUSERS)
    flat(canvas, frame, [(-0.3, 0.8), (0.3, 0.8), (0.33, 1.5), (-0.33, 1.5)], paint)
    bar(canvas, frame, (-0.32, 1.45), (-0.42, 0.9), 0.15, paint)
    bar(canvas, frame, (0.32, 1.45), (0.42, 0.9), 0.15, paint)
    disc(canvas, frame, 0.0, 1.7, 0.19, SKIN)


def cyclist(canvas: Canvas, thing: Thing, lamps: list) -> None:
    frame, paint = billboard(thing, canvas), PAINT[thing.color]
    turned = 1 if math.sin(thing.heading - canvas.yaw) < 0 else -1
    shadow(canvas, frame, 1.9, 0.3)
    road = (118, 120, 124)
    for x in (-0.62, 0.62):
        disc(canvas, frame, x, 0.38, 0.38, TYRE)
        disc(canvas, frame, x, 0.38, 0.27, road)
    for start, end in (
        ((-0.62, 0.38), (-0.1, 0.85)),
        ((-0.1, 0.85), (0.5, 0.9)),
        ((-0.05, 0.38), (0.5, 0.9)),
        ((0.5, 1.05), (0.62, 0.38)),
    ):
        bar(canvas, frame, (turned * start[0], start[1]), (turned * end[0], end[1]), 0.08, (90, 92, 98))
    bar(canvas, frame, (turned * -0.15, 0.95), (turned * 0.05, 0.3), 0.2, TROUSERS)
    hips, neck = turned * -0.2, turned * 0.28
    flat(canvas, frame, [(hips - 0.2, 0.9), (hips + 0.22, 0.9), (neck + 0.2, 1.48), (neck - 0.22, 1.52)], paint)
    bar(canvas, frame, (neck, 1.4), (turned * 0.55, 1.05), 0.13, paint)
    disc(canvas, frame, turned * 0.36, 1.7, 0.2, (60, 62, 70))  # helmet
    disc(canvas, frame, turned * 0.42, 1.64, 0.14, SKIN)


def lights(canvas: Canvas, lamps: list) -> None:
    """Lamps that shine at night are remembered for the glow."""
    for centre, color in lamps:
        pixels = canvas.project([centre])
        if pixels:
            canvas.glows.append((*pixels[0], 0.5 * canvas.pixels_per_metre(centre[0], centre[1]), color))
