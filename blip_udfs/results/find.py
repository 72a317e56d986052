"""The words of `blip-udfs search` -> ranked rows on the terminal, in a page, a contact sheet, a list of sequences."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from blip_udfs.results.cards import FRAME, SKY, Card
from blip_udfs.results.gallery import Gallery, gallery
from blip_udfs.results.search import search

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

THUMBNAIL = (30, 16)  # half blocks: characters across, two pixels a line


@dataclass(frozen=True)
class Question:
    """What to search for, and where: see `search`. `table` is a table's name or a folder of Parquet files."""

    table: str
    sentences: tuple[str, ...] = ()
    any_of: bool = False
    but_not: tuple[str, ...] = ()
    like: str | None = None
    where: str | None = None
    k: int = 12
    candidates: int = 256
    one_per: str | None = None
    seconds: float | None = None

    @property
    def title(self) -> str:
        said = f"like {self.like}" if self.like else (" or " if self.any_of else " and ").join(self.sentences)
        return ", ".join([said, *(f"not {each}" for each in self.but_not)])

    @property
    def note(self) -> str:
        """Where was searched, in words."""
        group = self.one_per or ("sequence_id" if self.seconds else None)
        each = f", one per {group}" + (f" and {self.seconds:g} s" if self.seconds else "") if group else ""
        return f"{self.table}{f' where {self.where}' if self.where else ''}{each}"

    def rows(self, df: DataFrame) -> DataFrame:
        """The rows of `df` that answer, best first."""
        return search(
            df,
            self.sentences[0] if len(self.sentences) == 1 else self.sentences,
            self.k,
            self.candidates,
            self.one_per,
            any_of=self.any_of,
            but_not=self.but_not,
            like=self.like,
            seconds=self.seconds,
            where=self.where,
        )


SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",  # sequence 000076 is no number
}


def table_of(spark: SparkSession, name: str) -> DataFrame:
    """The table or view of this name, or the folder of Parquet files at it. Raises ClickException for neither."""
    from pyspark.errors import AnalysisException

    from blip_udfs.spark.lines import condition

    if Path(name).is_dir():
        return spark.read.parquet(str(Path(name).resolve()))
    try:
        return spark.table(name)
    except AnalysisException as error:
        if "XSDB6" in str(error):  # Derby's number for a catalog that is in use
            raise click.ClickException("another process, such as a spark-sql shell, has the warehouse open") from None
        if condition(error) != "TABLE_OR_VIEW_NOT_FOUND":
            raise
    there = ", ".join(table.name for table in spark.catalog.listTables()) or "no table"
    raise click.ClickException(
        f"no table and no folder {name}: the warehouse has {there}; name another with --table, or its --warehouse"
    )


def find(spark: SparkSession, question: Question, console: Console) -> tuple[DataFrame, Gallery]:
    """The rows, kept for more than one use, and their pictures; prints the table. Raises ClickException."""
    from pyspark.errors import AnalysisException, ParseException

    try:
        rows = question.rows(table_of(spark, question.table)).cache()
    except (ValueError, AnalysisException, ParseException) as error:
        raise click.ClickException(str(error).partition(";\n")[0].strip()) from None
    (label,) = spark.sql("SELECT blip_model()").collect()[0]
    pictures = gallery(rows, question.title, f"{question.note} · {label}")
    (_, cards) = pictures.sections[0]
    console.print(table(cards, question.title, pictures.note, console))
    return rows, pictures


def table(cards: Sequence[Card], title: str, note: str, console: Console) -> Table:
    """A line per card; with a small picture where the terminal has enough colours for one."""
    shown = [name for name in FRAME + SKY if any(name in dict(card.facts) for card in cards)]
    colourful = console.is_terminal and console.color_system in ("256", "truecolor")
    out = Table(title=Text(title), caption=Text(note), title_justify="left", caption_justify="left")
    for name in ("", *(["image"] if colourful else []), "score", *shown):
        out.add_column(name, justify="right" if name in ("", "score") else "left", vertical="middle")
    for rank, card in enumerate(cards, start=1):
        small = [thumbnail(card)] if colourful else []
        facts = (Text(dict(card.facts).get(name, "")) for name in shown)  # Text: no markup is read from rows
        out.add_row(str(rank), *small, card.score_text, *facts)
    return out


def thumbnail(card: Card) -> Text:
    """The picture in half blocks, the upper pixel in the colour of the letter, the lower in its background's."""
    if card.picture is None:
        return Text(card.problem)
    pixels = np.asarray(Image.open(io.BytesIO(card.picture)).convert("RGB").resize(THUMBNAIL)).tolist()
    out = Text()
    for above, below in zip(pixels[::2], pixels[1::2], strict=True):
        for upper, lower in zip(above, below, strict=True):
            out.append("▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))
        out.append("\n")
    out.right_crop(1)
    return out


def write_sequences(rows: DataFrame, path: Path) -> int:
    """The rows' sequences, a sequence_id a line, as the devkit's ImageSets/<split>.txt; how many."""
    sequences = [row.sequence_id for row in rows.select("sequence_id").distinct().orderBy("sequence_id").collect()]
    path.write_text("".join(f"{each}\n" for each in sequences))
    return len(sequences)
