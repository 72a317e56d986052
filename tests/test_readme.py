"""What README.md shows is what the demo prints, what the pages behind it say is there, and no figure is unsteady."""

import json
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from blip_udfs.cli import main
from blip_udfs.demo.card import page as card_page
from blip_udfs.measure.report import STEADY

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
FOLDERS = ("blip_udfs", "conf", "notebooks", "sql", "tests", ".ci")
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for f in FOLDERS for page in (ROOT / f).rglob("README.md"))]
FIGURES, CARD, SCALE = "blip_udfs/measure/README.md", "blip_udfs/demo/model/README.md", "conf/README.md"
SHOWN = re.findall(r"```sql\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)


def test_it_shows_four_statements_with_their_output():
    assert len(SHOWN) == 4


def test_a_newcomer_finishes_it():
    assert len(README.splitlines()) <= 220


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_files_exist(page):
    text = (ROOT / page).read_text()
    for command in re.findall(r"(?:`|^    )blip-udfs (\w+)", text, re.MULTILINE):
        assert command in main.commands, command
    for target in re.findall(r"(?:`|^    )make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    for file in re.findall(r"`((?:blip_udfs|conf|notebooks|sql|tests)/[\w./]+)`", text):
        assert (ROOT / file).exists(), file


def links(page: str) -> list[tuple[Path, str]]:
    """File and heading of each link to the project's own files."""
    found = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", (ROOT / page).read_text())
    return [((ROOT / page).parent / (file or Path(page).name), heading) for file, heading in found if "://" not in file]


def headings(page: Path) -> set[str]:
    """As GitHub names them in addresses."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for file, heading in links(page):
        assert file.exists(), file
        assert not heading or heading in headings(file), (file, heading)


def test_every_page_is_linked_from_the_first():
    linked = {str(file.resolve().relative_to(ROOT)) for file, _ in links("README.md")}
    assert set(PAGES) - {"README.md"} <= linked
    assert {FIGURES, CARD, SCALE, "sql/README.md", "sql/databricks/README.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_no_figure_is_shown_whose_rounds_differ_by_more_than_15_percent(page):
    """Nor a rate or a time, which depend on the machine: in tables only, for sentences may speak of time."""
    assert STEADY == 0.15
    lines = (ROOT / page).read_text().splitlines()
    for row in (line for line in lines if line.startswith("|")):
        assert not re.search(r"\d ((images|pairs|queries|rows|MB)/s|m?s) \||seconds of ITM", row), row
    spreads = [re.fullmatch(r".*\| (?:(\d+)%|one run) \|", row) for row in table_with("spread", lines)]
    assert all(spreads) and all(int(found[1] or 0) <= 15 for found in spreads)
    assert bool(spreads) == (page == FIGURES)


def table_with(last: str, lines: list[str]) -> list[str]:
    """The rows of the table whose last column has that name; none where there is none."""
    starts = [index + 2 for index, line in enumerate(lines) if line.endswith(f"| {last} |")]
    return list(takewhile(lambda line: line.startswith("|"), lines[starts[0] :])) if starts else []


def row_of(page: str, *begin: str) -> list[str]:
    """The cells behind the first ones of a table's row."""
    (row,) = re.findall(rf"^\| {re.escape(' | '.join(begin))} \| (.*) \|$", (ROOT / page).read_text(), re.MULTILINE)
    return row.split(" | ")


def test_headline_figures_are_those_of_their_pages():
    ratio, _ = row_of(FIGURES, "itm, 9 tokens", "transformers, batches of 32")
    assert f"is {float(ratio):.1f} times as fast as by transformers" in flowing(README)
    _, itc, cascade, _ = row_of(CARD, "left of, right of, held-out wording")
    assert f"precision@10 of {float(itc):.2f} by ITC and\n{float(cascade):.2f}".replace("\n", " ") in flowing(README)
    size = row_of(SCALE, "a row of the embeddings table, base (256 floats), Parquet, snappy")[0].split(" KB")[0]
    assert f"a row of the table takes {float(size):.1f} KB" in flowing(README)


def flowing(text: str) -> str:
    return " ".join(text.split())


def test_the_card_is_its_templates():
    card = (ROOT / CARD).read_text()
    command = re.search(r"never used, by `(.*?)`", card)[1]
    training = json.loads((ROOT / CARD).with_name("training.json").read_text())
    tables = card[card.index("Recall, %") :].strip()
    assert card == card_page(training, tables, command)


@pytest.mark.endurance
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
