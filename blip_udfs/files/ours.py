"""A folder to write -> that folder, empty and marked as ours; a refusal where it holds what we did not write."""

from __future__ import annotations

import shutil
from pathlib import Path

MARKER = ".blip-udfs"
MARKED = "Written by blip-udfs, which replaces this folder when the same command is run again.\n"


def check(folder: Path) -> None:
    """Raises ValueError where making `folder` anew would remove what blip-udfs did not write."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{folder}: expected a folder that is empty or not there, got a link or a file; name another")
    if folder.is_dir() and not (folder / MARKER).is_file() and any(folder.iterdir()):
        raise ValueError(
            f"{folder}: expected a folder that is empty, not there or marked by {MARKER} as made by blip-udfs, found "
            "other files; name another folder or remove this one"
        )


def check_files(folder: Path, names: list[str]) -> None:
    """Raises ValueError where one of the files is there and the folder is not marked as ours."""
    there = [name for name in names if (folder / name).exists()]
    if there and not (folder / MARKER).is_file():
        raise ValueError(f"{folder} has a file {there[0]} that blip-udfs did not write; name another folder or move it")


def check_empty(folder: Path) -> None:
    """Raises ValueError for a folder that holds anything."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: expected a folder that is empty or not there, it has files")


def mark(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(MARKED)


def make_anew(folder: Path) -> None:
    """`folder`, empty but for the marker, which is written first and never removed: a kill leaves what a next run may
    replace. Raises ValueError as `check`."""
    check(folder)
    mark(folder)
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        elif each.name != MARKER:
            each.unlink()
