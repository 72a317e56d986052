"""What `bench` makes of seconds: rates, ratios, a table that keeps what other runs measured."""

import numpy as np
import pytest

from blip_udfs import bench, report
from blip_udfs.bench_footprint import PROFILE, operations, plot_profile


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


def test_a_readme_keeps_what_earlier_runs_measured(tmp_path, monkeypatch):
    made = {name: bench.Result(name, "way", 1.5, "s", 0.1, None, 1) for name in ("one", "two")}
    monkeypatch.setattr(report, "TASKS", {name: lambda *_, row=row: [row] for name, row in made.items()})
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- measured by blip-udfs bench -->\nold\n<!-- end -->\nafter\n")
    for name in ("two", "one"):
        report.measured([name], 1, tmp_path / "work", False, readme)
    text = readme.read_text()
    assert text.startswith("before\n<!--") and text.endswith("<!-- end -->\nafter\n") and "old" not in text
    lines = [line for line in text.splitlines() if line.startswith("| ") and "way |" in line][1:]
    assert lines == ["| one | way | 1.5 s |  | 10% |", "| two | way | 1.5 s |  | 10% |"]


def test_the_profile_is_a_picture(tmp_path):
    from PIL import Image

    rows = [bench.Result(PROFILE, way, 0.01 * n, "s", 0.0, None, 1) for n, way in enumerate("abc", 1)]
    plot_profile(rows, tmp_path / "profile.png")
    with Image.open(tmp_path / "profile.png") as image:
        assert image.width > 400 and len(image.convert("RGB").getcolors(100_000)) > 3


def test_operations_of_an_image_are_those_that_torch_counts(tiny_model, monkeypatch):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from blip_udfs import engine
    from blip_udfs.model import load

    blip = load(str(tiny_model))
    monkeypatch.setattr(engine, "ONEDNN", False)  # torch counts neither oneDNN's operators
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # nor fused attention's
        blip.embed_images(np.zeros((1, 32, 32, 3), np.uint8))
    assert operations(blip) == counter.get_total_flops()
