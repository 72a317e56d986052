"""The SQL scripts of sql/ and their ${variables} -> one DataFrame per statement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PACKAGE = Path(__file__).parent.parent
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
    """The statements of a script, each with the comment above it and as it stands there."""
    return split(script.read_text())


def split(text: str) -> list[str]:
    """A semicolon ends a statement where Spark's SQL has one: not in a string, a name in backticks or a comment."""
    from sqlglot.dialects import Spark
    from sqlglot.tokens import TokenType

    found, start, tokens = [], 0, 0
    for token in Spark().tokenize(text):
        if token.token_type == TokenType.SEMICOLON:
            found += [text[start : token.start].strip()] if tokens else []
            start, tokens = token.end + 1, 0
        else:
            tokens += 1
    return [*found, text[start:].strip()] if tokens else found


def run(spark: SparkSession, name: str, **variables: str) -> Iterator[tuple[str, DataFrame]]:
    """Runs a script in the session, statement by statement: (statement, its result). Spark itself substitutes
    ${variable}, here as in `spark-sql -d variable=value`."""
    for key, value in variables.items():
        spark.conf.set(key, value)
    for statement in statements(path(name)):
        yield statement, spark.sql(statement)
