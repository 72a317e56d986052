"""A job that has embedded all there was -> what comes in afterwards is embedded too, until the job is told to end."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from blip_udfs.job.store import show_current

if TYPE_CHECKING:
    from blip_udfs.job.embed import Job
    from blip_udfs.job.tables import Tables

TRIGGER = "1 second"  # of Spark's processing time: between two looks at the folder of plans


def follow(job: Job, every: float, tables: Callable[[], Tables]) -> Counter[str]:
    """Looks for images every so many seconds, or once those of the look before are embedded, until the job is to end:
    how many it found of each status. One stream runs all the while and takes the plans that the looks write; a trigger
    that is at work in the end is given up, and repeated by the next run.

    Images that failed are tried again when they change. `tables` gives the job's anew, and checks the source's keys.
    """
    found: Counter[str] = Counter()
    job.retry_failed = False  # else each look would
    before, looked = job.totals["images"], time.monotonic()
    query = job.start(processingTime=TRIGGER)
    try:
        while not job.until():
            if query.awaitTermination(1):
                break
            pending = before + found["new"] + found["changed"] - job.totals["images"]
            if pending:
                job.on_event({"event": "working", "images": job.images_under_way(query)})
            elif time.monotonic() - looked >= every:
                found += look(job, tables)
                looked = time.monotonic()
    finally:
        query.stop()
        job.spark.catalog.refreshTable(job.table)
    return found


def look(job: Job, tables: Callable[[], Tables]) -> Counter[str]:
    """Plans what is there now and was not before. What this session knows of the tables' files is of before, and so is
    whether the view must leave out older rows."""
    if job.of_table:
        job.spark.catalog.refreshTable(job.source)
    job.spark.catalog.refreshTable(job.table)
    show_current(job.spark, job.tables, job.table)
    job.tables = tables()
    return Counter(job.plan(again=True))


def until_told(seconds: float | None) -> Callable[[], bool]:
    """Whether so many seconds have passed from now, or SIGTERM or Ctrl-C has come: the first of either ends the job in
    good order, a second one the process."""
    end = time.monotonic() + (math.inf if seconds is None else seconds)
    told: list[int] = []

    def hear(number: int, _: Any) -> None:
        told.append(number)
        for each, of_old in before.items():
            signal.signal(each, of_old)

    before = {each: signal.signal(each, hear) for each in (signal.SIGTERM, signal.SIGINT)}
    return lambda: bool(told) or time.monotonic() >= end
