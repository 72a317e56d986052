"""`lint-imports` keeps the rooms of `pyproject.toml`: it passes on the package, and names what is planted in a copy."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "blip_udfs"
ROOMS = sorted(folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists())
ORDER = "Rooms lie along the data's way, and none imports from one above it"
CIRCLE = "No module imports, by any way, what imports it"
TORCH = "torch runs in blip/ alone, and where the model is trained or measured beside it"
PYSPARK = "pyspark is nowhere in blip/, and in files/ only where a tree is read by a session"
WITH_TORCH = {"blip", "demo", "measure"}
WITHOUT_PYSPARK = ["files", "blip", "draw"]


def lint(folder: Path, **planted: str) -> tuple[int, str]:
    """The exit status and the words of `lint-imports` on a copy of the package, with modules added to it: room__module
    -> its text."""
    shutil.copytree(PACKAGE, folder / "blip_udfs", ignore=shutil.ignore_patterns("__pycache__", "model", "*.jar"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, text in planted.items():
        (folder / "blip_udfs" / name.replace("__", "/")).with_suffix(".py").write_text(text)
    command = [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"]
    environment = {"PYTHONPATH": str(folder), "COLUMNS": "300"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    return done.returncode, done.stdout + done.stderr


def contracts(words: str, state: str) -> list[str]:
    """Those that are KEPT, or BROKEN; names may run over lines."""
    return [name for name in (ORDER, CIRCLE, TORCH, PYSPARK) if f"{name} {state}" in " ".join(words.split())]


def broken(words: str) -> list[str]:
    return contracts(words, "BROKEN")


def test_the_package_keeps_its_rooms(tmp_path):
    status, words = lint(tmp_path)
    assert (status, broken(words)) == (0, []), words
    assert contracts(words, "KEPT") == [ORDER, CIRCLE, TORCH, PYSPARK] and "4 kept, 0 broken" in words


def test_make_lint_runs_it():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert "\t$(BIN)/lint-imports --no-logo\n" in recipe  # its failure is make's: no `-` or `||` stands there


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("files", "blip"),
        ("blip", "spark"),
        ("spark", "job"),
        ("job", "measure"),
        ("results", "reference"),
        ("reference", "demo"),
        ("demo", "cli"),
        ("job", "results"),
        ("files", "draw"),
        ("measure", "reference"),  # side by side: neither knows the other
    ],
)
def test_an_import_against_the_order_is_named(tmp_path, lower, upper):
    status, words = lint(tmp_path, **{f"{lower}__planted": f"from blip_udfs import {upper}\n"})
    assert status == 1 and ORDER in broken(words)
    assert f"blip_udfs.{lower}.planted -> blip_udfs.{upper}" in words


def test_an_import_against_the_order_by_a_way_round_is_named(tmp_path):
    way = {
        "spark__planted": "from blip_udfs import job\n",
        "files__planted": "def late():\n    import blip_udfs.spark.planted\n",
    }
    status, words = lint(tmp_path, **way)
    assert status == 1 and ORDER in broken(words)
    assert "blip_udfs.files.planted -> blip_udfs.spark.planted" in words
    assert "blip_udfs.spark.planted -> blip_udfs.job" in words


def test_a_room_without_a_place_in_the_order_is_named(tmp_path):
    status, words = lint(tmp_path, planted="from blip_udfs import cli\n")
    assert (status, broken(words)) == (1, [ORDER])
    assert "blip_udfs.planted" in words


@pytest.mark.parametrize("room", ROOMS)
def test_a_circle_in_a_room_is_named(tmp_path, room):
    names = {"one": "two", "two": "three", "three": "one"}
    circle = {
        f"{room}__planted_{a}": f"def late():\n    import blip_udfs.{room}.planted_{b}\n" for a, b in names.items()
    }
    status, words = lint(tmp_path, **circle)
    assert (status, broken(words)) == (1, [CIRCLE])
    assert any(f".planted_{a} -> .planted_{b}" in words for a, b in names.items()), words


@pytest.mark.parametrize("room", [*(room for room in ROOMS if room not in WITH_TORCH), "functions", "cli"])
def test_torch_outside_of_its_rooms_is_named(tmp_path, room):
    module = room if (PACKAGE / f"{room}.py").exists() else f"{room}__planted"
    text = "def late():\n    from torch import nn\n"
    status, words = lint(tmp_path, **{module: text})
    assert status == 1 and TORCH in broken(words)
    assert f"blip_udfs.{module.replace('__', '.')} -> torch" in words


@pytest.mark.parametrize("room", WITHOUT_PYSPARK)
def test_pyspark_where_no_session_is_needed_is_named(tmp_path, room):
    text = "def late():\n    from pyspark.sql import functions\n"
    status, words = lint(tmp_path, **{f"{room}__planted": text})
    assert (status, broken(words)) == (1, [PYSPARK])
    assert f"blip_udfs.{room}.planted -> pyspark" in words


def test_types_alone_are_no_import(tmp_path):
    text = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import torch\n    import pyspark\n"
    assert lint(tmp_path, files__planted=text)[0] == 0
