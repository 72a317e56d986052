"""Released Sparks, from PyPI into the user's cache -> the jars that a wheel carries: `make wheel`."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from blip_udfs.spark.catalyst import compiler
from blip_udfs.spark.catalyst.build import cache
from blip_udfs.spark.catalyst.spark_home import Spark, here, spark_of

# line: its first and its last patch release. Those of 3.5 on PyPI have Scala 2.12, all others 2.13.
LINES = {
    "3.5": ("3.5.0", "3.5.9"),
    "4.0": ("4.0.0", "4.0.5"),
    "4.1": ("4.1.0", "4.1.4"),
    "4.2": ("4.2.0", "4.2.1"),
    "4.3": ("4.3.0", "4.3.0"),
}
PARTS = {"deps/jars": "jars", "deps/bin": "bin", "deps/sbin": "sbin", "lib": "python/lib"}  # as pyspark's setup.py says


def main(homes: list[str]) -> None:
    """Compiles a jar for the last release of each line into the package, and for each Spark in `homes`, which PyPI may
    not have: 3.5 with Scala 2.13. Other jars there are removed. Raises ValueError for a folder that is no Spark."""
    sparks = [*(at(Path(home)) for home in homes), *(fetched(last) for _, last in LINES.values())]
    wanted = {compiler.FOLDER / compiler.name(spark): spark for spark in sparks}
    for path in set(compiler.FOLDER.glob("*.jar")) - set(wanted):
        path.unlink()
    for path, spark in wanted.items():
        if not path.exists() or compiler.stamp_of(path) != compiler.stamp(spark):
            compiler.build(path, spark)
        sys.stdout.write(f"{path}\n")


def at(home: Path) -> Spark:
    if found := spark_of(home, home / "jars"):
        return found
    raise ValueError(f"{home}: expected a Spark's folder, with jars/spark-core_*.jar; name the one that holds jars/")


def fetched(version: str) -> Spark:
    """A released Spark as `pip install pyspark` lays it, cached; its folder `pyspark` lies in one of its own.

    Raises RuntimeError with pip's message where it cannot be had.
    """
    installed = here()
    if installed.version == version:
        return installed
    home = cache() / "sparks" / version / "pyspark"
    if not home.exists():
        home.parent.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent.parent) as scratch:
            download(f"pyspark=={version}", Path(scratch), "--no-binary", "pyspark")
            made = laid(Path(scratch))
            with contextlib.suppress(OSError):  # another process may have been faster
                made.replace(home.parent)
    spark = spark_of(home, home / "jars")
    assert spark is not None and spark.version == version
    return spark


def download(requirement: str, folder: Path, *options: str) -> None:
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options, "-d", str(folder), requirement]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{requirement} cannot be downloaded: {done.stderr.strip()}")


def laid(folder: Path) -> Path:
    """The archive's folder with its parts where pip puts them."""
    (archive,) = folder.glob("pyspark-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="tar")
    archive.unlink()
    (source,) = folder.glob("pyspark-*")
    for part, place in PARTS.items():
        target = source / "pyspark" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source / part, target, dirs_exist_ok=True)
        shutil.rmtree(source / part)
    return source


if __name__ == "__main__":
    main(sys.argv[1:])
