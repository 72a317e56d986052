"""Shapes in metres and a camera -> filled polygons in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Points = Sequence[Sequence[float]] | np.ndarray  # (N, 3)
Factor = float | Sequence[float] | np.ndarray  # of brightness: one, or per red, green, blue

HEIGHT = 1.7  # of the camera above the ground, metres
FOCAL = 0.9  # in image widths: 58 degrees of view
HORIZON = 0.48  # in image heights, from the top
NEAR = 0.4  # metres: what is nearer is cut off
SMOOTH = 2  # pixels are drawn this many times larger and averaged: no jagged edges


def shade(color: Sequence[float], factor: Factor) -> Color:
    red, green, blue = (int(min(255, max(0, c))) for c in np.asarray(color, float) * factor)
    return red, green, blue


@dataclass(frozen=True)
class Pinhole:
    """A camera: degrees to the left of straight ahead; focal length in image widths; metres above the ground; where the
    horizon lies, in image heights from the top, which is what a small pitch moves."""

    yaw: float
    focal: float = FOCAL
    height: float = HEIGHT
    horizon: float = HORIZON


class Canvas:
    """A picture being drawn through one camera."""

    def __init__(self, size: tuple[int, int], pinhole: Pinhole, light: Sequence[float]) -> None:
        self.width, self.height = size[0] * SMOOTH, size[1] * SMOOTH
        self.yaw, self.above_ground = math.radians(pinhole.yaw), pinhole.height
        self.horizon = self.height * pinhole.horizon  # pixels from the top
        self.light = np.asarray(light, float)  # multiplies every surface's colour
        self.image = Image.new("RGB", (self.width, self.height))
        self.draw = ImageDraw.Draw(self.image)
        self.focal = pinhole.focal * self.width
        self.glows: list[tuple[float, float, float, Color]] = []  # lamps at night: x, y, radius in pixels, colour
        self.extent: list[tuple[float, float]] | None = None  # points drawn, while a thing's box is measured

    def depth(self, x: float, y: float) -> float:
        """Metres in front of the camera."""
        return x * math.cos(self.yaw) + y * math.sin(self.yaw)

    def camera(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) vehicle coordinates -> (N, 3) right, down, forward."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        x, y, z = points.T
        return np.stack([x * sin - y * cos, self.above_ground - z, x * cos + y * sin], 1)

    def project(self, points: Points) -> list[tuple[float, float]]:
        """Corners of a polygon in pixels, cut at the near plane; empty if all of it is behind the camera."""
        corners = self.camera(np.asarray(points, float))
        if (corners[:, 2] < NEAR).any():
            corners = cut(corners)
        if not len(corners):
            return []
        u = self.width / 2 + self.focal * corners[:, 0] / corners[:, 2]
        v = self.horizon + self.focal * corners[:, 1] / corners[:, 2]
        return list(zip(u.tolist(), v.tolist(), strict=True))

    def polygon(self, points: Points, color: Sequence[float], lit: Factor = 1.0) -> None:
        """A flat shape in metres; `lit` brightens or darkens it beyond the scene's light."""
        pixels = self.project(points)
        if len(pixels) > 2:
            self.draw.polygon(pixels, fill=shade(color, self.light * lit))
            if self.extent is not None:
                self.extent += pixels

    def glowing(self, points: Points, color: Sequence[float]) -> None:
        """A shape that shines by itself, whatever the light."""
        pixels = self.project(points)
        if len(pixels) > 2:
            self.draw.polygon(pixels, fill=shade(color, 1))

    def ground(self, x0: float, x1: float, y0: float, y1: float, color: Sequence[float], z: float = 0.0) -> None:
        """A rectangle on the ground (or at height z)."""
        self.polygon([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], color)

    def pixels_per_metre(self, x: float, y: float) -> float:
        return self.focal / max(NEAR, self.depth(x, y))

    @property
    def finished_width(self) -> int:
        return self.width // SMOOTH

    def finished(self) -> Image.Image:
        return self.image.reduce(SMOOTH)


def cut(corners: np.ndarray) -> np.ndarray:
    """The part of a polygon (N, 3) in front of the near plane (Sutherland-Hodgman with one plane)."""
    kept = []
    for here, after in zip(corners, np.roll(corners, -1, 0), strict=True):
        inside, next_inside = here[2] >= NEAR, after[2] >= NEAR
        if inside:
            kept.append(here)
        if inside != next_inside:
            share = (NEAR - here[2]) / (after[2] - here[2])
            kept.append(here + share * (after - here))
    return np.array(kept)


class Frame:
    """A thing's own axes on the ground: along its heading, to its left, up."""

    def __init__(self, x: float, y: float, heading: float) -> None:
        self.origin = np.array([x, y, 0.0])
        cos, sin = math.cos(heading), math.sin(heading)
        self.axes = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])

    def points(self, local: Points) -> np.ndarray:
        return self.origin + np.asarray(local, float) @ self.axes


# faces of a box as corner indices, with the outward axis; corners are numbered by bits: x, y, z
FACES = (
    ((0, 4, 6, 2), (-1, 0, 0)),
    ((1, 3, 7, 5), (1, 0, 0)),
    ((0, 1, 5, 4), (0, -1, 0)),
    ((2, 6, 7, 3), (0, 1, 0)),
    ((4, 5, 7, 6), (0, 0, 1)),
)
FACE_LIGHT = (0.82, 0.95, 0.72, 0.88, 1.12)  # so that edges show


def box(
    canvas: Canvas,
    frame: Frame,
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    color: Sequence[float],
    lit: Factor = 1.0,
) -> None:
    """A box in a thing's own axes: the faces that look at the camera."""
    corners = frame.points([(x[i & 1], y[i >> 1 & 1], z[i >> 2]) for i in range(8)])
    eye = np.array([0.0, 0.0, canvas.above_ground])
    for (indices, normal), brightness in zip(FACES, FACE_LIGHT, strict=True):
        outward = np.asarray(normal, float) @ frame.axes
        if (corners[indices[0]] - eye) @ outward < 0:
            canvas.polygon(corners[list(indices)], color, np.asarray(lit) * brightness)
