"""bench gpu where there is none: its refusal; on the CPU its comparisons, number types, sampling and decoders."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from blip_udfs.cli import main
from blip_udfs.measure import bench_gpu, report
from blip_udfs.measure.gpu_use import GpuUse

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model whose weights all matter, with the bundled one's vocabulary."""
    from blip_udfs.measure.bench_alternatives import random_model

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = {"image_size": 32, "patch_size": 16} | sizes
    text = {"encoder_hidden_size": 32} | sizes
    return random_model(tmp_path_factory.mktemp("gpu") / "small", vision, text, alive=True)


def program(folder: Path, name: str, text: str) -> str:
    """A PATH on which `name` is this shell script."""
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def awaited(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until, "nvidia-smi was not asked often enough in 60 seconds"
        time.sleep(0.005)


def make(target: str, path: str, folder: Path, *flags: str) -> subprocess.CompletedProcess:
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.lock").touch()
    for name in ("setup.py", "pyproject.toml"):
        (folder / name).touch()
    environment = {"PATH": path, "HOME": str(folder)}
    return subprocess.run(
        ["make", *flags, target], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("says", ["exit 9", "echo No devices were found; exit 6", "exit 0"])
def test_make_gpu_without_one_installs_nothing_and_exits_2(tmp_path, says):
    (tmp_path / "bin").mkdir()
    done = make("gpu", program(tmp_path / "bin", "nvidia-smi", says), tmp_path)
    assert done.returncode == 2
    assert "make gpu: expected an NVIDIA GPU, 'nvidia-smi -L' lists none; nothing was installed" in done.stdout
    assert not list(tmp_path.glob(".venv*"))


def test_make_gpu_with_one_makes_its_own_environment_first(tmp_path):
    (tmp_path / "bin").mkdir()
    path = program(tmp_path / "bin", "nvidia-smi", "echo 'GPU 0: NVIDIA H100 (UUID: GPU-1)'")
    steps = make("gpu", path, tmp_path, "--dry-run").stdout
    wanted = ("-m venv", "/pip install", " -r requirements.lock", "/blip-udfs bench gpu")
    places = [steps.index(step) for step in wanted]
    assert places == sorted(places)
    assert steps.count(".venv-gpu/bin/") >= 4 and ".venv/" not in steps


def test_the_lock_has_the_torch_that_is_built_for_cuda():
    """PyPI's for Linux; `+cpu` would be another index's."""
    (line,) = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("torch==")]
    assert "+" not in line


def test_bench_gpu_without_one_says_so_and_measures_nothing(tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(main, ["bench", "gpu", "read", "--work", str(tmp_path / "work")])
    assert done.exit_code == 2
    assert f"Error: bench gpu: torch {torch.__version__} has no NVIDIA GPU here" in done.output
    assert "by `make gpu`, which installs a torch built for CUDA" in done.output
    assert not (tmp_path / "work").exists()


def test_a_bench_of_everything_needs_no_gpu():
    assert "gpu" not in report.TASKS and "gpu" in report.ASKED_FOR


def test_each_number_type_is_within_its_tolerance(small):
    rows = bench_gpu.parity(small, "small", "cpu")
    assert [row.way for row in rows] == [
        f"{dtype} on cpu, {what}"
        for dtype in ("float32", "bfloat16", "float16")
        for what in ("embeddings", "ITM logits")
    ]
    assert all(row.unit.startswith("difference, within") for row in rows), rows
    exact, *others = [row.value for row in rows if row.way.endswith("embeddings")]
    assert exact == 0 and min(others) > 1e-5  # other number types were computed with
    of_bfloat16, of_float16 = others
    assert of_float16 < of_bfloat16


def test_a_difference_beyond_its_tolerance_is_said_and_fails_the_run(small, tmp_path, monkeypatch):
    monkeypatch.setitem(bench_gpu.TOLERANCES, "float16", (1e-9, 1))
    monkeypatch.setattr(report, "ASKED_FOR", {"gpu": lambda *_: bench_gpu.parity(small, "small", "cpu")})
    monkeypatch.setattr(report, "NEEDED", {})
    done = CliRunner().invoke(main, ["bench", "gpu", "--work", str(tmp_path)])
    assert done.exit_code == 1
    wrong = "1 are beyond: parity with float32 on the CPU, small: float16 on cpu, embeddings"
    assert f"Error: expected differences within their tolerances, {wrong}" in done.output
    assert "difference, BEYOND 1e-09" in (tmp_path / "gpu.md").read_text()  # and the table is there all the same
    assert "BEYOND" in (tmp_path / "gpu.json").read_text()


def test_sdpa_gives_transformers_own_numbers(small):
    import torch
    from transformers import BlipForImageTextRetrieval

    from blip_udfs.measure.sdpa import with_sdpa

    torch.manual_seed(0)
    images, ids = torch.randn(3, 3, 32, 32), torch.randint(5, 200, (3, 9))
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, 4:] = 0
    found = []
    for changed in (with_sdpa, lambda same: same):
        model = changed(BlipForImageTextRetrieval.from_pretrained(small).eval())
        with torch.no_grad():
            found.append(model(input_ids=ids, pixel_values=images, attention_mask=mask).itm_score.numpy())
            found.append(model.vision_model(images).last_hidden_state.numpy())
    assert abs(found[0]).max() > 0.01
    np.testing.assert_allclose(found[0], found[2], atol=1e-5, rtol=0)
    np.testing.assert_allclose(found[1], found[3], atol=1e-5, rtol=0)


def test_rates_are_of_the_same_work(small, monkeypatch):
    calls: dict[str, int] = {}

    def once(task, unit, work, ways, rounds):
        for way, run in ways.items():
            run()
            calls[f"{task}: {way}"] = work
        return []

    monkeypatch.setattr(bench_gpu, "interleaved", once)
    bench_gpu.sweep(small, "small, float16", "cpu", "float16", (2, 1, 4), 1)
    bench_gpu.beside_transformers(small, "small", "cpu", "bfloat16", 1, images=6, batch=2)
    assert {way: work for way, work in calls.items() if way.startswith("embed, ")} == {
        f"embed, small, float16: batches of {size}": 4 for size in (2, 1, 4)
    }
    others = {way: work for way, work in calls.items() if not way.startswith("embed, ")}
    assert set(others.values()) == {6} and len(others) == 3 * 3


def test_gpu_use_is_what_nvidia_smi_says_over_time(tmp_path, monkeypatch):
    count = f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0); echo $((n + 1)) > {tmp_path}/n"
    said = f'{count}; echo "$((n * 10)), $((1000 + n))"'
    monkeypatch.setenv("PATH", program(tmp_path, "nvidia-smi", said))
    with GpuUse("0", every=0.01) as use:
        awaited(lambda: len(use.percent) >= 6)
    assert use.percent[:6] == [0, 10, 20, 30, 40, 50] and use.mebibytes[:2] == [1000, 1001]
    use.percent = [0, 10, 20, 30, 40, 50, 90]
    assert use.over_time(3) == [5, 25, 60] and use.mean() == pytest.approx(240 / 7)
    assert use.over_time(10) == use.percent


def test_gpu_use_that_is_not_known_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", program(tmp_path, "nvidia-smi", f"echo x >> {tmp_path}/asked; echo '[N/A], 1'"))
    with GpuUse("0", every=0.01) as use:
        awaited((tmp_path / "asked").exists)
    assert (use.percent, use.mean(), use.over_time()) == ([], 0.0, [])


@pytest.mark.parametrize(("device", "cores", "threads"), [("cpu", 8, 2), ("cuda", 8, 8), ("cuda", 1, 2), ("mps", 4, 4)])
def test_a_gpu_has_all_cores_of_its_task_decode_for_it(monkeypatch, device, cores, threads):
    """Through the worker's own loop: how many threads it asks for, and that rows come out in order."""
    import pandas as pd
    import torch

    from blip_udfs.spark import batches

    asked = []

    class Pool(batches.ThreadPoolExecutor):
        def __init__(self, count):
            asked.append(count)
            super().__init__(count)

    model = SimpleNamespace(device=SimpleNamespace(type=device), batch_size=3, image_size=4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    monkeypatch.setattr(batches, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(batches, "model_of", lambda settings: model)
    monkeypatch.setattr(batches, "loaded", lambda image, model: np.full(1, len(image)))
    settings = SimpleNamespace(batch_size=None)
    rows = iter([pd.Series([bytes(n) for n in range(1, 9)])])
    found = batches.over_images(rows, lambda model, settings, images: [int(each[0]) for each in images], settings)
    assert [value for series in found for value in series] == list(range(1, 9))
    assert asked == [threads]
