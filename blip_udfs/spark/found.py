"""Where Python finds pyspark: what is installed, else what a Spark distribution brings."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path


def find_pyspark() -> None:
    """Puts the pyspark of SPARK_HOME's distribution on the path where none is installed, as bin/pyspark does.

    Raises ImportError, which says what to install, where there is none either.
    """
    if importlib.util.find_spec("pyspark") is not None:
        return
    python = Path(os.environ.get("SPARK_HOME", "")) / "python"
    if not os.environ.get("SPARK_HOME") or not (python / "pyspark").is_dir():
        raise ImportError(
            "blip-udfs needs a Spark, and there is none: pip install 'blip-udfs[spark]', or set SPARK_HOME to the "
            "folder of one, 3.5 or newer, which holds jars/ and python/pyspark"
        )
    sys.path += [str(python), *map(str, sorted((python / "lib").glob("py4j-*.zip")))]
