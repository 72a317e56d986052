"""ONCE trees at random, with the oddities of real ones -> their files, and by plain Python the rows that they are.

A tree is first drawn as data (sequences, cameras, frames, what the JSON says), then written; its rows come from the
drawing, not from the files.
"""

from __future__ import annotations

import codecs
import json
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

SPLITS = ["train", "val", "test", "raw_small", "raw_medium", "raw_large"]
NAMES = ["000076", "000080", "seq 1", "a%20b", "x{1}", "データ", "data", "_hidden", "k=v"]
UNSEEN = [-1, -1, -1, -1]
SUFFIXES = ["jpg", "JPG", "Jpeg", "png", "PNG", "webp", "tif"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
MARKED = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]  # what is known whatever the first letter is
BROKEN = ['{"frames": [', "", " \n", "{'a': 1}", '{"frames": []} {}', "nothing"]
CLASSES = ["Car", "Bus", "Truck", "Ampel grün", "卡车"]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MODIFIED = 1_700_000_000_000


@dataclass
class Drawn:
    """What a tree is: its rows by path below the root, without `image` and `modified`."""

    root: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    misplaced: list[str] = field(default_factory=list)


@dataclass
class Said:
    """Of one frame: its JSON, and what it says: columns that all cameras share, and the objects by camera."""

    json: Any
    columns: dict[str, Any]
    seen: dict[str, list[str] | None]
    unfit: str | None


def plant(root: Path, seed: int) -> Drawn:
    random, drawn = Random(seed), Drawn(root)
    lists = {split: [] for split in SPLITS}
    regions: dict[str, str] = {}
    (root / "data").mkdir(parents=True)
    names = random.sample(NAMES, random.randint(1, 5))
    for name in names:
        for split in SPLITS:
            if random.random() < 0.3:
                lists[split].append(name)
        if random.random() < 0.6:
            regions[name] = random.choice(["Downtown", "Highway", "Tunnel"])
        places = ["data"] if name == "data" or random.random() < 0.7 else ["data/data"]
        for place in places:
            sequence(drawn, random, f"{place}/{name}", name)
    written = [split for split in SPLITS if random.random() < 0.8]
    for row in drawn.rows.values():
        listed = [split for split in written if row["sequence_id"] in lists[split]]
        row["split"] = listed[0] if listed else None
    has_regions = random.random() < 0.8
    for row in drawn.rows.values():
        # a name with a space in it is cut by the list of regions, whose words are apart by white space
        row["region"] = regions.get(row["sequence_id"]) if has_regions and " " not in row["sequence_id"] else None
    folder = root / "ImageSets"
    folder.mkdir()
    for split in written:
        ends = random.choice(["\n", "\r\n", "\n\n", " \n"])
        write(folder / f"{split}.txt", "".join(name + ends for name in lists[split]).encode(random.choice(MARKED)))
    if has_regions:
        text = "".join(f"{name}{random.choice([chr(9), '  '])}{region}\n" for name, region in regions.items())
        write(folder / "region_type.txt", text.encode(random.choice(MARKED)))
    (folder / "old").mkdir()
    write(folder / "old" / "train.txt", b"000076\n000080\n")  # no list of this tree
    return drawn


def sequence(drawn: Drawn, random: Random, place: str, name: str) -> None:
    frames = [str(1616000000000 + 500 * number) for number in range(random.randint(1, 3))]
    cameras = random.sample(["cam01", "cam03", "cam 5"], random.randint(1, 3))
    kind = random.choice(["whole", "whole", "whole", "broken", "none", "odd root"])
    said, problem = {}, None
    json_name = f"{name}.{random.choice(['json', 'json', 'JSON'])}"
    if kind == "none":
        problem = f"no file {place}/{name}.json"
    elif kind == "broken":
        text = random.choice(BROKEN)
        write(drawn.root / place / json_name, text.encode())
        problem = f"{place}/{name}.json is {'not valid JSON' if text else 'empty'}"
    elif kind == "odd root":
        write(drawn.root / place / json_name, json.dumps(random.choice([[], 3, "x", {"frames": {"a": 1}}])).encode())
    else:
        said = record(drawn.root / place / json_name, random, frames, cameras)
    for camera in cameras:
        for frame in [*frames, "1999"][: random.randint(1, 4)]:
            image(drawn, random, place, name, camera, frame, said, problem)
    write(drawn.root / place / cameras[0] / "Thumbs.db", b"no image")
    write(drawn.root / place / cameras[0] / "._1616.jpg", b"of another system")
    if name != "data" and random.random() < 0.2:
        write(drawn.root / place / cameras[0] / "deep" / "1616.jpg", b"too deep")
        drawn.misplaced.append(f"{place}/{cameras[0]}/deep/1616.jpg")


def image(
    drawn: Drawn,
    random: Random,
    place: str,
    name: str,
    camera: str,
    frame: str,
    said: dict[str, Said],
    problem: str | None,
) -> None:
    path = f"{place}/{camera}/{frame}.{random.choice(SUFFIXES)}"
    data = random.choice([b"", b"x", b"image" * 9])
    write(drawn.root / path, data, random.randint(0, 999))
    if name.startswith("_"):
        return
    row = {"sequence_id": name, "frame_id": frame, "camera": camera, "length": len(data), "problem": problem}
    row |= {"timestamp": None, "weather": None, "period": None, "classes": None, "counts": None}
    if frame in said:
        row |= said[frame].columns | objects(said[frame].seen.get(camera))
        unfit = said[frame].unfit
        row["problem"] = f"{unfit} of another form for frame {frame} in {place}/{name}.json" if unfit else None
    elif problem is None:
        row["problem"] = f"no record for frame {frame} in {place}/{name}.json"
    drawn.rows[path] = row


def objects(seen: list[str] | None) -> dict[str, Any]:
    if seen is None:
        return {"classes": None, "counts": None}
    return {"classes": sorted(set(seen)), "counts": {name: seen.count(name) for name in seen}}


def record(path: Path, random: Random, frames: list[str], cameras: list[str]) -> dict[str, Said]:
    """Writes a sequence's JSON; what it says of each frame that it has."""
    weather, period = random.choice([None, "sunny", "小雨"]), random.choice([None, "noon"])
    said = {frame: of_frame(random, frame, cameras, weather, period) for frame in frames if random.random() < 0.85}
    records = [each.json for each in said.values()]
    if said and random.random() < 0.3:
        records.append({"frame_id": next(iter(said)), "meta_info": {"weather": "not the first"}})
    records += random.choice([[], [], [7, None, {"frame_id": [1]}, {}]])
    document = {"calib": {"cam01": [1.5]}, "frames": records}
    if weather or period or random.random() < 0.5:
        document["meta_info"] = {k: v for k, v in (("weather", weather), ("period", period)) if v}
    text = random.choice(["", "\n"]) + json.dumps(
        document, indent=random.choice([None, 2]), ensure_ascii=random.random() < 0.5
    )
    encoding = random.choice(ENCODINGS)
    data = text.encode(encoding)
    write(path, data if encoding != "utf-16" else codecs.BOM_UTF16_BE + text.encode("utf-16-be"))
    return said


def of_frame(random: Random, frame: str, cameras: list[str], weather: str | None, period: str | None) -> Said:
    of: dict[str, Any] = {"frame_id": random.choice([frame, int(frame)])}
    columns: dict[str, Any] = {"weather": weather, "period": period, "timestamp": None}
    unfit = []
    of["timestamp"], moment, fits = random.choice(
        [
            (int(frame), int(frame), True),
            (frame, int(frame), True),
            (None, None, True),
            ("noon", None, False),
            ({}, None, False),
            (10**30, None, False),
            (1e999, None, False),
            (1.5, None, False),
            (True, None, False),
        ]
    )
    columns["timestamp"] = None if moment is None else EPOCH + timedelta(milliseconds=moment)
    if not fits:
        unfit.append("timestamp")
    meta = random.choice(["none", "none", "own", "list", "odd"])
    if meta == "own":
        of["meta_info"] = {"weather": "rainy", "period": None}
        columns["weather"] = "rainy"
    elif meta == "list":
        of["meta_info"] = ["sunny"]
        unfit.append("meta_info")
    elif meta == "odd":
        of["meta_info"] = {"weather": 3, "period": "night"}
        columns["period"] = "night"
        unfit.append("weather")
    seen, wrong = annotate(of, random, cameras)
    unfit += wrong
    return Said(of, columns, seen, ", ".join(unfit) or None)


def annotate(of: dict[str, Any], random: Random, cameras: list[str]) -> tuple[dict[str, list[str] | None], list[str]]:
    """Puts annotations into a frame's record; the classes that each camera sees, and what is of another form."""
    kind = random.choice(["none", "null", "text", "no names", "odd boxes", "whole", "whole", "whole", "nothing there"])
    if kind == "none":
        return {}, []
    of["annos"] = {"null": None, "text": "later", "no names": {"boxes_2d": {"cam01": [[1, 2, 3, 4]]}}}.get(kind)
    if kind in ("null", "text", "no names"):
        return {}, ["annos"] if kind == "text" else []
    names = [random.choice(CLASSES) for _ in range(random.randint(1, 4))] if kind != "nothing there" else []
    own = random.sample(cameras, random.randint(0, len(cameras)))
    if kind == "odd boxes":
        boxes: Any = random.choice(["x", [], {camera: random.choice([3, "x", [[]] * 4, []]) for camera in own}])
        of["annos"] = {"names": names, "boxes_2d": boxes}
        return {}, ["boxes_2d"] if not isinstance(boxes, dict) or boxes else []
    visible = {camera: [random.random() < 0.6 for _ in names] for camera in own}
    boxes = {
        camera: [[1.0, 2, 3, 4] if is_seen else [-1, -1, -1, -1] for is_seen in each]
        for camera, each in visible.items()
    }
    of["annos"] = {"names": names, "boxes_2d": boxes}
    return {
        camera: [name for name, is_seen in zip(names, each, strict=True) if is_seen] for camera, each in visible.items()
    }, []


def write(path: Path, data: bytes, milliseconds: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=((MODIFIED + milliseconds) * 10**6,) * 2)
