"""What `bench` makes of seconds: rates, ratios, a table that keeps what other runs measured."""

import numpy as np
import pytest
from click.testing import CliRunner

from blip_udfs.cli import main
from blip_udfs.measure import bench, report
from blip_udfs.measure.bench_footprint import PROFILE, operations, plot_profile


@pytest.fixture
def clock(monkeypatch):
    """Each way says how many seconds it takes."""
    monkeypatch.setattr(bench, "timed", lambda run: run())


def ways(**seconds):
    return {name: iter(taken).__next__ for name, taken in seconds.items()}


def test_ratios_are_medians_of_rates_of_the_same_round(clock):
    ours, theirs = bench.interleaved("t", "rows/s", 12, ways(ours=[9, 2, 3, 4], theirs=[9, 8, 6, 4]), 3)
    assert (ours.value, ours.ratio, ours.spread) == (4.0, 1.0, 0.67)  # the first round warms up
    assert (theirs.value, theirs.ratio, theirs.rounds) == (2.0, 2.0, 3)


def test_ways_may_do_different_amounts_of_work(clock):
    ours, theirs = bench.interleaved("t", "rows/s", [100, 10], ways(ours=[1, 5], theirs=[1, 2]), 1)
    assert (ours.value, theirs.value, theirs.ratio) == (20.0, 5.0, 4.0)


@pytest.fixture
def tasks(monkeypatch):
    made = {name: bench.Result(name, "way", 1.5, "GB", 0.1, None, 3) for name in ("one", "two")}
    monkeypatch.setattr(report, "TASKS", {name: lambda *_, row=row: [row] for name, row in made.items()})


def written(page) -> list[str]:
    return [line for line in page.read_text().splitlines() if line.startswith("| ") and " | way" in line][1:]


@pytest.mark.parametrize("text", ["before\n<!-- measured by blip-udfs bench -->\nold\n<!-- end -->\nafter\n", None])
def test_a_page_keeps_what_earlier_runs_measured(tasks, tmp_path, text):
    page = tmp_path / "page.md"
    if text:
        page.write_text(text)
    for name in ("two", "one"):
        report.measured([name], 1, tmp_path / "work", False, page)
    assert written(page) == ["| one | way | 1.5 GB | 10% |", "| two | way | 1.5 GB | 10% |"]
    before, _, after = page.read_text().partition(bench.machine()["processor"])
    wanted = (text or "").split("old\n") if text else ["<!-- measured by blip-udfs bench -->\n", "<!-- end -->"]
    assert before == wanted[0] and after.endswith(f"|\n{wanted[1]}") and "old" not in after


def test_a_page_without_a_place_is_refused_before_anything_is_measured(tasks, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Another\n")
    done = CliRunner().invoke(main, ["bench", "startup", "--work", str(tmp_path / "work"), "--page", str(page)])
    assert done.exit_code == 1
    assert f"Error: {page}: expected the lines <!-- measured by blip-udfs bench --> and <!-- end -->" in done.output
    assert page.read_text() == "# Another\n" and not (tmp_path / "work").exists()


def test_a_page_shows_ratios_and_no_figure_whose_rounds_differ_by_more_than_15_percent(tmp_path, monkeypatch):
    rows = [
        bench.Result("a", "way 1", 9.0, "rows/s", 0.15, 1.0, 5),
        bench.Result("a", "way 2", 3.0, "rows/s", 0.1, 3.0, 5),
        bench.Result("a", "way 3", 4.0, "rows/s", 0.16, 2.25, 5),  # not steady
        bench.Result("b", "way 1", 9.0, "rows/s", 0.33, 1.0, 5),
        bench.Result("b", "way 2", 3.0, "rows/s", 0.0, 3.0, 5),  # compared with what is not steady
        bench.Result("c", "way 1", 0.4, "GB", 0.0, None, 1),
        bench.Result("c", "way 2", 0.4, "GB", 0.2, None, 5),
        bench.Result("c", "way 3", 0.4, "s", 0.0, None, 5),  # depends on the machine
        bench.Result("d", "way 1", 2.0, "s", 0.0, 1.0, 5),
        bench.Result("d", "way 2", 2.0, "s", 0.0, 1.0, 1),  # taken once
    ]
    monkeypatch.setattr(report, "TASKS", {"task": lambda *_: rows})
    report.measured([], 1, tmp_path, False, tmp_path / "page.md")
    assert written(tmp_path / "page.md") == [
        "| a | way 1 | 1.0 | 15% |",
        "| a | way 2 | 3.0 | 10% |",
        "| c | way 1 | 0.4 GB | one run |",
        "| d | way 1 | 1.0 | 0% |",
    ]


def test_the_profile_is_a_picture(tmp_path):
    from PIL import Image

    rows = [bench.Result(PROFILE, way, 0.01 * n, "s", 0.0, None, 1) for n, way in enumerate("abc", 1)]
    plot_profile(rows, tmp_path / "profile.png")
    with Image.open(tmp_path / "profile.png") as image:
        assert image.width > 400 and len(image.convert("RGB").getcolors(100_000)) > 3


def test_operations_of_an_image_are_those_that_torch_counts(tiny_model, monkeypatch):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from blip_udfs.blip import products
    from blip_udfs.blip.model import load

    blip = load(str(tiny_model))
    monkeypatch.setattr(products, "ONEDNN", False)  # torch counts neither oneDNN's operators
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # nor fused attention's
        blip.embed_images(np.zeros((1, 32, 32, 3), np.uint8))
    assert operations(blip) == counter.get_total_flops()
