"""ONCE trees of noise, written in a moment: each image differs from all others, embeddings too."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

START = 1_616_000_000_000
WEATHERS = ("sunny", "rainy", "cloudy")


def noise(seed: int, side: int = 32, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    levels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(levels).resize((side, side), Image.Resampling.NEAREST).save(out, kind)
    return out.getvalue()


def plant(root: Path, sequences: int, frames: int, cameras: tuple[str, ...] = ("cam01", "cam03")) -> list[Path]:
    """data/<sequence>/<camera>/<frame>.jpg and the sequences' JSON; the images in the order of the table."""
    images = []
    for number in range(sequences):
        name, weather = f"{number:06d}", WEATHERS[number % 3]
        for camera in cameras:
            for frame in range(frames):
                images.append(root / "data" / name / camera / f"{START + 500 * frame}.jpg")
                write(images[-1], noise(len(images)))
        records = [{"sequence_id": name, "frame_id": str(START + 500 * frame)} for frame in range(frames)]
        content = {"meta_info": {"weather": weather, "period": "noon"}, "frames": records}
        (root / "data" / name / f"{name}.json").write_text(json.dumps(content))
    return images


def write(path: Path, data: bytes, later: float = 0.0) -> None:
    """`later`: seconds to add to the file's modification time, as a copy that came in afterwards has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if later:
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime + later))
