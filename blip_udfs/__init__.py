"""BLIP image-text search as Spark SQL functions."""

from pathlib import Path

from blip_udfs.files.once import read_once
from blip_udfs.job.embed import embed
from blip_udfs.results.find_all import find_all
from blip_udfs.results.gallery import gallery
from blip_udfs.results.moments import intervals
from blip_udfs.results.search import search
from blip_udfs.results.watch import watch
from blip_udfs.spark.promised import last_filter
from blip_udfs.spark.session import builder, configure, register

__version__ = (Path(__file__).parent / "VERSION").read_text().strip()
__all__ = [
    "__version__",
    "builder",
    "configure",
    "embed",
    "find_all",
    "gallery",
    "intervals",
    "last_filter",
    "read_once",
    "register",
    "search",
    "watch",
]
