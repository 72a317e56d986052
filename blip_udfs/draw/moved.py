"""A picture as another camera would have taken it: its place, direction, lens and shape, what it makes of light, what
is cut off, how much JPEG loses; and which things can still be seen where."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from blip_udfs.draw.canvas import FOCAL, HEIGHT, HORIZON, Pinhole
from blip_udfs.draw.picture import SEEN_SHARE, Seen, View, area, clipped, draw, side_of
from blip_udfs.draw.things import Box
from blip_udfs.draw.tree import QUALITY
from blip_udfs.draw.world import CAMERAS, Drive

BORDER = (96, 96, 96)
MIRRORED = {"left": "right", "right": "left", "ahead": "ahead"}


@dataclass(frozen=True)
class Move:
    """What is other than with ONCE's camera.

    `size` in pixels, before anything is cut off; `zoom` multiplies the focal length; `height` in metres; pitch (down),
    yaw and roll in degrees; `cut`: the shares of left, top, right and bottom that are cut off; `border`: the share of
    width and height that a grey border takes; light, contrast and warmth (of red, and 1 / warmth of blue) are factors;
    `blur`: the deviation of a Gaussian as a share of the width; `noise`: levels of 255; `quality`: JPEG's.
    """

    size: tuple[int, int] = (960, 510)
    zoom: float = 1.0
    height: float = HEIGHT
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0
    cut: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    border: float = 0.0
    mirror: bool = False
    light: float = 1.0
    contrast: float = 1.0
    warmth: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    quality: int = QUALITY


def cut_off(share: float) -> Move:
    """So much of width and height in all, from each side alike."""
    return Move(cut=(share / 2, share / 2, share / 2, share / 2))


CHANGES = {  # what a model is judged under, each by itself
    "10 % cut off": cut_off(0.1),
    "20 % cut off": cut_off(0.2),
    "zoomed out, a border": Move(border=0.2),
    "4:3": Move((960, 720)),
    "16:9": Move((960, 540)),
    "2.2:1": Move((960, 436)),
    "320 px wide": Move((320, 170)),
    "1920 px wide": Move((1920, 1020)),
    "pitch 3 degrees": Move(pitch=3.0),
    "roll 3 degrees": Move(roll=3.0),
    "JPEG 40": Move(quality=40),
    "0.6 of the light": Move(light=0.6),
    "blur": Move(blur=1.5 / 960),
}


def drawn(rng: random.Random, widths: dict[int, float]) -> Move:
    """A move within what cars' cameras have, most often several at once; `widths` in pixels and how often each."""
    (width,) = rng.choices(list(widths), weights=list(widths.values()))
    move = Move((width, round(width / rng.uniform(1.3, 2.25))), quality=rng.randint(40, 95))
    if rng.random() < 0.7:
        move = replace(
            move,
            zoom=math.exp(rng.uniform(-0.15, 0.15)),
            height=rng.uniform(1.4, 2.1),
            pitch=max(-4.0, min(4.0, rng.gauss(0, 1.8))),
            yaw=rng.uniform(-3, 3),
            roll=max(-4.0, min(4.0, rng.gauss(0, 1.5))) if rng.random() < 0.6 else 0.0,
        )
    if rng.random() < 0.55:  # 0.6 to 1 of the area is kept, in any part of the picture
        off = [1 - math.sqrt(rng.uniform(0.6, 1.0)) * rng.uniform(0.94, 1.06) for _ in "xy"]
        off = [max(0.0, min(0.28, each)) for each in off]
        left, top = (each * rng.uniform(0.2, 0.8) for each in off)
        move = replace(move, cut=(left, top, off[0] - left, off[1] - top))
    elif rng.random() < 0.25:
        move = replace(move, border=rng.uniform(0.05, 0.25))
    if rng.random() < 0.6:
        light = math.exp(rng.uniform(math.log(0.5), math.log(1.35)))
        move = replace(move, light=light, contrast=rng.uniform(0.8, 1.2), warmth=math.exp(rng.uniform(-0.06, 0.06)))
    if rng.random() < 0.3:
        move = replace(move, blur=rng.uniform(0.3, 2.0) / 960)
    if rng.random() < 0.3:
        move = replace(move, noise=rng.uniform(1, 8))
    return replace(move, mirror=rng.random() < 0.5)


def taken(drive: Drive, frame: int, camera: str, move: Move) -> View:
    """The picture, after JPEG, and the things that can still be seen, their sides and boxes as they now are."""
    focal = FOCAL * move.zoom
    width, height = move.size
    horizon = HORIZON - math.tan(math.radians(move.pitch)) * focal * width / height
    view = draw(drive, frame, camera, move.size, Pinhole(CAMERAS[camera] + move.yaw, focal, move.height, horizon))
    if move.roll:
        view = rolled(view, move.roll)
    if any(move.cut):
        view = cut(view, move.cut)
    if move.border:
        view = bordered(view, move.border)
    if move.mirror:
        view = mirrored(view)
    seed = random.Random(f"{drive.scenery}/{camera}/{frame}/grain").randrange(2**32)
    return View(compressed(developed(view.image, move, seed), move.quality), view.things)


def rolled(view: View, degrees: float) -> View:
    """Turned about its middle, and enlarged until no corner is empty."""
    width, height = view.image.size
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    grow = cos + abs(sin) * max(width / height, height / width)
    a, b = cos / grow, sin / grow  # of a new pixel's place from the middle to its old one
    shift = width / 2 - a * width / 2 - b * height / 2, height / 2 + b * width / 2 - a * height / 2
    image = view.image.transform(
        view.image.size, Image.Transform.AFFINE, (a, b, shift[0], -b, a, shift[1]), Image.Resampling.BICUBIC
    )

    def turned(box: Box) -> Box:
        x, y = (box[0] + box[2]) / 2 - width / 2, (box[1] + box[3]) / 2 - height / 2
        x, y = grow * (cos * x - sin * y) + width / 2, grow * (sin * x + cos * y) + height / 2
        wide, high = (box[2] - box[0]) / 2 * grow, (box[3] - box[1]) / 2 * grow
        return x - wide, y - high, x + wide, y + high

    return View(image, still_seen(view.things, turned, image.size))


def cut(view: View, off: tuple[float, float, float, float]) -> View:
    width, height = view.image.size
    left, top = round(off[0] * width), round(off[1] * height)
    right, bottom = width - round(off[2] * width), height - round(off[3] * height)
    image = view.image.crop((left, top, right, bottom))
    return View(
        image,
        still_seen(view.things, lambda b: (b[0] - left, b[1] - top, b[2] - left, b[3] - top), image.size),
    )


def bordered(view: View, share: float) -> View:
    """The whole picture, smaller, in a border; the picture's size stays."""
    width, height = view.image.size
    inner = round(width * (1 - share)), round(height * (1 - share))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    image = Image.new("RGB", (width, height), BORDER)
    image.paste(view.image.resize(inner, Image.Resampling.BICUBIC), (left, top))
    x, y = inner[0] / width, inner[1] / height
    return View(
        image,
        still_seen(
            view.things,
            lambda b: (b[0] * x + left, b[1] * y + top, b[2] * x + left, b[3] * y + top),
            image.size,
        ),
    )


def mirrored(view: View) -> View:
    width = view.image.width
    things = [
        replace(
            each, box=(width - each.box[2], each.box[1], width - each.box[0], each.box[3]), side=MIRRORED[each.side]
        )
        for each in view.things
    ]
    return View(ImageOps.mirror(view.image), tuple(things))


def still_seen(things: tuple[Seen, ...], moved: Callable[[Box], Box], size: tuple[int, int]) -> tuple[Seen, ...]:
    """Those of which enough is left in the picture, with their new boxes and sides."""
    out = []
    for each in things:
        box = moved(each.box)
        left = clipped(box, size)
        if area(left) >= SEEN_SHARE * area(box) > 0:
            out.append(replace(each, box=left, side=side_of((box[0] + box[2]) / 2 / size[0])))
    return tuple(out)


def developed(image: Image.Image, move: Move, seed: int) -> Image.Image:
    """Light, contrast and warmth, blur, noise."""
    if move.blur:
        image = image.filter(ImageFilter.GaussianBlur(move.blur * image.width))
    if (move.light, move.contrast, move.warmth, move.noise) == (1.0, 1.0, 1.0, 0.0):
        return image
    levels = np.asarray(image, np.float32)
    mean = levels.mean()
    levels = ((levels - mean) * move.contrast + mean) * move.light * np.array([move.warmth, 1, 1 / move.warmth])
    if move.noise:
        levels = levels + np.random.default_rng(seed).normal(0, move.noise, levels.shape)
    return Image.fromarray(levels.clip(0, 255).round().astype(np.uint8))


def compressed(image: Image.Image, quality: int) -> Image.Image:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=quality)
    return Image.open(encoded).convert("RGB")
