"""Drives -> an ONCE tree on disk, in the dataset's own layout."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blip_udfs.draw.canvas import FOCAL, HEIGHT, HORIZON
from blip_udfs.draw.captions import captions
from blip_udfs.draw.picture import View, draw
from blip_udfs.draw.world import CAMERAS, DIMENSIONS, Drive, drive
from blip_udfs.files.once import SPLITS

START = 1_616_000_000_000  # the first frame's time, milliseconds since 1970
BETWEEN_FRAMES = 500  # milliseconds: 2 Hz
BETWEEN_DRIVES = 3_600_000
CLASSES = {"car": "Car", "truck": "Truck", "bus": "Bus", "pedestrian": "Pedestrian", "cyclist": "Cyclist"}
UNSEEN = [-1.0, -1.0, -1.0, -1.0]
QUALITY = 90  # of JPEG


@dataclass(frozen=True)
class Job:
    """One drive to draw."""

    out: Path
    seed: int
    number: int
    frames: int
    cameras: tuple[str, ...]
    size: tuple[int, int]


def draw_tree(
    out: str | Path,
    sequences: int,
    frames: int,
    cameras: Sequence[str] = ("cam01",),
    size: tuple[int, int] = (960, 510),
    seed: int = 0,
    on_image: Callable[[int], None] | None = None,
) -> None:
    """Draws a tree: data/<sequence>/<camera>/<frame>.jpg, data/<sequence>/<sequence>.json, ImageSets/*.txt and
    ImageSets/region_type.txt. The same arguments draw the same bytes. `on_image(n)` hears how many are done.

    Raises ValueError for a camera that ONCE does not have.
    """
    unknown = [camera for camera in cameras if camera not in CAMERAS]
    if unknown:
        raise ValueError(f"no camera {unknown[0]}: expected some of {', '.join(CAMERAS)}")
    jobs = [Job(Path(out), seed, number, frames, tuple(cameras), size) for number in range(sequences)]
    with multiprocessing.get_context("spawn").Pool() as pool:
        for done, _ in enumerate(pool.imap_unordered(draw_drive, jobs), start=1):
            if on_image:
                on_image(done * frames * len(cameras))
    write_splits(Path(out), [drive(seed, number) for number in range(sequences)])


def draw_drive(job: Job) -> None:
    """One drive's pictures and its JSON."""
    one, folder = drive(job.seed, job.number), job.out / "data" / f"{job.number:06d}"
    records = []
    for frame in range(job.frames):
        views = {camera: draw(one, frame, camera, job.size) for camera in job.cameras}
        for camera, view in views.items():
            path = folder / camera / f"{frame_id(one, frame)}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            view.image.save(path, quality=QUALITY)
        records.append(record(one, frame, job.frames, views))
    (folder / f"{one.sequence_id}.json").write_text(
        json.dumps({"meta_info": meta_info(one, job.size), "calib": calib(job), "frames": records})
    )


def frame_id(one: Drive, frame: int) -> str:
    return str(START + int(one.sequence_id) * BETWEEN_DRIVES + frame * BETWEEN_FRAMES)


def meta_info(one: Drive, size: tuple[int, int]) -> dict[str, Any]:
    return {"weather": one.weather, "period": one.period, "image_size": list(size), "point_feature_num": 4}


def calib(job: Job) -> dict[str, Any]:
    """Per camera, drawn or not (the devkit asks for all seven): where it is on the vehicle (axes: right, down,
    forward), its pinhole, no distortion."""
    width, height = job.size
    focal = FOCAL * width
    out = {}
    for camera in CAMERAS:
        cos, sin = math.cos(math.radians(CAMERAS[camera])), math.sin(math.radians(CAMERAS[camera]))
        out[camera] = {
            "cam_to_velo": [[sin, 0, cos, 0], [-cos, 0, sin, 0], [0, -1, 0, HEIGHT], [0, 0, 0, 1]],
            "cam_intrinsic": [[focal, 0, width / 2], [0, focal, height * HORIZON], [0, 0, 1]],
            "distortion": [0.0] * 5,
        }
    return out


def record(one: Drive, frame: int, frames: int, views: dict[str, View]) -> dict[str, Any]:
    """A frame's record: ONCE's keys, and `scene`: per camera, what was drawn."""
    neighbour = {step: frame_id(one, frame + step) if 0 <= frame + step < frames else None for step in (-1, 1)}
    scenes = {camera: scene(one, view) for camera, view in views.items()}
    for camera, each in scenes.items():
        each["captions"] = captions(each, one.weather, one.period, one.region, f"{frame_id(one, frame)}/{camera}")
    return {
        "sequence_id": one.sequence_id,
        "frame_id": frame_id(one, frame),
        "timestamp": int(frame_id(one, frame)),
        "prev_id": neighbour[-1],
        "next_id": neighbour[1],
        "meta_info": {"weather": one.weather, "period": one.period},
        "pose": [0.0, 0.0, 0.0, 1.0, frame * one.metres_per_frame, 0.0, 0.0],
        "annos": annos(one, frame, views),
        "scene": scenes,
    }


def annos(one: Drive, frame: int, views: dict[str, View]) -> dict[str, Any]:
    """Things that some camera sees: class, box in metres (centre, size, yaw) and box in each camera's pixels."""
    seen = {camera: {each.index: each.box for each in view.things} for camera, view in views.items()}
    things = one.things_at(frame)
    shown = [index for index in range(len(things)) if any(index in boxes for boxes in seen.values())]
    return {
        "names": [CLASSES[things[index].kind] for index in shown],
        "boxes_3d": [box_3d(things[index]) for index in shown],
        "boxes_2d": {
            camera: [[round(v, 1) for v in boxes.get(index, UNSEEN)] for index in shown]
            for camera, boxes in seen.items()
        },
    }


def box_3d(thing: Any) -> list[float]:
    length, width, height = DIMENSIONS[thing.kind]
    return [round(v, 3) for v in (thing.x, thing.y, height / 2, length, width, height, thing.heading)]


def scene(one: Drive, view: View) -> dict[str, Any]:
    objects = [
        {"class": each.thing.kind, "color": each.thing.color, "side": each.side, "distance": each.distance}
        for each in view.things
    ]
    return {"road": one.road, "objects": objects}


def write_splits(out: Path, drives: list[Drive]) -> None:
    """Each drive in one of train, val, test or in the raw sets, which contain one another as ONCE's do."""
    folder = out / "ImageSets"
    folder.mkdir(parents=True, exist_ok=True)
    listed: dict[str, list[str]] = {split: [] for split in SPLITS}
    for one in drives:
        place = int(one.sequence_id) % 10
        splits = {0: SPLITS[:1], 1: SPLITS[1:2], 2: SPLITS[2:3], 3: SPLITS[3:], 4: SPLITS[4:], 5: SPLITS[4:]}
        for split in splits.get(place, SPLITS[5:]):
            listed[split].append(one.sequence_id)
    for split, ids in listed.items():
        (folder / f"{split}.txt").write_text("".join(f"{each}\n" for each in ids))
    (folder / "region_type.txt").write_text("".join(f"{one.sequence_id}\t{one.region}\n" for one in drives))
