"""Sections of cards -> one picture for a report: titles over rows of images, each with two lines below it."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont, ImageOps

from blip_udfs.results.cards import FRAME, SKY, Card

GAP, HEADING, CAPTION = 14, 48, 50  # pixels: between images, of a section's title, of what stands under an image
RATIO = 510 / 960  # height to width of a place for an image, as ONCE's cameras
INK, SOFT, EMPTY = "#16181d", "#5c6370", "#eceef2"


def sheet(sections: list[tuple[str, list[Card]]], columns: int, width: int) -> Image.Image:
    """All sections, one below the other, `columns` images of `width` pixels a row."""
    strips = [strip(title, cards, columns, width) for title, cards in sections]
    whole = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), "white")
    top = 0
    for each in strips:
        whole.paste(each, (0, top))
        top += each.height
    return whole


def strip(title: str, cards: list[Card], columns: int, width: int) -> Image.Image:
    """One section; what is beside a row is a tile of its own."""
    cards = [each for card in cards for _, each in card.beside or (("", card),)]
    height = round(width * RATIO)
    rows = -(-len(cards) // columns)
    picture = Image.new("RGB", (columns * (width + GAP) + GAP, HEADING + rows * (height + CAPTION)), "white")
    write(picture, (GAP, 14), title, INK, 20, picture.width - 2 * GAP)
    for index, each in enumerate(cards):
        place = GAP + index % columns * (width + GAP), HEADING + index // columns * (height + CAPTION)
        picture.paste(tile(each, width, height), place)
        caption(picture, each, (place[0], place[1] + height), width)
    return picture


def tile(card: Card, width: int, height: int) -> Image.Image:
    """The image in its place, or why there is none."""
    if card.picture is not None:
        return ImageOps.pad(Image.open(io.BytesIO(card.picture)), (width, height), color=EMPTY)
    empty = Image.new("RGB", (width, height), EMPTY)
    write(empty, (GAP, height // 2 - 8), card.problem, SOFT, 13, width - 2 * GAP)
    return empty


def caption(picture: Image.Image, card: Card, place: tuple[int, int], width: int) -> None:
    """Score and sky on the first line, the frame on the second."""
    x, y = place
    sky, frame = (" · ".join(value for _, value in card.line(names)) for names in (SKY, FRAME))
    write(picture, (x, y + 5), " · ".join(filter(None, [card.score_text, sky])), INK, 14, width)
    write(picture, (x, y + 24), frame, SOFT, 12, width)


def write(picture: Image.Image, place: tuple[int, int], text: str, color: str, size: int, width: int) -> None:
    """One line of text, cut where `width` pixels end."""
    font, draw = ImageFont.load_default(size), ImageDraw.Draw(picture)
    line = " ".join(text.split())[:400]  # a line break would be drawn as one
    while draw.textlength(line, font) > width:
        line = f"{line.removesuffix('…')[:-1]}…"
    draw.text(place, line, color, font)
