"""Ranked rows with an `image` column -> a self-contained HTML page and a contact sheet."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blip_udfs.results.candidates import check_columns
from blip_udfs.results.cards import FRAME, SKY, TIMES, Card
from blip_udfs.results.pictures import MOMENT, STEPS, cards, encoded, jpeg

if TYPE_CHECKING:
    from PIL import Image
    from pyspark.sql import DataFrame

PACKAGES = {"PIL": "Pillow", "jinja2": "Jinja2"}
MOST_ROWS = 200
MOST_BYTES = 9_000_000  # of a page's pictures in base64: with its text the page stays under 10 MB
OF_STRIPS = 0.3  # their part of it, where there are any
SCRIPTS = ("gallery.js", "review.js")


@dataclass
class Gallery:
    """Sections of cards under a title and a note; shows itself in a notebook. `save` writes the page,
    `contact_sheet` the PNG."""

    title: str
    note: str = ""
    sections: list[tuple[str, list[Card]]] = field(default_factory=list)
    empty: str = "Nothing found."

    def add(
        self,
        df: DataFrame,
        title: str = "",
        frames: DataFrame | None = None,
        by: str = "sequence_id",
        moments: bool = False,
    ) -> Gallery:
        """One more section: the rows of `df` in their order, at most 200 (they are collected)."""
        self.sections.append((title, cards(df, MOST_ROWS, frames, by, moments)))
        return self

    def html(self) -> str:
        """The page. Nothing in it is loaded from elsewhere, and no script runs but its own, whatever the rows say."""
        from jinja2 import Environment, PackageLoader

        pages = Environment(loader=PackageLoader("blip_udfs.results", "."), autoescape=True, trim_blocks=True)
        script = "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SCRIPTS)
        most, of_strip = self._bytes_of_pictures()
        return pages.get_template("gallery.html.j2").render(
            title=self.title,
            note=self.note,
            sections=[
                (title, noun(own), [shown(each, most, of_strip) for each in own]) for title, own in self.sections
            ],
            empty=self.empty,
            # what was decided is kept by this name: of the same question to the same table and model
            kept=hashlib.sha256(f"{self.title}\n{self.note}".encode()).hexdigest()[:16],
            script=script,
            digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        )

    def _bytes_of_pictures(self) -> tuple[int, int]:
        """How many bytes a picture may have, and how many one of a strip."""
        every = [card for _, own in self.sections for card in own]
        large, of_strips = sum(len(card.beside) or 1 for card in every), sum(len(card.strip) for card in every)
        room = MOST_BYTES * 3 // 4  # base64 makes four bytes of three
        in_strips = int(room * OF_STRIPS) if of_strips else 0
        return (room - in_strips) // max(1, large), in_strips // max(1, of_strips)

    def _repr_html_(self) -> str:
        # a frame keeps the page's style away from the notebook's
        return f'<iframe srcdoc="{html.escape(self.html())}" style="width:100%;height:680px;border:0"></iframe>'

    def show(self) -> None:
        """The page in a notebook's output: by displayHTML on Databricks, else as IPython displays it."""
        from IPython import get_ipython
        from IPython.display import display

        names = getattr(get_ipython(), "user_ns", {})
        if "displayHTML" in names:
            names["displayHTML"](self.html())
        else:
            display(self)

    def save(self, path: str | Path) -> Path:
        Path(path).write_text(self.html(), encoding="utf-8")
        return Path(path)

    def sheet(self, columns: int = 3, width: int = 400) -> Image.Image:
        """All sections as one picture, `columns` images of `width` pixels a row, each section under its title."""
        from blip_udfs.results.sheet import sheet

        return sheet(self.sections, columns, width)

    def jpeg(self, columns: int = 3, width: int = 300) -> bytes:
        """`sheet` as JPEG, a fifth of the PNG: for `IPython.display.Image` in a notebook that is committed."""
        return encoded(self.sheet(columns, width), quality=80)

    def contact_sheet(self, path: str | Path, columns: int = 3) -> Path:
        """Writes `sheet` as a PNG."""
        self.sheet(columns).save(path)
        return Path(path)


def gallery(
    df: DataFrame,
    title: str = "blip_udfs",
    note: str = "",
    *,
    frames: DataFrame | None = None,
    by: str = "sequence_id",
    moments: bool = False,
) -> Gallery:
    """The rows of `df`, in their order, as pictures. Needs an `image` column (BINARY, or STRING: a path that this
    machine can read); shows `score` and the ONCE columns that are there. In place of an image that does not decode
    stands the reason.

    `frames`, of rows that `intervals` gave: the table that they were found in (`by`, `timestamp`, `image`, and `camera`
    and `score` if any). Below the best frame of each interval stands the strip of its camera's frames from `since` to
    `until`, at most twelve at equal distances. `moments`: rows of one sequence_id and frame_id are one card, the
    cameras side by side. Rows of `search(then=...)` show both frames.

    The page is also a place of review: keys or buttons accept and reject, undo, and save what was accepted as CSV and
    as the devkit's list; it goes on where it stopped when it is opened again.

    Raises ValueError without an `image` column, or for `frames` or `moments` without the columns that they need;
    ImportError in a Python without Pillow or Jinja2, as a Connect client's may be.
    """
    check_packages()
    if "image" not in df.columns:
        raise ValueError(f"gallery: expected a column image, got {', '.join(df.columns)}; select it, or rename yours")
    if moments:
        check_columns(df, list(MOMENT), "the cameras of a moment need it")
    return Gallery(title, note).add(df, title, frames, by, moments)


def check_packages() -> None:
    if missing := [name for module, name in PACKAGES.items() if find_spec(module) is None]:
        raise ImportError(
            f"gallery: expected Pillow and Jinja2 in this Python, got no {missing[0]}; pip install pillow jinja2"
        )


def fitted(picture: bytes, most: int) -> bytes:
    """The picture in at most `most` bytes, as large as they allow; at the least 96 px."""
    from PIL import Image

    if len(picture) <= most:
        return picture
    whole = Image.open(io.BytesIO(picture))
    smaller = b""
    for side, quality in STEPS[1:]:
        smaller = jpeg(whole, side, quality)
        if len(smaller) <= most:
            break
    return smaller


def data_uri(card: Card, most: int) -> str:
    """The picture in at most `most` bytes, as a part of the page."""
    if card.picture is None:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(fitted(card.picture, most)).decode('ascii')}"


def shown(card: Card, most: int, of_strip: int) -> dict[str, Any]:
    """What the template shows of a card."""
    sides = card.beside or (("", card),)
    best = next((at for at, (_, each) in enumerate(sides) if each.facts == card.facts), 0)
    return {
        "pictures": [
            {
                "data": data_uri(each, most),
                "problem": each.problem,
                "label": label,
                "name": each.name,
                "best": at == best,
            }
            for at, (label, each) in enumerate(sides)
        ],
        "strip": [
            {"data": data_uri(each, of_strip), "problem": each.problem, "label": label, "name": f"{each.name} {label}"}
            for label, each in card.strip
        ],
        "is_wide": bool(card.beside or card.strip),
        "ids": json.dumps(card.ids),
        "link": card.link,
        "name": card.name,
        "score": card.score_text,
        "lines": [line for line in (card.line(TIMES), card.line(SKY), card.line(FRAME)) if line],
    }


def noun(own: list[Card]) -> str:
    """How many of what a section has."""
    one = "interval" if any(card.strip for card in own) else "moment" if any(card.beside for card in own) else "image"
    return f"{len(own)} {one}{'' if len(own) == 1 else 's'}"
