"""An error of Spark's, with its traces -> the line that says why."""

from __future__ import annotations

import re

RAISED = re.compile(r"^(?:Caused by: )?(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): (?=\S)(.*)", re.MULTILINE)


HIDDEN = re.compile(r"from the Python worker: (?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): (?=\S)(.*)")


def cause(error: Exception) -> str:
    """The message of the last Python error in a worker's traceback, else of Spark's own first line."""
    text = str(error)
    if hidden := of_worker(text):
        return hidden
    worker = text.partition("Traceback (most recent call last)")[2]
    said = [each for each in RAISED.findall(worker) if not each.startswith("Job aborted")]
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return said[0] if said else first


def of_worker(log: str) -> str | None:
    """What a worker said last in a log without tracebacks; None if it said nothing."""
    return said[-1].strip() if (said := HIDDEN.findall(log)) else None
