"""What the suite does with a test that is skipped."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = """
import pytest

def test_page():
    pytest.skip("NO BROWSER: pages are not tested; install one")

@pytest.fixture
def gpu():
    pytest.skip("NO GPU: half precision is not tested")

@pytest.mark.parametrize("number", [1, 2])
def test_half(gpu, number):
    pass

@pytest.mark.skip(reason="not today")
def test_other():
    pass

def test_runs():
    pass
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    (folder / "test_it.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.skips",
        "--rootdir",
        str(folder),
        *words,
        "test_it.py",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


def test_what_wants_a_browser_or_a_gpu_is_skipped_and_said(tmp_path):
    done = run(tmp_path, "--deselect", "test_it.py::test_other")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT TESTED HERE, 1 tests: NO BROWSER: pages are not tested; install one" in done.stdout
    assert "NOT TESTED HERE, 2 tests: NO GPU: half precision is not tested" in done.stdout
    assert "1 passed, 3 skipped" in done.stdout


def test_any_other_skip_fails(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    assert "expected no skip but for NO BROWSER: , NO GPU: , NO DELTA: ..., got: not today" in done.stdout
    assert "1 passed, 3 skipped, 1 error" in done.stdout
