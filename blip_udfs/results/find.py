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

from blip_udfs.results.cards import FRAME, SKY, TIMES, Card
from blip_udfs.results.gallery import Gallery, gallery
from blip_udfs.results.moments import intervals
from blip_udfs.results.search import reaching, search

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

THUMBNAIL = (30, 16)  # half blocks: characters across, two pixels a line


@dataclass(frozen=True)
class Question:
    """What to search for, and where: see `search`. `table` is a table's name or a folder of Parquet files; with `gap`
    the rows are intervals of at least `min_score`."""

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
    min_score: float | None = None
    then: str | None = None
    within: float = 3.0
    all_cameras: bool = False
    gap: float | None = None

    @property
    def title(self) -> str:
        said = f"like {self.like}" if self.like else (" or " if self.any_of else " and ").join(self.sentences)
        return ", ".join(
            [said, *(f"not {each}" for each in self.but_not), *([f"then {self.then}"] if self.then else [])]
        )

    @property
    def note(self) -> str:
        """Where was searched, in words."""
        group = self.one_per or ("sequence_id" if self.seconds else None)
        words = [self.table + (f" where {self.where}" if self.where else "")]
        words += [f"one per {group}" + (f" and {self.seconds:g} s" if self.seconds else "")] if group else []
        words += [f"within {self.within:g} s"] if self.then else []
        words += ["all cameras of each moment"] if self.all_cameras else []
        words += [f"intervals, gaps up to {self.gap:g} s bridged"] if self.gap is not None else []
        return ", ".join([*words, *([f"score {self.min_score:g} or more"] if self.min_score is not None else [])])

    def rows(self, df: DataFrame, k: int, min_score: float | None = None) -> DataFrame:
        """The `k` best rows of `df` of at least that score."""
        return search(
            df,
            self.sentences[0] if len(self.sentences) == 1 else self.sentences,
            k,
            self.candidates,
            self.one_per,
            any_of=self.any_of,
            but_not=self.but_not,
            like=self.like,
            seconds=self.seconds,
            where=self.where,
            then=self.then or (),
            within=self.within,
            all_cameras=self.all_cameras,
            min_score=min_score,
        )

    def answer(self, df: DataFrame) -> tuple[DataFrame, DataFrame]:
        """What is shown, and the rows that it is of, both kept: an empty answer says what the best of them has."""
        if self.gap is None:
            rows = self.rows(df, self.k).cache()
            return (rows if self.min_score is None else reaching(rows, self.min_score).cache()), rows
        if self.min_score is None:
            raise ValueError("intervals: expected the score that their rows reach in --min-score, got none")
        if self.one_per or self.seconds or self.all_cameras:
            raise ValueError("intervals: expected all rows of a drive, got --one-per, --seconds or --all-cameras")
        rows = self.rows(df, EVERY).cache()
        return intervals(rows, self.min_score, self.gap).limit(self.k).cache(), rows

    def none(self, rows: DataFrame) -> str:
        """An empty answer, in words."""
        best = rows.drop("image", "embedding").orderBy(rows["score"].desc_nulls_last()).first()
        if best is None or best.score is None:
            return f"Nothing found: no row of {self.table} was scored."
        where = ", ".join(str(best[name]) for name in FRAME if name in best.asDict())
        return (
            f"Nothing found: no row has a score of {self.min_score:g} or more; the best has {best.score:.4f} ({where})."
        )


EVERY = 2**31 - 1
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
        searched = table_of(spark, question.table)
        rows, scored = question.answer(searched)
    except (ValueError, AnalysisException, ParseException) as error:
        raise click.ClickException(str(error).partition(";\n")[0].strip()) from None
    (label,) = spark.sql("SELECT blip_model()").collect()[0]
    frames = searched if question.gap is not None else None
    pictures = gallery(rows, question.title, f"{question.note} · {label}", frames=frames, moments=question.all_cameras)
    (_, cards) = pictures.sections[0]
    if cards:
        console.print(table(cards, question.title, pictures.note, console))
    else:
        pictures.empty = question.none(scored)
        console.print(Text(pictures.empty))
    return rows, pictures


def table(cards: Sequence[Card], title: str, note: str, console: Console) -> Table:
    """A line per card; with a small picture where the terminal has enough colours for one."""
    shown = [name for name in FRAME + TIMES + SKY if any(name in dict(card.facts) for card in cards)]
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
