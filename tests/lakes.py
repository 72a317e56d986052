"""Spark 3.5 with Iceberg, and with Delta where its jars are given -> the tests of table formats on it: `make lakes`.

Spark and Iceberg come from PyPI once, into the user's cache. No registry has Delta's jars as a package: LAKE_JARS names
them, by comma. Words on the command line are pytest's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from blip_udfs.spark.catalyst.released import LINES, fetched
from tests import iceberg
from tests.matrix import ROOT, behind, jar_of

GIVEN = "LAKE_JARS"
ICEBERG = {
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.lake.type": "hadoop",
    "spark.ui.showConsoleProgress": "false",
}
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


def main(words: list[str]) -> int:
    spark = fetched(LINES["3.5"][1])
    jar_of(spark)
    given = [Path(path) for path in os.environ.get(GIVEN, "").split(",") if path]
    formats = [ICEBERG, DELTA] if given else [ICEBERG]
    settings = {key: value for each in formats for key, value in each.items()}
    settings["spark.sql.extensions"] = ",".join(each["spark.sql.extensions"] for each in formats)
    with tempfile.TemporaryDirectory() as warehouse:
        settings["spark.sql.catalog.lake.warehouse"] = warehouse
        flags = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
        every = ",".join(map(str, [*iceberg.jars(spark), *given]))
        submit = {"PYSPARK_SUBMIT_ARGS": " ".join(["--jars", every, *flags, "pyspark-shell"])}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "lakes", "tests/test_lakes.py"]
        return subprocess.run([*command, *words], cwd=ROOT, env=behind(spark) | submit, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
