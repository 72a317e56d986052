"""spark.python.daemon.module: pyspark's own daemon, with a worker's imports done before it forks workers.

A worker ends with the error that it raises. Its successor is there at once, not seconds later. Nothing is computed
here: a torch that has started its threads does not work in a forked process.
"""

from pyspark.daemon import manager
from transformers import BlipConfig  # noqa: F401

if __name__ == "__main__":
    manager()
