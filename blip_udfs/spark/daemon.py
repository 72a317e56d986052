"""spark.python.daemon.module: pyspark's own daemon, which loads the models that its workers hand it (`handed`).

Spark ends a worker that is idle for a minute, or that raises an error. Its successor has the libraries and the model
at birth. Nothing is computed here: a torch that has started its threads does not work in a forked process, and so
neither pandas nor pyarrow is imported, which start one too.
"""

from __future__ import annotations

import sys

from pyspark.daemon import manager

from blip_udfs.spark import handed


def take(name: str, folder: str, dtype: str) -> None:
    """Whatever goes wrong here is no worker's problem: each loads its own then, as without this daemon."""
    try:
        from blip_udfs.blip.model import keep

        model = keep(name, folder, dtype)
        if handed.settle(model):
            say(f"{model.label} stays: workers that start from now on have it")
    except Exception as error:
        say(f"{name} does not stay, each worker loads it: {type(error).__name__}: {error}")


def say(words: str) -> None:
    print(f"blip_udfs: {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.platform == "linux":  # elsewhere libraries that torch loads do not bear a fork
        handed.listen(take)
    manager()
