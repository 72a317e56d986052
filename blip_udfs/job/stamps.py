"""Images named by path -> modification time and length of their files, in a worker."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from blip_udfs.files import carried, sources
from blip_udfs.spark.batches import null_as_none

AT_ONCE = 16  # files that a worker asks about: what takes time is the way to the storage
FOUND = "modified BIGINT, length BIGINT"  # microseconds: a TIMESTAMP would go through the session's time zone


def of_files(images: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
    """NULL of files that are not there or may not be read: when they come, they have changed."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for batch in images:
            found = list(pool.map(stamp, null_as_none(batch)))
            modified, length = zip(*found, strict=True) if found else ((), ())
            yield pd.DataFrame({"modified": modified, "length": length}, dtype="Int64")


def stamp(image: bytes | str | None) -> tuple[int | None, int | None]:
    if isinstance(image, bytes) and carried.is_carried(image):
        kind, path, _ = carried.parts(image)
        if kind != "P":
            return carried.stamp(image) if kind == "S" else (None, None)
        image = path
    return (image is not None and sources.stamp(str(image))) or (None, None)
