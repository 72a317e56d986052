"""The text files of an ONCE tree, in any encoding of Unicode -> JSON in which all fits once.sql."""

from __future__ import annotations

import json
import math
import re
from typing import Any

LONGEST_NUMBER = 400  # digits; no number of a record has more, and Python would refuse 4,300
LATEST = 253_402_300_799_999  # milliseconds since 1970, the end of the year 9999


def once_text(path: str, content: bytes) -> str:
    """A sequence's JSON: {"problem": why it cannot be read} or {"frames": [...]}, as `frame` says; of another file
    its lines, an array without empty ones. As JSON in ASCII."""
    return json.dumps(record(content) if path.lower().endswith(".json") else lines(content))


def lines(content: bytes) -> list[str]:
    text = content.decode(json.detect_encoding(content), errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def record(content: bytes) -> dict[str, Any]:
    """Of a frame that stands twice the first counts."""
    if not content:
        return {"problem": "is empty"}
    try:
        document = json.loads(content.decode(json.detect_encoding(content)), parse_int=whole)
    except UnicodeDecodeError:
        return {"problem": "is not UTF-8, UTF-16 or UTF-32 text"}
    except json.JSONDecodeError:
        return {"problem": "is not valid JSON"}
    except RecursionError:
        return {"problem": "is nested too deeply to be read"}
    drive = document if isinstance(document, dict) else {}
    frames = drive.get("frames")
    found: dict[str, dict[str, Any]] = {}
    for each in frames if isinstance(frames, list) else []:
        name = identifier(each.get("frame_id")) if isinstance(each, dict) else None
        if name is not None and name not in found:
            found[name] = {"frame_id": name, **frame(each, drive)}
    return {"frames": list(found.values())}


def frame(of: dict[str, Any], drive: dict[str, Any]) -> dict[str, Any]:
    """timestamp, weather, period, seen (camera -> the class of each object that it sees) and unfit: which of them, by
    comma, are there in a form that they cannot be read in. What is not there is left out."""
    unfit: list[str] = []
    said: dict[str, Any] = {"timestamp": fitting(of, "timestamp", milliseconds, unfit)}
    own = fitting(of, "meta_info", mapping, unfit) or {}
    whole_drive = fitting(drive, "meta_info", mapping, unfit) or {}
    for key in ("weather", "period"):
        said[key] = fitting(own, key, text, unfit)
        if said[key] is None:
            said[key] = fitting(whole_drive, key, text, unfit)
    annotations = fitting(of, "annos", mapping, unfit) or {}
    names = fitting(annotations, "names", listing, unfit)
    cameras = fitting(annotations, "boxes_2d", mapping, unfit)
    if names is not None:
        by_camera = {camera: seen(names, boxes) for camera, boxes in (cameras or {}).items()}
        unfit += ["boxes_2d"] if None in by_camera.values() else []
        said["seen"] = {camera: given for camera, given in by_camera.items() if given is not None}
    said["unfit"] = ", ".join(dict.fromkeys(unfit)) or None
    return {key: value for key, value in said.items() if value is not None}


def fitting(of: dict[str, Any], key: str, read: Any, unfit: list[str]) -> Any:
    """What `read` makes of a value; None where there is none, and where it fits not: the key is then in `unfit`."""
    value = of.get(key)
    result = None if value is None else read(value)
    if value is not None and result is None:
        unfit.append(key)
    return result


def seen(names: list[Any], boxes: Any) -> list[str] | None:
    """The names of the objects that have a box in a camera's picture: [-1, -1, -1, -1] is none. None where not one
    box can be read."""
    if not isinstance(boxes, list):
        return None
    said = [(name, box[0]) for name, box in zip(names, boxes, strict=False) if isinstance(name, str) and is_box(box)]
    return [name for name, left in said if left >= 0] if said or not names else None


def is_box(box: Any) -> bool:
    return isinstance(box, list) and bool(box) and is_number(box[0])


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_NUMBER else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def identifier(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value)


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def mapping(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def listing(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None


def milliseconds(value: Any) -> int | None:
    """A whole number, or its digits, of the years until 9999."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
        value = int(value)
    if not is_number(value) or not abs(value) <= LATEST or value != int(value):
        return None
    return int(value)
