"""Drawn scenes -> arrays to train on: pictures at the model's input size, what they show, what each patch shows."""

from __future__ import annotations

import multiprocessing
import pickle
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from blip_udfs.draw import moved
from blip_udfs.draw.captions import Facts
from blip_udfs.draw.moved import Move, taken
from blip_udfs.draw.picture import View
from blip_udfs.draw.tree import QUALITY, scene
from blip_udfs.draw.world import COLORS, DIMENSIONS, DISTANCES, drive

KINDS = tuple(DIMENSIONS)
SIZES = ((480, 255), (960, 510))  # of pictures by ONCE's camera: the model meets trees of several sizes
WIDTHS = {320: 2.0, 480: 6.0, 640: 2.0, 960: 0.5}  # of pictures by other cameras, and how often each
MOVED = 0.7  # the share of those
CAMERA_SHARES = {"cam01": 6, "cam03": 6, "cam05": 1, "cam06": 1, "cam07": 1, "cam08": 1, "cam09": 1}
FRAMES = 30  # of a drive, of which one is drawn


@dataclass(frozen=True)
class Scenes:
    """`pixels` uint8 (N, S, S, 3); `labels` uint8 (N, 3, P, P): kind, colour and distance of what each patch shows,
    0 for nothing; the facts."""

    pixels: np.ndarray
    labels: np.ndarray
    facts: list[Facts]

    def __len__(self) -> int:
        return len(self.facts)


def scenes(count: int, seed: int, image_size: int, patch_size: int, cache: Path) -> Scenes:
    """The scenes of this seed, drawn on all cores the first time and kept in the cache folder."""
    path = cache / f"scenes_{seed}_{count}_{image_size}_{patch_size}.pickle"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(drawn(count, seed, image_size, patch_size), protocol=5))
    return pickle.loads(path.read_bytes())


def drawn(count: int, seed: int, image_size: int, patch_size: int) -> Scenes:
    jobs = [(seed, number, image_size, patch_size) for number in range(count)]
    patches = image_size // patch_size
    pixels = np.empty((count, image_size, image_size, 3), np.uint8)
    labels, facts = np.empty((count, 3, patches, patches), np.uint8), []
    with multiprocessing.get_context("spawn").Pool() as pool:
        for index, row in enumerate(pool.imap(one_scene, jobs, chunksize=50)):
            pixels[index], labels[index] = row[:2]
            facts.append(row[2])
    return Scenes(pixels, labels, facts)


def one_scene(job: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray, Facts]:
    seed, number, image_size, patch_size = job
    one, rng = drive(seed, number), random.Random(f"{seed}/{number}/view")
    (camera,) = rng.choices(list(CAMERA_SHARES), weights=list(CAMERA_SHARES.values()))
    move = moved.drawn(rng, WIDTHS) if rng.random() < MOVED else Move(SIZES[number % 8 == 0], quality=QUALITY)
    view = taken(one, rng.randrange(FRAMES), camera, move)
    resized = view.image.resize((image_size, image_size), Image.Resampling.BICUBIC)
    facts = Facts.of(scene(one, view), one.weather, one.period, one.region)
    return np.asarray(resized), patch_labels(view, image_size // patch_size), facts


def patch_labels(view: View, patches: int) -> np.ndarray:
    """uint8 (3, P, P): of the nearest thing whose box holds a patch's centre, 1 + index of its kind, colour and
    distance; 0 where there is none."""
    labels, size = np.zeros((3, patches, patches), np.uint8), view.image.size
    x, y = (np.arange(patches) + 0.5) * size[0] / patches, (np.arange(patches) + 0.5) * size[1] / patches
    for each in reversed(view.things):  # far first: near ones cover them
        x1, y1, x2, y2 = each.box
        inside = ((y >= y1) & (y <= y2))[:, None] & ((x >= x1) & (x <= x2))[None]
        found = KINDS.index(each.thing.kind), COLORS.index(each.thing.color), DISTANCES.index(each.distance)
        labels[:, inside] = 1 + np.array(found, np.uint8)[:, None]
    return labels
