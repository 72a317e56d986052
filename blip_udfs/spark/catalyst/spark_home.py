"""Where Spark is -> its jars, its version, its Scala."""

from __future__ import annotations

import importlib.util
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spark:
    """A Spark's folders, with the version that its jars say: 4.3.0, or a vendor's 3.5.6-amzn-1."""

    home: Path  # where bin/ is
    jars: Path
    version: str
    scala: str  # 2.13

    @property
    def line(self) -> str:
        """4.3 of 4.3.0: what the extension's sources and jars are for."""
        return ".".join(re.findall(r"\d+", self.version)[:2])

    @property
    def classpath(self) -> str:
        """Its jars, and Hadoop's where the distribution has none and says so as Spark's own scripts do."""
        return os.pathsep.join(filter(None, [str(self.jars / "*"), os.environ.get("SPARK_DIST_CLASSPATH")]))


def here() -> Spark:
    """The Spark that pyspark starts: SPARK_HOME's where that is set, else that of the installed pyspark.

    Raises RuntimeError where no folder has Spark's jars.
    """
    looked = list(folders())
    for home, jars in looked:
        if found := spark_of(home, jars):
            return found
    places = ", ".join(str(jars) for _, jars in looked) or "nowhere: SPARK_HOME is not set, pyspark is not installed"
    raise RuntimeError(
        f"no Spark found, expected a folder with spark-core_*.jar, looked in {places}: "
        "pip install 'blip-udfs[spark]', or set SPARK_HOME to the folder that holds Spark's jars/"
    )


def folders() -> Iterator[tuple[Path, Path]]:
    """Homes, and where their jars may be: a platform may keep them beside its home."""
    for home in homes():
        yield from ((home, home / "jars"), (home, home.parent / "jars"))


def homes() -> list[Path]:
    if named := os.environ.get("SPARK_HOME"):
        return [Path(named)]
    spec = importlib.util.find_spec("pyspark")
    package = Path(spec.origin).parent if spec and spec.origin else None
    return [package, package.parent.parent] if package else []  # a distribution's is <home>/python/pyspark


def spark_of(home: Path, jars: Path) -> Spark | None:
    """By the name of the jar that Apache's distributions have; where a platform's has another, by pyspark's version and
    the Scala that most names hold."""
    names = sorted(path.name for path in jars.glob("*.jar"))
    for core in filter(None, (re.fullmatch(r"spark-core_(\d+\.\d+)-(.+)\.jar", name) for name in names)):
        return Spark(home, jars, core[2], core[1])
    scalas = Counter(re.findall(r"_(2\.1[23])(?=[._-])", " ".join(names)))
    if not scalas:
        return None
    from pyspark.version import __version__

    return Spark(home, jars, __version__, scalas.most_common(1)[0][0])
