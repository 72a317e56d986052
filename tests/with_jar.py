"""A Spark and a jar of the extension -> what its spark-sql prints of a query that is not ours."""

import os
import subprocess
from pathlib import Path

from blip_udfs.spark.catalyst.spark_home import Spark
from blip_udfs.spark.extension import EXTENSION


def printed(jar: Path, spark: Spark, cwd: Path) -> str:
    """Its stderr; AssertionError where the session does not start or the query's answer is not there."""
    words = [spark.home / "bin" / "spark-sql", "--jars", jar, "--conf", f"spark.sql.extensions={EXTENSION}"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, words), "-e", "SELECT 40 + 2"],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=200,
        env=environment | {"SPARK_HOME": str(spark.home)},
    )
    assert done.returncode == 0 and done.stdout.strip() == "42", done.stdout + done.stderr
    return done.stderr
