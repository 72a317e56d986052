"""Weather and period -> the light, the sky, rain and the glow of lamps."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from blip_udfs.draw.canvas import Canvas, Color, shade


@dataclass(frozen=True)
class Light:
    """Colours of a sky from the zenith to the horizon, and what they do to a surface's colour."""

    zenith: Color
    horizon: Color
    surface: tuple[float, float, float]
    night: bool
    rain: bool
    sun: tuple[float, float, float] | None  # place in the picture (shares of width, of height), radius


PERIOD_SKY: dict[str, tuple[Color, Color, tuple[float, float, float]]] = {
    "morning": ((142, 160, 214), (255, 206, 196), (1.02, 0.93, 0.92)),
    "noon": ((58, 128, 226), (186, 220, 250), (1.04, 1.04, 1.04)),
    "afternoon": ((214, 150, 84), (255, 206, 112), (1.06, 0.92, 0.72)),
    "night": ((6, 9, 24), (22, 28, 52), (0.42, 0.44, 0.54)),
}
SUN = {"morning": (0.13, 0.36, 0.035), "noon": (0.62, 0.08, 0.05), "afternoon": (0.86, 0.34, 0.045)}
GREY: Color = (176, 180, 188)
RAIN_GREY: Color = (120, 126, 136)


def mixed(color: Color, other: Color, share: float) -> Color:
    return shade([a * (1 - share) + b * share for a, b in zip(color, other, strict=True)], 1.0)


def light_of(weather: str, period: str) -> Light:
    """The period gives the colours, clouds and rain grey and dim them."""
    zenith, horizon, surface = PERIOD_SKY[period]
    night = period == "night"
    if weather != "sunny" and not night:
        grey, share, dim = (GREY, 0.62, 0.9) if weather == "cloudy" else (RAIN_GREY, 0.72, 0.74)
        zenith, horizon = mixed(zenith, grey, share), mixed(horizon, grey, share)
        surface = tuple(dim * (0.55 * s + 0.45 * sum(surface) / 3) for s in surface)  # type: ignore[assignment]
    if night and weather == "cloudy":
        zenith, horizon = (26, 27, 36), (44, 44, 54)
    if night and weather == "rainy":
        zenith, horizon = (16, 20, 30), (34, 40, 52)
    sun = SUN.get(period) if weather == "sunny" else None
    return Light(zenith, horizon, surface, night, weather == "rainy", sun)


def draw_sky(canvas: Canvas, light: Light, weather: str, rng: random.Random) -> None:
    """A gradient, then sun, stars or clouds."""
    top = int(canvas.horizon) + 2
    steps = 24
    for i in range(steps):
        color = mixed(light.zenith, light.horizon, (i / (steps - 1)) ** 1.4)
        canvas.draw.rectangle((0, top * i // steps, canvas.width, top * (i + 1) // steps), fill=color)
    canvas.draw.rectangle((0, top, canvas.width, top * 1.08), fill=light.horizon)  # haze, where the ground ends
    if light.sun:
        x, y, radius = light.sun[0] * canvas.width, light.sun[1] * canvas.height, light.sun[2] * canvas.width
        for grow, share in ((2.2, 0.25), (1.5, 0.5), (1.0, 1.0)):
            disc = (x - radius * grow, y - radius * grow, x + radius * grow, y + radius * grow)
            canvas.draw.ellipse(disc, fill=mixed(light.horizon, (255, 250, 214), share))
    if light.night and weather == "sunny":  # a clear night
        for _ in range(70):
            x, y = rng.uniform(0, canvas.width), rng.uniform(0, top * 0.85)
            canvas.draw.ellipse((x, y, x + 3, y + 3), fill=(226, 230, 244))
        x, y, radius = canvas.width * 0.8, canvas.height * 0.1, canvas.width * 0.022
        canvas.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(240, 240, 226))
    if weather != "sunny":
        clouds(canvas, light, rng, 9 if weather == "cloudy" else 13)


def clouds(canvas: Canvas, light: Light, rng: random.Random, count: int) -> None:
    bright = (70, 72, 84) if light.night else (236, 238, 242)
    tint = mixed(light.horizon, bright, 0.15 if light.rain else 0.8)
    base = mixed(light.zenith, (70, 74, 84), 0.25 if light.night else 0.3)
    for _ in range(count):
        x, y = rng.uniform(-0.1, 1.0) * canvas.width, rng.uniform(0.0, 0.3) * canvas.height
        for color, drop in ((base, 0.012), (tint, 0.0)):
            for i in range(5):
                radius = canvas.width * (0.035 + 0.02 * (i % 3))
                cx, cy = x + i * canvas.width * 0.045, y + drop * canvas.height * 2
                canvas.draw.ellipse((cx - radius, cy - radius * 0.55, cx + radius, cy + radius * 0.55), fill=color)


def draw_glows(image: Image.Image, canvas: Canvas) -> Image.Image:
    """Halos around the lamps that shine at night, added to the picture."""
    if not canvas.glows:
        return image
    scale, shrink = image.width / canvas.width, 4
    layer = Image.new("RGB", (image.width // shrink, image.height // shrink))
    draw = ImageDraw.Draw(layer)
    for x, y, radius, color in canvas.glows:
        x, y, radius = (v * scale / shrink for v in (x, y, radius))
        radius = min(max(radius, 1.2), image.width / shrink / 12)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shade(color, 0.8))
    layer = layer.filter(ImageFilter.GaussianBlur(image.width / shrink / 90))
    return ImageChops.add(image, layer.resize(image.size, Image.Resampling.BILINEAR))


def draw_rain(image: Image.Image, light: Light, rng: random.Random) -> None:
    """Slanting streaks over the whole picture."""
    width, height = image.size
    draw = ImageDraw.Draw(image, "RGBA")
    streak = (196, 204, 220, 120) if light.night else (232, 238, 246, 150)
    thick = max(1, width // 420)
    for _ in range(230):
        x, y, long = rng.uniform(-0.05, 1.05) * width, rng.uniform(-0.05, 1) * height, rng.uniform(0.05, 0.12) * height
        draw.line((x, y, x - long * 0.28, y + long), fill=streak, width=thick)


def wet_ground(canvas: Canvas, light: Light) -> None:
    """What lines the road is mirrored dimly on it, as after rain."""
    horizon = round(canvas.horizon)
    depth = canvas.height - horizon
    above = canvas.image.crop((0, max(0, horizon - depth), canvas.width, horizon)).reduce(8)
    above = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM).filter(ImageFilter.GaussianBlur(2))
    mirrored = above.resize((canvas.width, depth), Image.Resampling.BILINEAR)
    below = canvas.image.crop((0, horizon, canvas.width, canvas.height))
    canvas.image.paste(Image.blend(below, mirrored, 0.45), (0, horizon))


def add_noise(image: Image.Image, seed: int) -> Image.Image:
    """A sensor's grain, so that JPEG sees no perfectly flat colours."""
    rng = np.random.default_rng(seed)
    grain = rng.integers(-4, 5, (image.height // 2, image.width // 2, 1), dtype=np.int16).repeat(2, 0).repeat(2, 1)
    pixels = np.asarray(image, np.int16)
    pixels = pixels[: grain.shape[0], : grain.shape[1]] + grain
    noisy = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    image.paste(noisy, (0, 0))
    return image
