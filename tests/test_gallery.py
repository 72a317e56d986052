"""Ranked rows as a page and as a contact sheet."""

import re

import pytest
from PIL import Image

from blip_udfs import gallery


@pytest.fixture(scope="module")
def ranked(spark, tmp_path_factory):
    """Two rows, one in a file with a hostile name."""
    folder = tmp_path_factory.mktemp("pictures")
    hostile = folder / "x\" onerror='alert(1)'><script>alert(2)<&.png"
    for path, color in ((hostile, "red"), (folder / "b.png", "blue")):
        Image.new("RGB", (1920, 1020), color).save(path)
    rows = [
        (str(hostile), 0.98765, "<script>alert(3)</script>", "1616", "cam01"),
        (str(folder / "b.png"), 0.5, "000080", "1617", "cam03"),
    ]
    return spark.createDataFrame(
        rows, "image STRING, score DOUBLE, sequence_id STRING, frame_id STRING, camera STRING"
    ).orderBy("score", ascending=False)


def test_the_page_shows_rows_in_order_and_runs_nothing(ranked):
    page = gallery(ranked, "two <b>pictures</b>").html()
    assert page.index("0.9877") < page.index("0.5000")
    assert "<script" not in page and "<b>" not in page
    attributes = [name for tag in re.findall(r"<(?:img|a)\b[^>]*>", page) for name in re.findall(r"\s([\w-]+)=", tag)]
    assert "onerror" not in attributes
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)  # nothing is loaded from outside


def test_pictures_are_small_and_link_to_the_full_ones(ranked, tmp_path):
    path = gallery(ranked).save(tmp_path / "page.html")
    page = path.read_text()
    assert path.stat().st_size < 100_000
    assert page.count("data:image/jpeg;base64,") == 2
    assert page.count('href="file:///') == 2


def test_the_contact_sheet(ranked, tmp_path):
    with Image.open(gallery(ranked, "two").contact_sheet(tmp_path / "sheet.png")) as sheet:
        assert sheet.format == "PNG"
        pixels = sheet.convert("RGB")
        assert (pixels.getpixel((200, 150)), pixels.getpixel((620, 150))) == ((255, 0, 0), (0, 0, 255))


def test_in_a_notebook_it_is_framed(ranked):
    assert gallery(ranked)._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html&gt;')


def test_without_an_image_column(ranked):
    with pytest.raises(ValueError, match="gallery: expected a column image, got score; select it, or rename yours"):
        gallery(ranked.select("score"))
