"""Scala sources and the catalog -> one jar, named after the Spark and Scala versions that it fits."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent
QUERIES = (FOLDER.parent / "once.sql", FOLDER.parent / "search.sql")  # what table functions expand to


def jar() -> Path:
    """The extension's jar for the installed pyspark, compiled if sources, catalog or Spark have changed since.

    Raises RuntimeError when there is no Java, when the package's folder cannot be written, or with the compiler's
    messages.
    """
    path = FOLDER / f"blip-udfs_{scala_version()}-spark{spark_version()}.jar"
    if not path.exists() or stamp_of(path) != stamp():
        try:
            build(path)
        except PermissionError:
            raise RuntimeError(
                f"expected a jar for Spark {spark_version()} in {FOLDER}, which cannot be written: whoever installed "
                "blip-udfs can make it with 'python -m blip_udfs.catalyst.build'"
            ) from None
    return path


def spark_home() -> Path:
    import pyspark

    return Path(pyspark.__file__).parent


def spark_version() -> str:
    from pyspark.version import __version__

    return __version__


def scala_version() -> str:
    """2.13, from the name of the Scala library that pyspark ships."""
    (library,) = (spark_home() / "jars").glob("scala-library-*.jar")
    return re.sub(r"scala-library-(\d+\.\d+).*", r"\1", library.name)


def manifest() -> str:
    from blip_udfs.functions import manifest as functions

    return json.dumps({"spark": spark_version(), "functions": functions()}, indent=1)


def sources() -> list[Path]:
    return sorted(FOLDER.glob("*.scala"))


def stamp() -> str:
    """What a jar was made from: Spark's version, sources and resources, as one digest."""
    digest = hashlib.sha256(manifest().encode())
    for path in (*sources(), *QUERIES):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp_of(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read("blip_udfs/stamp").decode()


def build(path: Path) -> None:
    """Compiles into `path`; two builders at once do no harm, the last one's whole jar stands."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        classes = Path(scratch) / "classes"
        classes.mkdir()
        compile_scala(classes)
        draft = Path(scratch) / path.name
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(classes.rglob("*.class")):
                archive.write(file, file.relative_to(classes))
            archive.writestr("blip_udfs/manifest.json", manifest())
            for query in QUERIES:
                archive.writestr(f"blip_udfs/{query.name}", query.read_text())
            archive.writestr("blip_udfs/stamp", stamp())
        draft.replace(path)


def compile_scala(classes: Path) -> None:
    """Runs the Scala compiler that pyspark ships."""
    java = shutil.which("java", path=java_path())
    if java is None:
        raise RuntimeError("no java found: install Java 17 (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)")
    compiler = [java, "-Xss8m", "-cp", str(spark_home() / "jars" / "*"), "scala.tools.nsc.Main"]
    flags = ["-usejavacp", "-deprecation", "-Xfatal-warnings", "-d", str(classes)]
    done = subprocess.run([*compiler, *flags, *map(str, sources())], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the extension did not compile for Spark {spark_version()}:\n{done.stdout}{done.stderr}")


def java_path() -> str:
    home = os.environ.get("JAVA_HOME")
    return os.pathsep.join(filter(None, [home and f"{home}/bin", os.environ.get("PATH")]))


if __name__ == "__main__":
    sys.stdout.write(f"{jar()}\n")
