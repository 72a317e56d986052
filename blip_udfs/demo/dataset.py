"""Drawn scenes -> arrays to train on: pictures at the model's input size, what they show, what each patch shows."""

from __future__ import annotations

import io
import multiprocessing
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from blip_udfs.demo.captions import Facts
from blip_udfs.demo.draw import View, draw
from blip_udfs.demo.tree import QUALITY, scene
from blip_udfs.demo.world import COLORS, DIMENSIONS, drive

KINDS = tuple(DIMENSIONS)
SIZES = ((480, 255), (960, 510))  # drawn at either: the model meets trees of several sizes


@dataclass(frozen=True)
class Scenes:
    """`pixels` uint8 (N, S, S, 3); per patch the kind and colour shown, uint8 (N, P, P), 0 for none; facts."""

    pixels: np.ndarray
    kinds: np.ndarray
    colors: np.ndarray
    facts: list[Facts]

    def __len__(self) -> int:
        return len(self.facts)


def scenes(count: int, seed: int, image_size: int, patch_size: int, cache: Path) -> Scenes:
    """The scenes of this seed, drawn on all cores the first time and kept in the cache folder."""
    path = cache / f"scenes_{seed}_{count}_{image_size}_{patch_size}.pickle"
    if not path.exists():
        jobs = [(seed, number, image_size, patch_size) for number in range(count)]
        with multiprocessing.get_context("spawn").Pool() as pool:
            rows = pool.map(one_scene, jobs, chunksize=50)
        pixels, kinds, colors, facts = zip(*rows, strict=True)
        cache.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(Scenes(np.stack(pixels), np.stack(kinds), np.stack(colors), list(facts))))
    return pickle.loads(path.read_bytes())


def one_scene(job: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, Facts]:
    seed, number, image_size, patch_size = job
    one, size = drive(seed, number), SIZES[number % 8 == 0]
    view = draw(one, frame=number % 3, camera=("cam01", "cam03")[number % 2], size=size)
    encoded = io.BytesIO()
    view.image.save(encoded, "JPEG", quality=QUALITY)  # as in a tree: what JPEG does to a picture is learned too
    resized = Image.open(encoded).resize((image_size, image_size), Image.Resampling.BICUBIC)
    kinds, colors = patch_labels(view, size, image_size // patch_size)
    facts = Facts.of(scene(one, view), one.weather, one.period, one.region)
    return np.asarray(resized), kinds, colors, facts


def patch_labels(view: View, size: tuple[int, int], patches: int) -> tuple[np.ndarray, np.ndarray]:
    """Kind and colour of the nearest thing whose box holds a patch's centre, as 1 + index; 0 where there is none."""
    kinds, colors = np.zeros((2, patches, patches), np.uint8)
    x, y = (np.arange(patches) + 0.5) * size[0] / patches, (np.arange(patches) + 0.5) * size[1] / patches
    for each in reversed(view.things):  # far first: near ones cover them
        x1, y1, x2, y2 = each.box
        inside = ((y >= y1) & (y <= y2))[:, None] & ((x >= x1) & (x <= x2))[None]
        kinds[inside] = 1 + KINDS.index(each.thing.kind)
        colors[inside] = 1 + COLORS.index(each.thing.color)
    return kinds, colors
