"""What a newcomer runs: `blip-udfs demo`, the SQL scripts in spark-sql, the notebooks; right by the annotations."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SCRIPTS = ("1_images.sql", "2_embeddings.sql", "3_search.sql")


def run(*words: str, cwd: Path) -> str:
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(
        [str(BIN / "blip-udfs"), *words], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, str]:
    """The folder that a smaller demo leaves, and what it prints."""
    folder = tmp_path_factory.mktemp("demo")
    return folder / "demo_output", run("demo", "--sequences", "25", "--frames", "3", cwd=folder)


def scene(tree: Path, sequence_id: str, frame_id: str, camera: str) -> dict:
    """What the tree says was drawn, with the frame's weather and period."""
    records = json.loads((tree / "data" / sequence_id / f"{sequence_id}.json").read_text())["frames"]
    record = next(each for each in records if each["frame_id"] == frame_id)
    return record["scene"][camera] | record["meta_info"]


def ranked(text: str) -> list[tuple[str, str, str]]:
    """sequence_id, frame_id, camera of the rows that Spark printed, tables or tab-separated lines, in order."""
    return re.findall(r"^\|?(\d{6}) *[|\t](\d{13}) *[|\t](cam\d\d) *[|\t]", text, re.MULTILINE)


def kinds(seen: dict) -> set[str]:
    return {thing["class"] for thing in seen["objects"]}


def check_searches(tree: Path, rows: list[tuple[str, str, str]]) -> None:
    """The three searches of 3_search.sql and its best drives, three rows each."""
    assert len(rows) == 12
    seen = [scene(tree, *row) for row in rows]
    for each in seen[:3]:
        assert each["road"] == "intersection" and "car" in kinds(each)
    for each in seen[3:6]:
        assert each["road"] == "highway" and "car" in kinds(each)
    assert all(each["weather"] == "rainy" for each in seen[6:9])
    assert all(each["period"] == "night" and "truck" in kinds(each) for each in seen[9:])
    assert len({sequence for sequence, _, _ in rows[9:]}) == 3


def check_saved(printed: str) -> None:
    """The saved sentences of 3_search.sql, two rows each, of what is rainy."""
    frame = r" *[|\t]\d{6} *[|\t]\d{13} *[|\t]cam\d\d *[|\t]"
    found = re.findall(rf"^\|?(\w+) *[|\t](\d){frame}(\w+)", printed, re.MULTILINE)
    assert found == [(name, str(rank), "rainy") for name in ("trucks", "buses") for rank in (1, 2)]


def test_the_demo_finds_what_the_sentences_say(demo):
    folder, printed = demo
    check_searches(folder / "once", ranked(printed))
    check_saved(printed)
    assert (folder / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    sections = (folder / "index.html").read_text().split("<ol ")[1:]
    wanted = [lambda seen: seen["road"] == "intersection" and "car" in kinds(seen)]
    wanted += [lambda seen: seen["road"] == "highway" and "car" in kinds(seen)]
    wanted += [lambda seen: seen["weather"] == "rainy" and "truck" in kinds(seen)]
    for section, right in zip(sections, wanted, strict=True):
        pictures = [json.loads(html.unescape(each)) for each in re.findall(r'data-ids="([^"]*)"', section)]
        assert 1 <= len(pictures) <= 3 and section.count("data:image/jpeg") == len(pictures)
        assert len({each["sequence_id"] for each in pictures}) == len(pictures)  # no two neighbours
        for each in pictures:
            assert right(scene(folder / "once", each["sequence_id"], each["frame_id"], each["camera"]))
    assert f"Pictures: {Path('demo_output') / 'index.html'}" in printed


@pytest.mark.endurance
def test_spark_sql_runs_the_scripts_without_a_python_driver(demo, tmp_path):
    tree = demo[0] / "once"
    variables = ["-d", f"root={tree}", "--conf", "spark.log.level=ERROR"]
    printed = ""
    for script in SCRIPTS:
        printed = run("sql", "--warehouse", "store", *variables, "-f", str(ROOT / "sql" / script), cwd=tmp_path)
    check_searches(tree, ranked(printed))
    check_saved(printed)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]  # nothing is dropped where the user stands


NOTEBOOKS = [  # the first embeds
    "1_create_embeddings",
    "2_retrieve_images",
    *(pytest.param(name, marks=pytest.mark.endurance) for name in ("3_scene_mining", "4_databricks")),
]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(demo, name, monkeypatch):
    monkeypatch.setenv("ONCE_ROOT", str(demo[0] / "once"))
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "spark.stop" not in cell.source and "import" not in cell.source:
            assert cell.outputs, f"{name} is committed without the output of: {cell.source[:60]}"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert all(len(json.dumps(output)) < 300_000 for output in outputs)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    if name == "2_retrieve_images":
        shown = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
        for row in ranked(shown)[:3]:
            assert scene(demo[0] / "once", *row)["road"] == "intersection"
