"""Images of which one ends the worker that reads it -> which ones those are, by halving."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from blip_udfs.files.doors import limit

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

LOST = (  # what Spark says when no Python error came back: a crash, a kill for memory, or the watchdog's exit
    "Python worker exited unexpectedly",
    "Python worker process terminated",
    "ExecutorLostFailure",
    "PYTHON_WORKER_CRASHED",
)


def is_lost_worker(error: Exception) -> bool:
    return any(said in str(error) for said in LOST)


def killers(images: DataFrame, called: Column, attempt: Callable[[DataFrame], object]) -> list[str]:
    """The images, by what they are `called`, on which `attempt` loses its worker when it is given nothing else.

    Raises what else `attempt` raises. An image in whose company a worker was lost by chance passes when it is tried
    again, alone or in a smaller half.
    """
    names = sorted(name for (name,) in images.select(called).distinct().collect() if name is not None)
    return among(names, images, called, attempt)


def among(names: list[str], images: DataFrame, called: Column, attempt: Callable[[DataFrame], object]) -> list[str]:
    if not names or passes(images.where(called.isin(names)), attempt):
        return []
    if len(names) == 1:
        return names
    middle = len(names) // 2
    halves = (names[:middle], names[middle:])
    return [name for half in halves for name in among(half, images, called, attempt)]


def passes(images: DataFrame, attempt: Callable[[DataFrame], object]) -> bool:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        attempt(images)
    except (PySparkException, Py4JError) as error:
        if not is_lost_worker(error):
            raise
        return False
    return True


def reason() -> str:
    return (
        "ends the worker that reads it, each time: its decoder crashes, needs more memory than there is, or takes "
        f"longer than BLIP_IMAGE_SECONDS = {limit('BLIP_IMAGE_SECONDS')}"
    )
