"""BLIP image-text search as Spark SQL functions."""

from pathlib import Path

from blip_udfs.embed import embed
from blip_udfs.gallery import gallery
from blip_udfs.once import read_once
from blip_udfs.search import search
from blip_udfs.session import builder, register

__version__ = (Path(__file__).parent / "VERSION").read_text().strip()
__all__ = ["__version__", "builder", "embed", "gallery", "read_once", "register", "search"]
