"""Nothing -> a drawn ONCE tree, its embeddings, three questions in SQL, pictures of three drives each."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blip_udfs.files import ours

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CAMERAS = ["cam01", "cam03"]
LIKELY = 0.5  # blip_itm of what is shown


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

    pictures = Gallery("blip-udfs demo: the best frame of each drive")
    for name in ("1_images.sql", "2_embeddings.sql", "3_search.sql"):
        for statement, result in scripts.run(spark, name, root=str(tree.resolve())):
            click.echo(f"\n{statement};")
            if not result.columns or result.columns == ["key", "value"]:
                continue  # a command, or SET
            result.drop("image").show(truncate=False)
            if "image" in result.columns:
                pictures.add(*of_three_drives(spark, statement))
    click.echo(f"Pictures: {pictures.save(out / 'index.html')}, {pictures.contact_sheet(out / 'contact_sheet.png')}")


def of_three_drives(spark: SparkSession, statement: str) -> tuple[DataFrame, str]:
    """The best frame of each of the three drives that answer a search best, and the search in words: the best rows of
    all are neighbours, and would be one picture three times. Of fewer drives where fewer have what is asked for."""
    sentence = re.findall(r"blip_itm\(image, '([^']*)'\)", statement)[0]
    where = "".join(re.findall(r"^WHERE .*", statement, re.MULTILINE))
    found = spark.sql(
        "SELECT * FROM ("
        f"SELECT sequence_id, frame_id, camera, weather, period, image, blip_itm(image, '{sentence}') AS score "
        f"FROM blip_search(TABLE(SELECT * FROM once_embeddings {where}), '{sentence}', k => 3, candidates => 64, "
        f"one_per => 'sequence_id')) WHERE score >= {LIKELY} ORDER BY score DESC"
    )
    return found, f"{sentence} ({where})" if where else sentence
