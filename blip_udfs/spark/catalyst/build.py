"""The Spark that is there -> the extension's jar for it: one of the package's, or one that is compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from blip_udfs.files import notes
from blip_udfs.spark.catalyst import compiler
from blip_udfs.spark.catalyst.spark_home import Spark, here


def jar() -> Path:
    """The jar for the Spark that is there: the package's or an earlier compiled one where one fits and links, else one
    compiled now, in the package's folder or, where that cannot be written, in the user's cache.

    Raises RuntimeError when there is no Spark or no Java, when no folder can be written, or with the compiler's
    messages; OSError from the disk.
    """
    spark = here()
    stamp = compiler.stamp(spark)
    for path in made(spark):
        if compiler.stamp_of(path) == stamp and (path.name == compiler.name(spark) or links(path, spark)):
            return path
    path = writable() / compiler.name(spark)
    compiler.build(path, spark)
    return path


def made(spark: Spark) -> Iterator[Path]:
    """Jars of this line of Spark and this Scala, that of the very version first."""
    for folder in folders():
        found = folder.glob(f"blip-udfs_{spark.scala}-spark{spark.line}.*.jar")
        yield from sorted(found, key=lambda path: (path.name != compiler.name(spark), path.name))


def folders() -> Iterator[Path]:
    """The package's, then the user's cache: only whom the first does not serve needs a home."""
    yield compiler.FOLDER
    yield cache()


def cache() -> Path:
    return notes.folder()


def writable() -> Path:
    """The first folder that can be written, the package's before the cache."""
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise RuntimeError(
        f"no folder for the extension's jar can be written, neither {compiler.FOLDER} nor {cache()}: "
        "set XDG_CACHE_HOME to one that can"
    )


def links(path: Path, spark: Spark) -> bool:
    """Whether all that the jar's classes call is in this Spark; asked of Java once and noted in the cache."""
    both = f"{compiler.stamp_of(path)} {contents(spark)}"
    if notes.read("links", both) is not None:
        return True
    words = [compiler.java(), "-cp", f"{path}{os.pathsep}{spark.classpath}", "org.apache.spark.sql.blip.Links"]
    fits = subprocess.run(words, capture_output=True, check=False).returncode == 0
    if fits:
        notes.write("links", both, "")  # where it cannot be noted, it is asked again
    return fits


def contents(spark: Spark) -> list[tuple[str, int, int]]:
    files = sorted(spark.jars.glob("*.jar"))
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]  # dead links


if __name__ == "__main__":
    sys.stdout.write(f"{jar()}\n")
