"""Events of the embedding job -> a bar with images per second and failures, lines of JSON, a summary."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import IO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from blip_udfs.job.embed import Event, Summary

WINDOW = 600  # seconds over which the speed is taken: a trigger may take minutes


class Speed(ProgressColumn):
    """2.6 images/s, 3 failed"""

    def render(self, task: Task) -> Text:
        speed = f"{task.speed:.1f} images/s" if task.speed else "? images/s"
        return Text(f"{speed}, {task.fields['failed']:,} failed")


class Bar:
    """Hears the job's events: call it with each. A context manager, as rich's bar is. `log`: a file for the events."""

    def __init__(self, log: IO[str] | None = None) -> None:
        self.log = log
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
        self.progress = Progress(*columns, speed_estimate_period=WINDOW)
        self.task = self.progress.add_task("Comparing", total=None, failed=0)
        self.done = self.failed = 0

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        if self.log:
            write_event(self.log, event)
        if event["event"] in ("planned", "resumed"):
            self.begin({"planned": "Embedding", "resumed": "Resuming"}[event["event"]], event["pending"])
        elif event["event"] == "working":
            self.progress.update(self.task, completed=self.done + event["images"])
        elif event["event"] == "trigger":
            self.add(event)

    def begin(self, what: str, pending: int) -> None:
        self.done = 0
        self.progress.reset(self.task, description=what, total=pending, failed=self.failed)

    def add(self, event: Event) -> None:
        self.done += event["images"]
        self.failed += event["failed"]
        self.progress.update(self.task, completed=self.done, failed=self.failed)


def write_event(log: IO[str], event: Event) -> None:
    """A line of JSON with the time in UTC. What only moves the bar is not written."""
    if event["event"] != "working":
        log.write(json.dumps({"time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), **event}) + "\n")
        log.flush()


def told(summary: Summary) -> str:
    """The summary in words."""
    found = [
        f"{summary.new:,} new",
        f"{summary.changed:,} changed",
        f"{summary.failed_before:,} failed before",
        f"{summary.done_before:,} done",
        f"{summary.deleted:,} deleted",
    ]
    lines = [f"Model {summary.model}. Images: {', '.join(found)}."]
    if summary.expected_seconds is not None:
        return f"{lines[0]}\nNothing is written. Expected time: {duration(summary.expected_seconds)}."
    speed = f"{summary.images / summary.trigger_seconds:.1f} images/s" if summary.trigger_seconds else "nothing to do"
    lines.append(
        f"Embedded {summary.embedded:,} ({summary.similar:,} by a similar frame), {summary.failed:,} failed, "
        f"in {duration(summary.seconds)}; {speed}."
    )
    if summary.pruned:
        lines.append(f"Pruned {summary.pruned:,} rows.")
    elif summary.changed or summary.deleted:
        lines.append("Rows of changed and deleted images are still in the table: --prune removes them.")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """1 day, 2:03:04; below ten seconds with one decimal."""
    return f"{seconds:.1f} s" if seconds < 10 else str(timedelta(seconds=round(seconds)))
