"""preprocessor_config.json or processor_config.json -> what becomes of pixels, as transformers' BlipImageProcessor."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blip_udfs.blip.checkpoint import ModelError, read_json
from blip_udfs.files.images import RESCALE

OPENAI_CLIP_MEAN, OPENAI_CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BICUBIC = 3  # Pillow's number
DEFAULT_SIDE = 384  # what transformers takes where a file does not say it
ONLY = {"do_resize": True, "do_center_crop": False, "do_pad": False}
KINDS = ("BlipImageProcessor", "BlipImageProcessorFast", "BlipImageProcessorPil", "BlipFeatureExtractor")


@dataclass(frozen=True)
class Processor:
    """A level of 0..255 becomes (level * rescale - mean) / std. `side` in pixels, None without a file."""

    side: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rescale: float


def read_processor(file: Path | None) -> Processor:
    """The image processor of a file; CLIP's, which are BLIP's, without one. Raises ModelError for what is not served.

    `do_convert_rgb` is not asked: pixels are RGB before, where transformers would not take them otherwise.
    """
    settings = Settings(file, image_settings(file)) if file else Settings(Path(), {})
    settings.check_served()
    normalised = settings.flag("do_normalize")
    return Processor(
        side=settings.side() if file else None,
        mean=settings.channels("image_mean", OPENAI_CLIP_MEAN) if normalised else (0.0,) * 3,
        std=settings.channels("image_std", OPENAI_CLIP_STD) if normalised else (1.0,) * 3,
        rescale=settings.number("rescale_factor", RESCALE) if settings.flag("do_rescale") else 1.0,
    )


def image_settings(file: Path) -> dict[str, Any]:
    record = read_json(file)
    nested = record.get("image_processor", record)  # processor_config.json holds it one level down
    if not isinstance(nested, dict):
        raise ModelError(f"{file}: image_processor: expected an object, got {nested!r:.80}")
    return nested


class Settings:
    """What a file says by name. As in transformers a null flag is false, and another null is no default."""

    def __init__(self, file: Path, said: dict[str, Any]) -> None:
        self.file, self.said = file, said

    def refused(self, key: str, expected: str) -> ModelError:
        return ModelError(f"{self.file}: {key}: expected {expected}, got {json.dumps(self.said[key]):.80}")

    def check_served(self) -> None:
        for key in ("image_processor_type", "feature_extractor_type"):
            if (self.said.get(key) or KINDS[0]) not in KINDS:
                raise self.refused(key, KINDS[0])
        for key, only in ONLY.items():
            if self.flag(key, only) is not only:
                raise self.refused(key, json.dumps(only))
        if self.said.get("resample", BICUBIC) != BICUBIC:
            raise self.refused("resample", f"{BICUBIC} (bicubic)")

    def flag(self, key: str, default: bool = True) -> bool:
        if not isinstance(value := self.said.get(key, default), (bool, type(None))):
            raise self.refused(key, "true or false")
        return bool(value)

    def number(self, key: str, default: float) -> float:
        if not is_number(value := self.said.get(key, default)):
            raise self.refused(key, "a number")
        return float(value)

    def channels(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """Three numbers; one stands for all. No standard deviation is 0."""
        value = self.said.get(key, default)
        values = (value,) * 3 if is_number(value) else tuple(value) if isinstance(value, (list, tuple)) else ()
        if len(values) != 3 or not all(map(is_number, values)) or key == "image_std" and 0 in values:
            raise self.refused(key, "a number or three" + (", none of them 0" if key == "image_std" else ""))
        return tuple(map(float, values))

    def side(self) -> int:
        """Of the square that images are resized to: 384, [384, 384] or {"height": 384, "width": 384}."""
        size = self.said.get("size", DEFAULT_SIDE)
        if isinstance(size, dict):
            others = {key: value for key, value in size.items() if value is not None}
            sides = [others.pop("height", None), others.pop("width", None), *others]
        else:
            square = self.said.get("default_to_square", True)  # else a number is the shorter side's
            sides = size if isinstance(size, list) else [size, size] if square else []
        if len(sides) != 2 or sides[0] != sides[1] or type(sides[0]) is not int:
            raise self.refused("size", "height and width of a square in pixels")
        return sides[0]


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
