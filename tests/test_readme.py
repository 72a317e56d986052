"""What README.md shows is what the demo prints, and its commands are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from blip_udfs.cli import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SHOWN = re.findall(r"```sql\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)


def test_it_shows_four_statements_with_their_output():
    assert len(SHOWN) == 4


def test_commands_and_files_exist():
    for command in re.findall(r"`blip-udfs (\w+)", README):
        assert command in main.commands, command
    for target in re.findall(r"`?make (\w+)", README):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("https:") or (ROOT / link).exists(), link


@pytest.mark.slow
def test_the_demo_prints_what_is_shown(tmp_path):
    done = subprocess.run(
        [str(Path(sys.executable).parent / "blip-udfs"), "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = re.sub(r"'/[^']*/once'", "'/data/ONCE'", done.stdout)
    tables = [words(table) for table in re.findall(r"^\+-.*?(?=^$)", printed, re.MULTILINE | re.DOTALL)]
    for statement, output in SHOWN:
        assert statement.strip() in printed
        assert any(same(words(output), table) for table in tables), output


def words(table: str) -> list[str]:
    return [word.strip() for line in table.splitlines() for word in line.split("|") if word.strip()]


def same(shown: list[str], printed: list[str]) -> bool:
    """Equal, but for the last digits of scores, which depend on the processor, and the rulers' widths."""
    return len(shown) == len(printed) and all(
        one == other or ruler(one) and ruler(other) or near(one, other)
        for one, other in zip(shown, printed, strict=True)
    )


def ruler(word: str) -> bool:
    return set(word) == set("+-")


def near(one: str, other: str) -> bool:
    return all(re.fullmatch(r"0\.\d+", each) for each in (one, other)) and abs(float(one) - float(other)) < 1e-4
