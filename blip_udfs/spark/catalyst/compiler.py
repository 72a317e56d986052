"""Scala sources and the catalog -> one jar, named after the Spark and Scala versions that it is compiled for."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from blip_udfs.spark.catalyst.spark_home import Spark

FOLDER = Path(__file__).parent
SHIMS = FOLDER / "shims"
PACKAGE = FOLDER.parent.parent
QUERIES = (PACKAGE / "files" / "once.sql",)  # what table functions expand to


def name(spark: Spark) -> str:
    return f"blip-udfs_{spark.scala}-spark{spark.version}.jar"


def manifest(spark: Spark) -> str:
    from blip_udfs.blip.features import stored
    from blip_udfs.blip.recall import BINS
    from blip_udfs.files.carried import MAGIC
    from blip_udfs.files.doors import defaults as limits
    from blip_udfs.files.once import manifest as once
    from blip_udfs.spark.catalog import manifest as functions
    from blip_udfs.spark.settings import defaults

    parts = {"settings": defaults(), "features": stored(), "once": once(), "functions": functions()}
    constants = {"spark": spark.line, "limits": limits(), "carried": MAGIC.decode(), "bins": BINS}
    return json.dumps(constants | parts, indent=1)


def sources(spark: Spark) -> list[Path]:
    """What is the same for all Sparks, and of each folder of shims the one file for this one."""
    folders = sorted(path for path in SHIMS.iterdir() if path.is_dir())
    return sorted([*FOLDER.glob("*.scala"), *SHIMS.glob("*.scala"), *(shim(each, spark) for each in folders)])


def shim(folder: Path, spark: Spark) -> Path:
    """<line>.scala of the newest line that is not newer than the Spark."""
    lines = sorted((numbers(path.stem), path) for path in folder.glob("*.scala"))
    fitting = [path for line, path in lines if line <= numbers(spark.line)]
    if not fitting:
        raise RuntimeError(f"blip-udfs' jar needs Spark {lines[0][1].stem} or newer, found {spark.version}")
    return fitting[-1]


def numbers(line: str) -> tuple[int, ...]:
    return tuple(map(int, line.split(".")))


def stamp(spark: Spark) -> str:
    """What a jar was made from: the line of Spark, sources and resources, as one digest."""
    digest = hashlib.sha256(manifest(spark).encode())
    for path in (*sources(spark), *QUERIES):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp_of(path: Path) -> str:
    """Of a jar; nothing where it is broken, so that it fits no Spark."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read("blip_udfs/stamp").decode()
    except (zipfile.BadZipFile, KeyError):
        return ""


def build(path: Path, spark: Spark) -> None:
    """Compiles into `path`; two builders at once do no harm, the last one's whole jar stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        classes = Path(scratch) / "classes"
        classes.mkdir()
        compile_scala(classes, spark)
        draft = Path(scratch) / path.name
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(classes.rglob("*.class")):
                archive.write(file, file.relative_to(classes))
            archive.writestr("blip_udfs/manifest.json", manifest(spark))
            for query in QUERIES:
                archive.writestr(f"blip_udfs/{query.name}", query.read_text())
            archive.writestr("blip_udfs/stamp", stamp(spark))
        draft.replace(path)


def compile_scala(classes: Path, spark: Spark) -> None:
    """Runs the Scala compiler that Spark ships."""
    if not list(spark.jars.glob("scala-compiler*.jar")):
        raise RuntimeError(
            f"no scala-compiler-*.jar in {spark.jars}, with which the extension is compiled for Spark {spark.version}: "
            f"put Scala {spark.scala}'s there, or install a wheel of blip-udfs that holds a jar for Spark {spark.line}"
        )
    compiler = [java(), "-Xss8m", "-cp", spark.classpath, "scala.tools.nsc.Main"]
    flags = ["-usejavacp", "-deprecation", "-Xfatal-warnings", "-d", str(classes)]
    done = subprocess.run([*compiler, *flags, *map(str, sources(spark))], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the extension did not compile for Spark {spark.version}:\n{done.stdout}{done.stderr}")


def java() -> str:
    """The path of java; RuntimeError where there is none."""
    home = os.environ.get("JAVA_HOME")
    folders = os.pathsep.join(filter(None, [home and f"{home}/bin", os.environ.get("PATH")]))
    found = shutil.which("java", path=folders)
    if found is None:
        raise RuntimeError("no java found: install Java 17 (Debian, Ubuntu: apt-get install openjdk-17-jre-headless)")
    return found
