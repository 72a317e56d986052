"""Ranked rows with an `image` column -> a self-contained HTML page and a contact sheet."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blip_udfs.results.cards import FRAME, SKY, Card

if TYPE_CHECKING:
    from PIL import Image
    from pyspark.sql import DataFrame

PACKAGES = {"PIL": "Pillow", "jinja2": "Jinja2"}
MOST_ROWS = 200
MOST_BYTES = 9_000_000  # of a page's pictures in base64: with its text the page stays under 10 MB
# a picture's longest side in pixels and its JPEG quality, the best first: what fits in the page is taken
STEPS = ((1280, 85), (960, 82), (720, 80), (480, 75), (320, 70), (160, 60))


@dataclass
class Gallery:
    """Sections of cards under a title and a note; shows itself in a notebook. `save` writes the page,
    `contact_sheet` the PNG."""

    title: str
    note: str = ""
    sections: list[tuple[str, list[Card]]] = field(default_factory=list)

    def add(self, df: DataFrame, title: str = "") -> Gallery:
        """One more section: the rows of `df` in their order, at most 200 (they are collected)."""
        rows = with_files(df.limit(MOST_ROWS)).collect()
        with ThreadPoolExecutor() as pool:
            self.sections.append((title, list(pool.map(card, [row.asDict() for row in rows]))))
        return self

    def html(self) -> str:
        """The page. Nothing in it is loaded from elsewhere, and no script runs but its own, whatever the rows say."""
        from jinja2 import Environment, PackageLoader

        pages = Environment(loader=PackageLoader("blip_udfs.results", "."), autoescape=True, trim_blocks=True)
        script = Path(__file__).with_name("gallery.js").read_text(encoding="utf-8")
        most = MOST_BYTES * 3 // 4 // max(1, sum(len(cards) for _, cards in self.sections))
        return pages.get_template("gallery.html.j2").render(
            title=self.title,
            note=self.note,
            sections=[(title, [shown(each, most) for each in cards]) for title, cards in self.sections],
            script=script,
            digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        )

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


def gallery(df: DataFrame, title: str = "blip_udfs", note: str = "") -> Gallery:
    """The rows of `df`, in their order, as pictures. Needs an `image` column (BINARY, or STRING: a path that this
    machine can read); shows `score` and the ONCE columns that are there. In place of an image that does not decode
    stands the reason.

    Raises ValueError without an `image` column, ImportError in a Python without Pillow or Jinja2, as a Connect client's
    may be.
    """
    check_packages()
    if "image" not in df.columns:
        raise ValueError(f"gallery: expected a column image, got {', '.join(df.columns)}; select it, or rename yours")
    return Gallery(title, note).add(df, title)


def check_packages() -> None:
    if missing := [name for module, name in PACKAGES.items() if find_spec(module) is None]:
        raise ImportError(
            f"gallery: expected Pillow and Jinja2 in this Python, got no {missing[0]}; pip install pillow jinja2"
        )


def with_files(df: DataFrame) -> DataFrame:
    """Paths as whoever reads them takes them."""
    from blip_udfs.spark.by_path import readable

    is_connect = type(df).__module__.startswith("pyspark.sql.connect")
    is_path = not is_connect and dict(df.dtypes)["image"] == "string"
    return df.withColumn("image", readable(df.sparkSession)) if is_path else df


def card(row: dict[str, Any]) -> Card:
    from blip_udfs.files.carried import is_carried, parts
    from blip_udfs.files.images import ImageError, decode

    image = bytes(row["image"]) if isinstance(row["image"], (bytes, bytearray)) else row["image"]
    source = parts(image)[1] if is_carried(image) else image if isinstance(image, str) else None
    facts = tuple((name, str(row[name])) for name in SKY + FRAME if row.get(name) is not None)
    try:
        if image is None:
            raise ImageError("image is NULL")
        picture = jpeg(decode(image), *STEPS[0])
    except ImageError as error:
        return Card(None, source, row.get("score"), facts, str(error))
    return Card(picture, source, row.get("score"), facts)


def jpeg(image: Image.Image, side: int, quality: int) -> bytes:
    """The image with no side longer than `side` pixels."""
    smaller = image.copy()
    smaller.thumbnail((side, side))
    return encoded(smaller, quality)


def encoded(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def fitted(picture: bytes, most: int) -> bytes:
    """The picture in at most `most` bytes, as large as they allow; at the least 160 px."""
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


def shown(card: Card, most: int) -> dict[str, Any]:
    """What the template shows of a card; the picture, in at most `most` bytes, is part of the page."""
    data = "" if card.picture is None else base64.b64encode(fitted(card.picture, most)).decode("ascii")
    return {
        "picture": f"data:image/jpeg;base64,{data}" if data else "",
        "problem": card.problem,
        "link": card.link,
        "name": card.name,
        "score": card.score_text,
        "lines": [line for line in (card.line(SKY), card.line(FRAME)) if line],
    }
