"""Ranked rows as a page, which Chromium opens, and as a contact sheet."""

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from blip_udfs import gallery
from tests.browser import element

ATTACK = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>\"' onload='document.title=1"
COLUMNS = ("image", "score", "sequence_id", "frame_id", "camera", "weather", "period")
TYPES = ", ".join(f"{name} {'DOUBLE' if name == 'score' else 'STRING'}" for name in COLUMNS)


@pytest.fixture(scope="module")
def ranked(spark, tmp_path_factory):
    """Three rows: one in a file with a hostile name and hostile facts, one plain, one whose file is missing."""
    folder = tmp_path_factory.mktemp("pictures")
    hostile = folder / "x\" onerror='document.title=1'><script>document.title='run'<&.png"
    for path, color in ((hostile, "red"), (folder / "b.png", "blue")):
        Image.new("RGB", (1920, 1020), color).save(path)
    rows = [
        (str(hostile), 0.98765, ATTACK, "1616", "cam01", "rainy", ATTACK),
        (str(folder / "b.png"), 0.5, "000080", "1617", "cam03", "sunny", "night"),
        (str(folder / "<b>lost.png"), None, "000081", "1618", "cam03", None, None),
    ]
    return spark.createDataFrame(rows, TYPES).orderBy("score", ascending=False)


@pytest.fixture(scope="module")
def page(ranked, tmp_path_factory):
    return gallery(ranked, f"a truck {ATTACK}", f"of a table {ATTACK}").save(tmp_path_factory.mktemp("page") / "a.html")


class Tags(HTMLParser):
    """The names of all attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.attributes |= {name for name, _ in attrs}


def noise(folder, files: int) -> list[str]:
    """Pictures that JPEG cannot make small."""
    random = np.random.default_rng(0)
    paths = [str(folder / f"{number}.png") for number in range(files)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (255, 480, 3), np.uint8)).save(path, compress_level=0)
    return paths


def test_the_page_shows_rows_in_order_and_loads_nothing(ranked):
    text = gallery(ranked, "two <b>pictures</b>", "of <i>a table</i>").html()
    assert text.index("0.9877") < text.index("0.5000") < text.index("lost.png: no such file")
    assert "two &lt;b&gt;pictures" in text and "of &lt;i&gt;a table" in text
    assert text.count("<script>") == 1  # its own
    tags = Tags()
    tags.feed(text)
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//|@import|url\(", text)


@pytest.mark.parametrize(("width", "in_a_row"), [(390, 1), (1440, 2)])
@pytest.mark.parametrize(("scheme", "background"), [("light", "rgb(245, 246, 248)"), ("dark", "rgb(16, 18, 22)")])
def test_layout(browser, page, width, in_a_row, scheme, background):
    browser.open(page, width, scheme=scheme)
    assert browser.run("document.documentElement.scrollWidth") == width  # nothing sticks out
    boxes = browser.run("[...document.querySelectorAll('li')].map(e => [e.getBoundingClientRect().y, e.clientWidth])")
    assert [y for y, _ in boxes].count(boxes[0][0]) >= in_a_row
    assert all(280 <= across <= 520 for _, across in boxes)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == background
    facts = browser.run("[...document.querySelectorAll('figcaption')].map(e => e.innerText).join()")
    for fact in ("rainy", "night", "000080", "1617", "cam03"):
        assert fact in facts


def test_what_rows_say_is_text_and_nothing_runs(browser, page):
    browser.open(page, 1440)
    browser.click("figure.whole button")
    assert browser.run("document.title") == f"a truck {ATTACK}"
    assert browser.run(f"{element('.note')}.textContent") == f"of a table {ATTACK}"
    assert browser.run("document.querySelectorAll('script').length") == 1
    made = "document.querySelectorAll('img:not(button img):not(.full), [onerror], [onload], b').length"
    assert browser.run(made) == 0
    inserted = "(e => { e.innerHTML = `<img src=x onerror=\"document.title='run'\">`; document.body.append(e) })"
    browser.run(f"{inserted}(document.createElement('p'))")  # even if something were not escaped
    browser.run("new Promise(done => setTimeout(done, 100))")
    assert browser.run("document.title") == f"a truck {ATTACK}"


def test_the_whole_picture_by_keys(browser, page):
    browser.open(page, 390, 844)
    browser.press("Tab")
    browser.press("Enter")
    view = element("dialog")
    box = browser.run(f"(r => [r.x, r.y, r.width, r.height])({view}.getBoundingClientRect())")
    assert box == [0, 0, 390, 844]
    assert browser.run(f"{element('.full')}.naturalWidth") == 1280
    assert browser.run(f"{element('.bar .score')}.textContent") == "0.9877"
    browser.press("ArrowRight")
    facts = browser.run("[...document.querySelectorAll('.bar dd')].map(e => e.innerText)")
    assert facts == ["sunny", "night", "000080", "1617", "cam03"]
    assert browser.run(f"{element('.bar .file')}.href").endswith("/b.png")
    browser.press("ArrowRight")  # the missing one has no picture: round to the first
    assert browser.run(f"{element('.bar .rank')}.textContent") == "1"
    browser.press("End")
    browser.press("Escape")
    assert not browser.run(f"{view}.open")
    assert browser.comes_true("(document.activeElement.ariaLabel ?? '').includes('000080')")


def test_by_clicks(browser, page):
    browser.open(page, 1440)
    browser.click("figure.whole button")
    assert browser.run(f"{element('dialog')}.open")
    browser.click(".before")
    assert browser.run(f"{element('.bar .rank')}.textContent") == "2"
    browser.click(".close")
    assert not browser.run(f"{element('dialog')}.open")


def test_two_hundred_rows_stay_under_ten_megabytes(spark, tmp_path):
    images = noise(tmp_path, 3)
    many = spark.createDataFrame([(images[n % 3], float(n)) for n in range(230)], "image STRING, score DOUBLE")
    path = gallery(many.orderBy("score")).save(tmp_path / "many.html")
    text = path.read_text()
    assert text.count("data:image/jpeg;base64,") == 200  # and no more rows than that
    assert 4_000_000 < path.stat().st_size < 10_000_000


def test_few_pictures_are_large_and_link_to_their_files(page):
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 2
    assert text.count('data-file="file:///') == 2
    assert page.stat().st_size < 200_000


def test_the_contact_sheet(ranked, tmp_path):
    with Image.open(gallery(ranked, "two").contact_sheet(tmp_path / "sheet.png")) as sheet:
        assert sheet.format == "PNG"
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    for x, color in ((200, (255, 0, 0)), (620, (0, 0, 255)), (1034, (236, 238, 242))):
        assert np.abs(pixels[240, x] - color).max() <= 3
    assert pixels.shape == (48 + 212 + 50, 3 * 414 + 14, 3)


def test_a_sheet_for_a_notebook_is_a_small_jpeg(ranked):
    data = gallery(ranked, "x" * 5000).jpeg(columns=3, width=300)
    with Image.open(io.BytesIO(data)) as sheet:
        assert (sheet.format, sheet.width) == ("JPEG", 3 * 314 + 14)


def test_in_a_notebook_it_is_framed(ranked):
    assert gallery(ranked)._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html&gt;')


def test_on_databricks_it_goes_to_display_html(ranked, monkeypatch):
    shown = []
    shell = type("Shell", (), {"user_ns": {"displayHTML": shown.append}})
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    found = gallery(ranked)
    found.show()
    assert shown == [found.html()]


def test_without_an_image_column(ranked):
    with pytest.raises(ValueError, match="gallery: expected a column image, got score; select it, or rename yours"):
        gallery(ranked.select("score"))
