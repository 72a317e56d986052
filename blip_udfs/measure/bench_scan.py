"""What the rate of ORDER BY similarity depends on: rows, page cache, Parquet's row groups, Spark's column reader."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blip_udfs.measure.bench import Result, interleaved
from blip_udfs.measure.bench_alternatives import session, vectors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SIZES = (1_000_000, 4_000_000)
ROW_GROUP = 4_096  # rows; a file of `vectors` is else one row group of 62,500 rows, 64 MB
AS_IT_IS = "as it is"
SETTINGS = {  # each beside what Spark does of itself: batches of 4,096 rows, 4 MB of vectors, on the JVM's heap
    "batches of 512 rows": ("spark.sql.parquet.columnarReaderBatchSize", "512"),
    "column vectors off the heap": ("spark.sql.columnVector.offheap.enabled", "true"),
    "arrays read row by row": ("spark.sql.parquet.enableNestedColumnVectorizedReader", "false"),
}


def scan(folder: Path, rounds: int, sizes: tuple[int, ...] = SIZES) -> list[Result]:
    """Rows/s of the ten nearest, of each number of rows in turn with all that may matter changed one at a time; the
    first way of all is the smallest table as it is, so that ratios tell how it grows."""
    spark, ways, work = session(folder, "demo"), {}, []
    for rows in sizes:
        for name, run in ways_of(spark, folder, rows).items():
            ways[f"{rows:,} rows, {name}"] = run
            work.append(rows)
    return interleaved("what a scan depends on", "rows/s", work, ways, rounds)


def ways_of(spark: SparkSession, folder: Path, rows: int) -> dict[str, Callable[[], Any]]:
    from blip_udfs.job.increment import setting

    whole = vectors(folder / f"vectors_{rows}", rows)
    grouped = vectors(folder / f"vectors_{rows}_in_groups", rows, row_group=ROW_GROUP)
    for name, files in (("scan_whole", whole), ("scan_grouped", grouped)):
        spark.read.parquet(str(files)).createOrReplaceTempView(f"{name}_{rows}")

    def nearest(view: str, where: str = "") -> list:
        vector = "array_repeat(CAST(0.0625 AS FLOAT), 256)"
        query = f"SELECT id, blip_similarity(embedding, {vector}) AS similarity FROM {view}_{rows} {where}"
        return spark.sql(f"{query} ORDER BY similarity DESC LIMIT 10").collect()

    def with_setting(key: str, value: str) -> list:
        with setting(spark, key, value):
            return nearest("scan_whole")

    def out_of_cache() -> list:
        forget(whole)
        return nearest("scan_whole")

    ways: dict[str, Callable[[], Any]] = {
        AS_IT_IS: partial(nearest, "scan_whole"),
        "files out of the page cache": out_of_cache,
        f"row groups of {ROW_GROUP:,} rows": partial(nearest, "scan_grouped"),
        "WHERE keeps 1 %": partial(nearest, "scan_whole", "WHERE id % 100 = 7"),
    }
    return ways | {name: partial(with_setting, *each) for name, each in SETTINGS.items()}


def forget(*folders: Path) -> None:
    """Has the system drop the files' pages from its cache, where it has a call for that and nobody else holds them."""
    for file in (each for folder in folders for each in folder.rglob("*") if each.is_file()):
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)  # a page that is not on the disk yet stays
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
