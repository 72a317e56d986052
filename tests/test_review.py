"""The gallery as a place of review, in Chromium: verdicts by keys and clicks, undo, what is kept and what is saved;
intervals with their strips, moments with their cameras."""

import csv
import datetime

import numpy as np
import pytest
from PIL import Image

from blip_udfs import gallery, intervals
from blip_udfs.results.strips import strips, timed
from tests.browser import element

THEN = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
COLUMNS = "sequence_id STRING, frame_id STRING, camera STRING, timestamp TIMESTAMP, score DOUBLE, image STRING"
ODD = 'a "drive", with\ncommas'
STATES = "[...document.querySelectorAll('li > figure')].map(e => e.dataset.verdict[0]).join('')"
CURRENT = "[...document.querySelectorAll('li > figure')].findIndex(e => e.ariaCurrent === 'true') + 1"
PROGRESS = f"{element('.review .progress')}.textContent"


def pictures(folder, count: int) -> list[str]:
    """Pictures of different greys."""
    paths = [str(folder / f"{number}.png") for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (480, 255), (number * 5 % 256,) * 3).save(path)
    return paths


def drive(paths: list[str], sequence: str, cameras=("cam01", "cam03"), frames: int = 3, score=lambda frame: 0.9):
    """Rows of a drive, a frame each half second, cameras one after the other."""
    step = datetime.timedelta(milliseconds=500)
    return [
        (sequence, f"{frame:03d}", camera, THEN + frame * step, score(frame), paths[(frame * len(cameras) + at) % 40])
        for frame in range(frames)
        for at, camera in enumerate(cameras)
    ]


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[str]:
    return pictures(tmp_path_factory.mktemp("frames"), 40)


@pytest.fixture
def page(spark, paths, tmp_path, request):
    """Five rows, the fourth of which does not decode, under a title of the test's own: nothing is kept of another."""
    rows = [
        ("000002", "1", "cam01", THEN, 5.0, paths[0]),
        (ODD, "2", "cam01", THEN, 4.0, paths[1]),
        ("000001", "3", "cam03", THEN, 3.0, paths[2]),
        ("000003", "4", "cam03", THEN, 2.0, str(tmp_path / "lost.png")),
        ("000002", "5", "cam03", THEN, 1.0, paths[3]),
    ]
    df = spark.createDataFrame(rows, COLUMNS).orderBy("score", ascending=False)
    return gallery(df, request.node.name).save(tmp_path / "review.html")


def press(browser, keys: str) -> None:
    for key in keys:
        browser.press(key)


def test_verdicts_by_keys_and_undo(browser, page):
    browser.open(page, 1440)
    assert browser.run(CURRENT) == 1 and browser.run(PROGRESS) == "0 of 5 reviewed: 0 accepted, 0 rejected"
    press(browser, "ara")
    assert (browser.run(STATES), browser.run(CURRENT)) == ("araoo", 4)
    assert browser.run(PROGRESS) == "3 of 5 reviewed: 2 accepted, 1 rejected"
    assert browser.run("document.querySelector('.review progress').value") == 3
    press(browser, "uu")
    assert (browser.run(STATES), browser.run(CURRENT)) == ("aoooo", 2)
    browser.press("ArrowLeft")
    press(browser, "r")  # another verdict on the same row, which undo takes back to the first
    assert browser.run(STATES) == "roooo"
    press(browser, "u")
    assert browser.run(STATES) == "aoooo"
    press(browser, "uuu")
    assert browser.run(STATES) == "ooooo" and browser.run(f"{element('.undo')}.disabled")


def test_moving_about_gives_no_verdict(browser, page):
    browser.open(page, 1440)
    browser.press("ArrowLeft")
    assert browser.run(CURRENT) == 5
    press(browser, "j")
    browser.press("ArrowRight")
    assert browser.run(CURRENT) == 2 and browser.run(STATES) == "ooooo"
    press(browser, "k")
    assert browser.run(CURRENT) == 1


def test_what_was_decided_is_there_after_a_reload(browser, page, spark, paths):
    browser.open(page, 1440)
    press(browser, "ar")
    browser.open(page, 1440)
    assert (browser.run(STATES), browser.run(CURRENT)) == ("arooo", 3)
    press(browser, "u")  # of what was decided before the reload
    assert browser.run(STATES) == "aoooo"
    browser.open(page, 390)
    assert browser.run(STATES) == "aoooo"


def test_another_page_begins_anew(browser, page, spark, paths):
    browser.open(page, 1440)
    press(browser, "a")
    df = spark.createDataFrame([("000002", "1", "cam01", THEN, 5.0, paths[0])], COLUMNS)
    other = gallery(df, "another question").save(page.with_name("other.html"))
    browser.open(other, 1440)
    assert browser.run(STATES) == "o"


def test_without_storage_it_says_so_and_works(browser, page):
    refuse = "get() { throw new DOMException('none', 'SecurityError') }"
    none = f"Object.defineProperty(window, 'localStorage', {{ {refuse} }})"
    added = browser("Page.addScriptToEvaluateOnNewDocument", source=none)  # as in a sandbox
    try:
        browser.open(page, 1440)
        kept = "; save before you leave, nothing is kept here"
        assert browser.run(PROGRESS) == f"0 of 5 reviewed: 0 accepted, 0 rejected{kept}"
        press(browser, "au")
        press(browser, "a")
        assert browser.run(STATES) == "aoooo"
        assert browser.run(PROGRESS) == f"1 of 5 reviewed: 1 accepted, 0 rejected{kept}"
    finally:
        browser("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


def test_what_is_saved(browser, page, tmp_path):
    browser.open(page, 1440)
    assert browser.run(f"{element('.save')}.disabled")
    press(browser, "aarra")
    assert browser.run(STATES) == "aarra"
    accepted = browser.saved_by("[data-what=csv]", tmp_path / "a")
    with accepted.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert accepted.name == "test-what-is-saved-accepted.csv"
    assert [(row["verdict"], row["rank"], row["sequence_id"], row["frame_id"], row["camera"]) for row in rows] == [
        ("accepted", "1", "000002", "1", "cam01"),
        ("accepted", "2", ODD, "2", "cam01"),
        ("accepted", "5", "000002", "5", "cam03"),
    ]
    assert [float(row["score"]) for row in rows] == [5.0, 4.0, 1.0]
    assert all(row["image"].endswith(".png") and row["query"] == "test_what_is_saved" for row in rows)
    listed = browser.saved_by("[data-what=list]", tmp_path / "b")
    assert listed.name == "test-what-is-saved.txt" and listed.read_text() == f"000002\n{ODD}\n"
    everything = browser.saved_by("[data-what=all]", tmp_path / "c")
    with everything.open(newline="") as file:
        assert [row["verdict"][0] for row in csv.DictReader(file)] == list("aarra")


def test_in_the_whole_picture(browser, page):
    browser.open(page, 1440)
    browser.press("ArrowRight")
    browser.press("Enter")
    assert browser.run(f"{element('.bar .rank')}.textContent") == "2"
    press(browser, "a")
    assert browser.run(f"{element('.bar .rank')}.textContent") == "3"
    assert browser.run(f"{element('.bar .progress')}.textContent") == "1/5"
    press(browser, "u")
    assert browser.run(f"{element('.bar .rank')}.textContent") == "2"
    browser.click(".bar .reject")
    assert browser.run(STATES) == "orooo"
    press(browser, "r")  # the next has no picture: it is judged on the page
    assert browser.comes_true(f"!{element('dialog')}.open") and browser.comes_true(f"({CURRENT}) === 4")
    press(browser, "r")
    assert browser.run(STATES) == "orrro"


def test_by_clicks_and_what_is_shown(browser, page):
    browser.open(page, 390, 844)
    browser.click("li:nth-child(1) .accept")
    browser.run("document.querySelector('li:nth-child(2) .reject').scrollIntoView({block: 'center'})")
    browser.click("li:nth-child(2) .reject")
    assert browser.run(STATES) == "arooo"
    assert browser.run(f"{element('li:nth-child(2) .reject')}.ariaPressed") == "true"
    shown = "[...document.querySelectorAll('li')].filter(e => e.offsetParent).length"
    for choice, number in (("open", 3), ("accepted", 1), ("rejected", 1), ("", 5)):
        asked = f"(e => {{ e.value = {choice!r}; e.dispatchEvent(new Event('change')) }})({element('.filter')})"
        browser.run(asked)
        assert browser.run(shown) == number
    browser.run(asked.replace("''", "'open'"))
    press(browser, "a")  # what is judged leaves what is to review
    assert browser.run(shown) == 2 and browser.run(CURRENT) == 4


@pytest.fixture(scope="module")
def scored(spark, paths):
    """Two drives of 12 seconds, in which both cameras see something from second 2 to 4, and to 11."""
    rows = [
        row
        for sequence, last in (("000001", 8), ("000002", 22))
        for row in drive(paths, sequence, frames=24, score=lambda f, last=last: (0.1, 0.9 + f / 1000)[4 <= f <= last])
    ]
    return spark.createDataFrame(rows, COLUMNS).cache()


def test_an_intervals_frames(spark, scored):
    found = [row.asDict() for row in timed(intervals(scored, 0.65)).collect()]
    by_place = strips(found, scored, "sequence_id")
    assert [row["sequence_id"] for row in found] == ["000002", "000001"]
    times = [[row["at"] for row in by_place[place]] for place in (0, 1)]
    assert times[1] == [0, 0.5, 1, 1.5, 2]
    assert len(times[0]) == 12 and times[0][0] == 0 and set(np.diff(times[0])) <= {0.5, 1.0}
    assert {row["camera"] for row in by_place[0]} == {found[0]["camera"]}


@pytest.mark.parametrize("width", [390, 1440])
def test_the_strip_of_an_interval(browser, scored, tmp_path, width):
    found = gallery(intervals(scored, 0.65), f"strips {width}", frames=scored)
    browser.open(found.save(tmp_path / "a.html"), width)
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("[...document.querySelectorAll('li')].map(e => e.querySelectorAll('.frame').length)") == [12, 5]
    large, small = (browser.run(f"{element(each)}.clientWidth") for each in (".side", ".frame"))
    assert large >= 2.5 * small
    facts = browser.run(f"{element('figcaption')}.innerText")
    assert "9.0 s" in facts and "mean 0.9" in facts
    browser.click(".shot")
    browser.press("ArrowDown")
    assert browser.run(f"{element('.bar .which')}.textContent") == "+0.0 s · 0.90"
    browser.press("ArrowDown")
    browser.press("ArrowDown")
    assert browser.run(f"{element('.bar .which')}.textContent").startswith("+2.0 s")
    browser.press("ArrowRight")
    assert browser.run("document.querySelectorAll('.frames .shot').length") == 1 + 5
    press(browser, "a")
    assert browser.run(STATES) == "oa"


def test_an_interval_is_saved_with_its_times(browser, scored, tmp_path):
    browser.open(gallery(intervals(scored, 0.65), "times", frames=scored).save(tmp_path / "a.html"), 1440)
    press(browser, "a")
    with browser.saved_by("[data-what=csv]", tmp_path / "saved").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["sequence_id"], row["since"], row["until"]) == ("000002", "2026-03-01 12:00:02", "2026-03-01 12:00:11")


@pytest.mark.parametrize("width", [390, 1440])
def test_the_cameras_of_a_moment_stand_side_by_side(browser, spark, paths, tmp_path, width):
    rows = drive(paths, "000001", frames=2) + drive(paths, "000002", ("cam05",), frames=1)
    found = gallery(spark.createDataFrame(rows, COLUMNS).coalesce(1), f"moments {width}", moments=True)
    browser.open(found.save(tmp_path / "a.html"), width)
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("[...document.querySelectorAll('li')].map(e => e.querySelectorAll('.side').length)") == [2, 2, 1]
    tops = browser.run("[...document.querySelectorAll('li:first-child .side')].map(e => e.getBoundingClientRect().y)")
    assert tops[0] == tops[1]
    labels = browser.run("[...document.querySelectorAll('.side .label')].map(e => e.textContent)")
    assert labels == ["cam01", "cam03", "cam01", "cam03", "cam05"]
    press(browser, "a")
    with browser.saved_by("[data-what=csv]", tmp_path / "saved").open(newline="") as file:
        assert [(row["frame_id"], row["camera"]) for row in csv.DictReader(file)] == [("000", "cam01 cam03")]


def test_two_hundred_intervals_of_noise_stay_under_ten_megabytes(spark, tmp_path):
    random = np.random.default_rng(0)
    for number in range(3):
        levels = random.integers(0, 256, (255, 480, 3), np.uint8)
        Image.fromarray(levels).save(tmp_path / f"{number}.png", compress_level=0)
    noise = [str(tmp_path / f"{number % 3}.png") for number in range(40)]
    rows = [row for number in range(200) for row in drive(noise, f"{number:06d}", ("cam01",), frames=9)]
    df = spark.createDataFrame(rows, COLUMNS).cache()
    path = gallery(intervals(df, 0.5), "many", frames=df).save(tmp_path / "many.html")
    assert path.read_text().count("data:image/jpeg;base64,") == 200 * (1 + 3)
    assert 2_000_000 < path.stat().st_size < 10_000_000


def test_an_empty_answer(browser, spark, tmp_path):
    browser.open(gallery(spark.createDataFrame([], COLUMNS), "none").save(tmp_path / "a.html"), 390)
    assert browser.run(f"{element('.none')}.innerText") == "Nothing found."
    assert browser.run("document.querySelectorAll('.review').length") == 0


WRONG = [
    ({"frames": "scored"}, "frames: expected rows of intervals, with since, until and sequence_id, got sequence_id"),
    ({"frames": "untimed"}, "expected a column timestamp, the table has sequence_id, .*; the frames of intervals need"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_calls(scored, words, message):
    frames = {"scored": scored, "untimed": scored.drop("timestamp")}[words["frames"]]
    with pytest.raises(ValueError, match=message):
        gallery(scored, frames=frames)


def test_moments_need_their_columns(scored):
    with pytest.raises(ValueError, match="expected a column frame_id, .*; the cameras of a moment need it"):
        gallery(scored.drop("frame_id"), moments=True)
