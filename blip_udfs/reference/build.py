"""Catalog, settings and examples, which are run -> their results in sql/functions/, the reference page sql/README.md.

`python -m blip_udfs.reference.build` writes them; with --check it writes nothing and says what would differ.
"""

from __future__ import annotations

import difflib
import io
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blip_udfs.reference.templates import plain
from blip_udfs.spark import pages, scripts
from blip_udfs.spark.catalog import CATALOG
from blip_udfs.spark.pages import Example
from blip_udfs.spark.session import builder
from blip_udfs.spark.settings import SETTINGS
from blip_udfs.spark.sql_function import SqlFunction

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SQL = Path(__file__).parents[2] / "sql"  # a checkout's
TREE = "/data/ONCE"  # where the examples say that their tree is
SEQUENCES, FRAMES = 8, 2
NAMES = [function.name for function in CATALOG]
MEND = "mend what is wrong, or write it anew with `make reference`"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--check", is_flag=True, help="Write nothing; say what would differ, and exit with 1.")
def main(names: tuple[str, ...], check: bool) -> None:
    """Run the examples of NAMES (all by default), write their results beside them, and the reference sql/README.md."""
    if found := strays(set(NAMES), set(pages.names())):
        raise click.ClickException("\n".join(found))
    with tempfile.TemporaryDirectory() as folder:
        texts, wrong = made(Path(folder).resolve(), names or tuple(NAMES))
    if not check:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    else:
        wrong = [*differences(texts), *wrong]
    if wrong:
        click.echo("\n".join(wrong), err=True)
        raise click.ClickException(f"the reference does not say what is so: {MEND}")


def strays(functions: set[str], written: set[str]) -> list[str]:
    """Functions without a page, pages without a function."""
    return [
        *map(pages.missing, sorted(functions - written)),
        *(
            f"sql/functions/{name}.sql is of no function in blip_udfs/spark/catalog.py: remove it"
            for name in sorted(written - functions)
        ),
    ]


def made(folder: Path, names: tuple[str, ...]) -> tuple[dict[Path, str], list[str]]:
    """What each file should hold, and what DESCRIBE FUNCTION says otherwise; `folder` is for tree and tables."""
    from blip_udfs.draw.tree import draw_tree

    tree = folder / "ONCE"
    draw_tree(tree, SEQUENCES, FRAMES, ["cam01", "cam03"])
    spark = session(folder / "warehouse")
    try:
        for _ in scripts.run(spark, "2_embeddings.sql", root=str(tree)):
            pass
        examples = {name: pages.read(name) for name in NAMES}
        examples |= {name: rerun(spark.newSession(), name, tree) for name in names}
        wrong = [line for function in CATALOG for line in described(spark, function)]
    finally:
        spark.stop()
    texts = {SQL / pages.FOLDER / f"{name}.sql": pages.text(each) for name, each in examples.items()}
    return texts | {SQL / "README.md": render(examples)}, wrong


def session(warehouse: Path) -> SparkSession:
    settings = {
        "spark.sql.warehouse.dir": str(warehouse),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.log.level": "OFF",  # errors are results here
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    return builder().master("local[2]").appName("blip-udfs reference").config(map=dict(settings)).getOrCreate()


def rerun(spark: SparkSession, name: str, tree: Path) -> list[Example]:
    """The page's examples, in a session of their own, with the results that they give now."""
    next(scripts.run(spark, "1_images.sql", root=str(tree)))
    return [replace(each, result=outcome(spark, each.statement, str(tree))) for each in pages.read(name)]


def outcome(spark: SparkSession, statement: str, tree: str) -> str:
    """What a statement shows: its table, its error, or nothing. Paths as if the tree were at /data/ONCE."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        return shown(spark.sql(statement.rstrip(";").replace(TREE, tree)), tree)
    except (PySparkException, Py4JJavaError) as error:  # the latter from a subquery
        return told(str(error)).replace(tree, TREE)


def shown(result: DataFrame, tree: str) -> str:
    """The result as `show` prints it; nothing of a command, or of SET."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType

    if not result.columns or result.columns == ["key", "value"]:
        return ""
    # before it is printed, for the columns' width depends on it
    texts = [field.name for field in result.schema if isinstance(field.dataType, StringType)]
    moved = result.withColumns({name: F.replace(f"`{name}`", F.lit(tree), F.lit(TREE)) for name in texts})
    with redirect_stdout(io.StringIO()) as out:
        moved.show(truncate=False)
    return out.getvalue().strip()


def told(message: str) -> str:
    """Of an error what its user needs: the worker's own, or Spark's without its position and plan."""
    raised = re.findall(r"^(?:\w+\.)*(\w*Error: .*)", message, re.MULTILINE)
    return raised[-1] if raised else re.sub(r" SQLSTATE: .*", "", message.splitlines()[0])


def described(spark: SparkSession, function: SqlFunction) -> Iterator[str]:
    """How DESCRIBE FUNCTION EXTENDED differs from what the catalog says."""
    parts = function.description()
    wanted = (
        f"Usage: {parts['usage']}\nExtended Usage:{parts['arguments']}{parts['examples']}\n    Since: {function.since}"
    )
    rows = spark.sql(f"DESCRIBE FUNCTION EXTENDED {function.name}").collect()
    got = "\n".join(row[0] for row in rows)
    got = got[got.index("Usage: ") :]
    yield from diff(got, wanted, f"DESCRIBE FUNCTION EXTENDED {function.name}", "blip_udfs/spark/catalog.py")


def differences(texts: dict[Path, str]) -> Iterator[str]:
    """How files differ from what they should hold."""
    for path, text in texts.items():
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        name = str(path.relative_to(SQL.parent))
        yield from diff(there, text, name, f"{name}, as it is now")


def diff(there: str, wanted: str, name: str, other: str) -> Iterator[str]:
    return difflib.unified_diff(there.splitlines(), wanted.splitlines(), name, other, lineterm="")


def render(examples: dict[str, list[Example]]) -> str:
    """The reference page (Markdown)."""
    tree = f"blip-udfs synth {TREE} --sequences {SEQUENCES} --frames {FRAMES}"
    return (
        plain()
        .get_template("reference.md.j2")
        .render(functions=CATALOG, settings=SETTINGS, examples=examples, tree=tree)
    )


if __name__ == "__main__":
    sys.exit(main())
