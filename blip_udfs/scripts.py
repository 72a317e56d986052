"""The SQL scripts of sql/ and their ${variables} -> one DataFrame per statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PACKAGE = Path(__file__).parent
FOLDERS = (PACKAGE / "sql", PACKAGE.parent / "sql")  # in the wheel, in a checkout


def folder() -> Path:
    return next(each for each in FOLDERS if each.is_dir())


def path(name: str) -> Path:
    """The script called `name`, such as 1_images.sql; FileNotFoundError names the scripts that are there."""
    script = folder() / name
    if not script.is_file():
        there = ", ".join(sorted(other.name for other in script.parent.glob("*.sql")))
        raise FileNotFoundError(f"no script {name} in {folder()}: it has {there}")
    return script


def statements(script: Path) -> list[str]:
    """The statements of a script, each with the comment above it; one ends where a line ends with a semicolon."""
    return [each.strip() for each in re.split(r";[ \t]*$", script.read_text(), flags=re.MULTILINE) if each.strip()]


def run(spark: SparkSession, name: str, **variables: str) -> Iterator[tuple[str, DataFrame]]:
    """Runs a script in the session, statement by statement: (statement, its result). Spark itself substitutes
    ${variable}, here as in `spark-sql -d variable=value`."""
    for key, value in variables.items():
        spark.conf.set(key, value)
    for statement in statements(path(name)):
        yield statement, spark.sql(statement)
