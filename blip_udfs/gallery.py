"""Ranked rows with an `image` column -> a self-contained HTML page and a PNG contact sheet."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

if TYPE_CHECKING:
    from PIL import Image
    from pyspark.sql import DataFrame

WIDTH = 480  # pixels of a picture in the page: sharp at 19 rem on a dense screen, about 30 kB as JPEG
MOST_ROWS = 200  # keeps a page under 10 MB
SHOWN = ("sequence_id", "frame_id", "camera", "weather", "period", "region")


@dataclass(frozen=True)
class Card:
    """One row: its picture, score and the facts that are shown beside it."""

    image: Image.Image
    source: str | None
    score: float | None
    facts: tuple[tuple[str, str], ...]

    @property
    def link(self) -> str | None:
        """The full picture, where the row names a local file."""
        if self.source is None:
            return None
        path = Path(unquote(urlparse(self.source).path) if self.source.startswith("file:") else self.source)
        return path.as_uri() if path.is_absolute() and path.is_file() else None

    @property
    def name(self) -> str:
        return ", ".join(value for _, value in self.facts)


@dataclass
class Gallery:
    """Sections of cards; shows itself in a notebook, `save` writes the page, `contact_sheet` the PNG."""

    title: str
    sections: list[tuple[str, list[Card]]] = field(default_factory=list)

    def add(self, df: DataFrame, title: str = "") -> Gallery:
        """One more section: the rows of `df` in their order, at most 200 (they are collected)."""
        rows = df.limit(MOST_ROWS).collect()
        self.sections.append((title, [card(row.asDict()) for row in rows]))
        return self

    def html(self) -> str:
        from jinja2 import Environment, PackageLoader

        page = Environment(loader=PackageLoader("blip_udfs", "."), autoescape=True).get_template("gallery.html.j2")
        sections = [{"title": title, "cards": list(map(shown, cards))} for title, cards in self.sections]
        return page.render(title=self.title, sections=sections)

    def _repr_html_(self) -> str:
        # a frame keeps the page's style away from the notebook's
        return f'<iframe srcdoc="{html.escape(self.html())}" style="width:100%;height:620px;border:0"></iframe>'

    def save(self, path: str | Path) -> Path:
        Path(path).write_text(self.html(), encoding="utf-8")
        return Path(path)

    def sheet(self, columns: int = 3, width: int = 400) -> Image.Image:
        """All sections as one picture, `columns` images of `width` pixels a row, each section under its title."""
        from PIL import Image

        strips = [strip(title, cards, columns, width) for title, cards in self.sections]
        whole = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), "white")
        top = 0
        for each in strips:
            whole.paste(each, (0, top))
            top += each.height
        return whole

    def contact_sheet(self, path: str | Path, columns: int = 3) -> Path:
        """Writes `sheet` as a PNG."""
        self.sheet(columns).save(path)
        return Path(path)


def gallery(df: DataFrame, title: str = "blip_udfs") -> Gallery:
    """The rows of `df`, in their order, as pictures. Needs an `image` column (BINARY, or STRING: a path that this
    machine can read); shows `score` and the ONCE columns that are there.

    Raises ValueError without an `image` column, ImageError for an image that does not decode.
    """
    if "image" not in df.columns:
        raise ValueError(f"gallery: expected a column image, got {', '.join(df.columns)}; select it, or rename yours")
    return Gallery(title).add(df, title)


def card(row: dict[str, Any]) -> Card:
    from blip_udfs.images import decode

    image = row["image"] if isinstance(row["image"], str) else bytes(row["image"])
    facts = tuple((name, str(row[name])) for name in SHOWN if row.get(name) is not None)
    return Card(decode(image), image if isinstance(image, str) else None, row.get("score"), facts)


def shown(card: Card) -> dict[str, Any]:
    """What the template shows of a card; the picture is embedded, so that the page loads nothing."""
    picture = card.image.resize((WIDTH, max(1, round(WIDTH * card.image.height / card.image.width))))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    return {
        "picture": f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode('ascii')}",
        "width": picture.width,
        "height": picture.height,
        "link": card.link,
        "name": card.name,
        "score": None if card.score is None else f"{card.score:.4f}",
        "facts": card.facts,
    }


def strip(title: str, cards: list[Card], columns: int, width: int, gap: int = 12) -> Image.Image:
    """A title over rows of pictures, each over two lines that say what it is."""
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    heading, small = ImageFont.load_default(20), ImageFont.load_default(13)
    height = round(width * 0.5625)
    rows = -(-len(cards) // columns)
    picture = Image.new("RGB", (columns * (width + gap) + gap, 44 + rows * (height + 52)), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((gap, 12), title, "black", heading)
    for index, each in enumerate(cards):
        x, y = gap + index % columns * (width + gap), 44 + index // columns * (height + 52)
        picture.paste(ImageOps.pad(each.image, (width, height), color="#eeeeee"), (x, y))
        score = "" if each.score is None else f"{each.score:.4f}   "
        facts = dict(each.facts)
        draw.text((x, y + height + 4), score + " ".join(list(facts.values())[:3]), "black", small)
        draw.text((x, y + height + 22), " ".join(list(facts.values())[3:]), "#555555", small)
    return picture
