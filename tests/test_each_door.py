"""Each variable of the executors' environment that an administrator decides refuses something, and lets it in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blip_udfs.blip import model
from blip_udfs.blip.model import ModelError, load
from blip_udfs.files.doors import DOORS
from blip_udfs.files.images import image_error
from blip_udfs.spark import batches
from tests.odd_images import SCENE_PNG

ROOT = Path(__file__).resolve().parent.parent
# what is tried at each door, its values that refuse it and that allow it, and what is said where it is refused
AT_EACH_DOOR = {
    "BLIP_READ_ROOTS": (
        "path",
        "{tmp}/secret.png",
        "{tmp}/images",
        "{tmp}",
        "{value}: outside of what may be read here",
    ),
    "BLIP_ALLOWED_MODELS": (
        "model",
        "{tmp}/elsewhere",
        "demo",
        "{tmp}/elsewhere",
        "model '{value}' is not allowed here",
    ),
    "BLIP_MAX_IMAGE_BYTES": ("bytes", SCENE_PNG, "50", "5000", "expected at most 50 bytes, got "),
    "BLIP_MAX_IMAGE_PIXELS": ("bytes", SCENE_PNG, "99", "99999", "has too many pixels: expected at most 99"),
    "BLIP_IMAGE_SECONDS": ("slow image", SCENE_PNG, "1", "9", "Timeout (0:00:01)!"),
    "BLIP_MAX_TEXT_CHARACTERS": ("text", "a car", "4", "5", "text of 5 characters, which begins 'a car': expected at"),
}
SLOW = """
import sys, time
from PIL import Image
from blip_udfs.spark.batches import in_time
from blip_udfs.files.images import pixels
opened = Image.open
Image.open = lambda *words, **named: (time.sleep(3), opened(*words, **named))[1]
print(in_time(map(lambda data: pixels(data, 32).shape, [sys.stdin.buffer.read()])))
"""


def at_door(kind: str, value) -> str:
    """What the worker says, or the process does, that is handed it; nothing where it is let in."""
    if kind == "slow image":  # in a process of its own, which ends
        words = [sys.executable, "-c", SLOW]
        done = subprocess.run(
            words, input=value, capture_output=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60
        )
        assert (done.stdout == b"[(32, 32, 3)]\n") == (done.returncode == 0) == (not done.stderr)
        return done.stderr.decode()
    try:
        if kind == "text":
            batches.checked_text(value)
        if kind == "model":
            load(value)
    except (ModelError, ValueError) as error:
        return str(error)
    return image_error(value) or "" if kind in ("path", "bytes") else ""


@pytest.fixture
def world(tmp_path, tiny_model) -> Path:
    """An image outside of `images`, and a model of another name."""
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.png").write_bytes(SCENE_PNG)
    shutil.copytree(tiny_model, tmp_path / "elsewhere")
    return tmp_path


@pytest.mark.parametrize("variable", [door.variable for door in DOORS])
def test_each_door_shuts_and_opens(world, monkeypatch, variable):
    monkeypatch.setattr(model, "_failures", {})  # which a process remembers for a while
    for door in DOORS:
        monkeypatch.delenv(door.variable, raising=False)
    kind, value, shut, opened, message = (
        each.replace("{tmp}", str(world)) if isinstance(each, str) else each for each in AT_EACH_DOOR[variable]
    )
    monkeypatch.setenv(variable, shut)
    assert message.replace("{value}", str(value)) in at_door(kind, value)
    model._failures.clear()
    monkeypatch.setenv(variable, opened)
    assert at_door(kind, value) == ""


def test_the_page_for_administrators_has_each_door():
    page = (ROOT / "conf/README.md").read_text()
    rows = dict(re.findall(r"^\| `(BLIP_\w+)` \| (.*?) \|", page, re.MULTILINE))
    assert list(rows) == [door.variable for door in DOORS] == list(AT_EACH_DOOR)
    for door in DOORS:
        assert not isinstance(door.default, int) or rows[door.variable] == f"{door.default:,}"
