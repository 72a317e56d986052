"""A package on PyPI and Spark 3.5's own Jackson -> the jars that give a Spark 3.5 Iceberg, in the user's cache.

The package holds Apache's runtime jar without the Jackson that it shades. Spark's has the same classes by their own
name: with another package's name in the constant pools of their class files they fill the gap.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from pathlib import Path

from blip_udfs.spark.catalyst.build import cache
from blip_udfs.spark.catalyst.released import download
from blip_udfs.spark.catalyst.spark_home import Spark

PACKAGE, VERSION = "snowpark-connect-deps-iceberg", "1.0.3"
RUNTIME = "iceberg-spark-runtime-3.5_2.12-1.10.2.jar"
PARTS = ("core", "databind", "annotations")  # of Jackson
OLD, NEW = "com/fasterxml/jackson", "org/apache/iceberg/shaded/com/fasterxml/jackson"
LENGTHS = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}
TEXT, TWO_SLOTS = 1, (5, 6)  # tags of constants: JVM specification, 4.4


def jars(spark: Spark) -> list[Path]:
    """Iceberg's runtime and its Jackson, fetched and made once."""
    folder = cache() / "lakes" / f"iceberg-{VERSION}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "jars"
            made.mkdir()
            fetch(Path(scratch), made)
            shade(spark, made / "jackson.jar")
            made.replace(folder)
    return [folder / RUNTIME, folder / "jackson.jar"]


def fetch(scratch: Path, folder: Path) -> None:
    download(f"{PACKAGE}=={VERSION}", scratch)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(f"/{RUNTIME}"))
        (folder / RUNTIME).write_bytes(archive.read(name))


def shade(spark: Spark, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for part in PARTS:
            (jar,) = (each for each in spark.jars.glob("jackson-*.jar") if re.match(rf"jackson-{part}-\d", each.name))
            with zipfile.ZipFile(jar) as archive:
                for name in archive.namelist():
                    if name.startswith(OLD) and name.endswith(".class"):
                        out.writestr(name.replace(OLD, NEW, 1), renamed(archive.read(name)))


def renamed(code: bytes) -> bytes:
    """A class file with the new package's name in place of the old one's."""
    count, at, constants, slot = int.from_bytes(code[8:10], "big"), 10, [], 1
    while slot < count:
        tag = code[at]
        if tag == TEXT:
            end = at + 3 + int.from_bytes(code[at + 1 : at + 3], "big")
            text = with_package(code[at + 3 : end])
            constants.append(bytes([TEXT]) + len(text).to_bytes(2, "big") + text)
        else:
            end = at + 1 + LENGTHS[tag]
            constants.append(code[at:end])
        at, slot = end, slot + (2 if tag in TWO_SLOTS else 1)
    return code[:10] + b"".join(constants) + code[at:]


def with_package(text: bytes) -> bytes:
    """As the JVM names it, and as messages and Class.forName do."""
    for separator in (b"/", b"."):
        old, new = (name.encode().replace(b"/", separator) for name in (OLD, NEW))
        text = text.replace(old, new)
    return text
