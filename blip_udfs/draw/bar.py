"""Drawing a tree, with a progress bar on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from blip_udfs.draw.tree import draw_tree
from blip_udfs.draw.world import CAMERAS


def draw_with_bar(out: Path, sequences: int, frames: int, cameras: list[str], size: tuple[int, int], seed: int) -> None:
    """`draw_tree` of so many sequences x frames x cameras. Raises ValueError for a camera that ONCE has not."""
    if unknown := [camera for camera in cameras if camera not in CAMERAS]:
        raise ValueError(f"no camera {unknown[0]}: expected some of {', '.join(CAMERAS)}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("Drawing images", total=sequences * frames * len(cameras))
        draw_tree(out, sequences, frames, cameras, size, seed, on_image=lambda done: bar.update(task, completed=done))
