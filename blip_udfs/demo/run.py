"""Nothing -> a drawn ONCE tree, its embeddings, three questions in SQL, their pictures."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blip_udfs.files import ours

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CAMERAS = ["cam01", "cam03"]


def run(out: Path, sequences: int, frames: int, seed: int) -> None:
    """The demo: everything that it makes is in `out`; the tree and the tables of an earlier run are made anew."""
    from blip_udfs.draw.bar import draw_with_bar

    tree = out / "once"
    make_room(out)
    draw_with_bar(tree, sequences, frames, CAMERAS, (960, 510), seed)
    spark = session(out / "warehouse")
    try:
        answer(spark, tree, out)
    finally:
        spark.stop()


def make_room(out: Path) -> None:
    """Removes what an earlier demo made; ValueError, before anything is removed, where some of it is not ours."""
    folders = (out / "once", out / "warehouse")
    ours.check_files(out, ["index.html", "contact_sheet.png"])
    for folder in folders:
        ours.check(folder)
    ours.mark(out)
    for folder in folders:
        ours.make_anew(folder)


def session(warehouse: Path) -> SparkSession:
    from blip_udfs.spark.session import start

    settings = {
        "spark.sql.warehouse.dir": str(warehouse.resolve()),
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
    }
    return start("demo", "local[*]", settings)


def answer(spark: SparkSession, tree: Path, out: Path) -> None:
    """Runs the scripts of sql/ over the tree, prints what they give, and writes the pictures of the searches."""
    from blip_udfs.results.gallery import Gallery
    from blip_udfs.spark import scripts

    pictures = Gallery("blip-udfs demo: the three best frames")
    for name in ("1_images.sql", "2_embeddings.sql", "3_search.sql"):
        for statement, result in scripts.run(spark, name, root=str(tree.resolve())):
            click.echo(f"\n{statement};")
            if not result.columns or result.columns == ["key", "value"]:
                continue  # a command, or SET
            result = result.cache()  # shown twice, computed once
            result.drop("image").show(truncate=False)
            if "image" in result.columns:
                pictures.add(result, title_of(statement))
    click.echo(f"Pictures: {pictures.save(out / 'index.html')}, {pictures.contact_sheet(out / 'contact_sheet.png')}")


def title_of(statement: str) -> str:
    """The sentence of a search, and its WHERE."""
    sentence = re.search(r"blip_itm\(image, '([^']*)'\)", statement)
    where = re.search(r"^WHERE (.*)", statement, re.MULTILINE)
    return " ".join(filter(None, [sentence and sentence[1], where and f"(WHERE {where[1]})"]))
