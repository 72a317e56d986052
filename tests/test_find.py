"""`blip-udfs search`: its table, page, sheet and list of sequences; what it says of wrong words."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click import ClickException
from click.testing import CliRunner
from rich.console import Console

from blip_udfs import functions as BF
from blip_udfs import intervals, read_once, search
from blip_udfs.cli import main
from blip_udfs.results.find import Question, find, table_of, write_sequences

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(spark, tiny_model, once_tree, tmp_path_factory) -> str:
    """A folder of Parquet files, made by the tiny model."""
    spark.conf.set("spark.blip.model", str(tiny_model))
    spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    path = str(tmp_path_factory.mktemp("found") / "embeddings")
    frames = read_once(spark, str(once_tree)).withColumn("embedding", BF.blip_image_embed("image"))
    frames.write.partitionBy("sequence_id").parquet(path)
    yield path
    spark.conf.unset("spark.blip.model")
    spark.conf.unset("spark.sql.sources.partitionColumnTypeInference.enabled")


def console(**settings) -> Console:
    return Console(file=io.StringIO(), width=160, **settings)


def test_the_table_on_a_terminal_without_colours(spark, folder):
    screen = console()
    asked = Question(folder, ("a truck at night",), where="sequence_id <> '000001'", k=4, one_per="sequence_id")
    rows, pictures = find(spark, asked, screen)
    text = screen.file.getvalue()
    found = rows.collect()
    assert len({row.sequence_id for row in found}) == 4 and "000001" not in {row.sequence_id for row in found}
    lines = re.findall(r"│ *(\d) │ *(-?\d+\.\d{4}) │ (\d{6}) +│ (\d{13}) │ (cam0\d) +│ (\w+)", text)
    assert lines == [
        (str(rank), f"{row.score:.4f}", row.sequence_id, row.frame_id, row.camera, row.weather)
        for rank, row in enumerate(found, start=1)
    ]
    assert "a truck at night" in text and "one per sequence_id · tiny@" in " ".join(text.split())
    assert "▀" not in text and "\x1b" not in text
    assert pictures.html().count("data:image/jpeg;base64,") == 4


def test_small_pictures_where_the_terminal_shows_colours(spark, folder):
    screen = console(force_terminal=True, color_system="truecolor")
    find(spark, Question(folder, ("a truck at night",), k=2), screen)
    text = screen.file.getvalue()
    assert text.count("▀") == 2 * 30 * 8
    assert len(set(re.findall(r"38;2;(\d+;\d+;\d+);48;2", text))) > 20


def test_what_rows_and_sentences_say_is_no_markup(spark, folder):
    screen = console()
    asked = Question(folder, ("a [bold]truck[/nothing]",), k=1, where="'[red]' = '[red]'")
    find(spark, asked, screen)
    assert "a [bold]truck[/nothing]" in screen.file.getvalue()


def words_of(screen: Console) -> str:
    return " ".join(screen.file.getvalue().split())


def test_an_empty_answer_says_what_the_best_has(spark, folder):
    best = find(spark, Question(folder, ("a truck at night",), k=1), console())[0].first()
    screen = console()
    asked = Question(folder, ("a truck at night",), min_score=round(best.score + 1, 1))
    rows, pictures = find(spark, asked, screen)
    said = f"no row has a score of {asked.min_score:g} or more; the best has {best.score:.4f}"
    named = f"({best.sequence_id}, {best.frame_id}, {best.camera})"
    assert rows.count() == 0 and f"Nothing found: {said} {named}." in words_of(screen)
    assert said in pictures.html()


def test_rows_of_the_least_score(spark, folder):
    every = find(spark, Question(folder, ("a truck at night",), k=8), console())[0].collect()
    least = (every[3].score + every[4].score) / 2
    screen = console()
    rows, _ = find(spark, Question(folder, ("a truck at night",), k=8, min_score=least), screen)
    assert [row.image for row in rows.collect()] == [row.image for row in every[:4]]
    assert f"score {least:g} or more" in words_of(screen)


def test_intervals_and_cameras(spark, folder):
    scored = search(table_of(spark, folder), "a truck at night", 100, 0)
    least = sum(sorted(row.score for row in scored.collect())[23:25]) / 2
    expected = intervals(scored, least, 0.5).collect()
    screen = console()
    asked = Question(folder, ("a truck at night",), k=100, candidates=0, min_score=least, gap=0.5)
    rows, pictures = find(spark, asked, screen)
    assert [(r.sequence_id, r.since, r.until, r.rows) for r in rows.collect()] == [
        (r.sequence_id, r.since, r.until, r.rows) for r in expected
    ]
    strips = [len(card.strip) for card in pictures.sections[0][1]]
    assert strips == [round((r.until - r.since).total_seconds() / 0.5) + 1 for r in expected]
    assert "intervals, gaps up to 0.5 s bridged" in words_of(screen)
    _, moments = find(spark, Question(folder, ("a truck at night",), k=2, all_cameras=True), console())
    assert [[label for label, _ in card.beside] for card in moments.sections[0][1]] == [["cam01", "cam03"]] * 2


def test_what_follows_is_beside_it(spark, folder):
    asked = Question(folder, ("a bus",), k=2, then="in the rain", within=1)
    rows, pictures = find(spark, asked, console())
    first, (card, _) = rows.first(), pictures.sections[0][1]
    gap = (first.next.timestamp - first.timestamp).total_seconds()
    labels = [label for label, _ in card.beside]
    assert labels == [f"first · {first.camera}", f"+{gap:.1f} s · {first.next.camera}"]


TITLES = [
    (Question("t", ("a",), then="b", min_score=0.5), "a, then b", "t, within 3 s, score 0.5 or more"),
    (Question("t", ("a", "b")), "a and b", "t"),
    (Question("t", ("a", "b"), any_of=True, but_not=("c",)), "a or b, not c", "t"),
    (Question("t", like="x.jpg", where="y"), "like x.jpg", "t where y"),
    (Question("t", ("a",), seconds=2.5), "a", "t, one per sequence_id and 2.5 s"),
]


@pytest.mark.parametrize(("asked", "title", "note"), TITLES)
def test_title_and_note(asked, title, note):
    assert (asked.title, asked.note) == (title, note)


WRONG = [
    ({"table": "nowhere"}, "no table and no folder nowhere: the warehouse has"),
    ({"where": "period = = 'night'"}, "[PARSE_SYNTAX_ERROR] Syntax error at or near '='"),
    ({"where": "perod = 'night'"}, "A column, variable, or function parameter with name `perod` cannot be resolved"),
    ({"one_per": "scene"}, "expected a column scene, the table has"),
    ({"sentences": ()}, "expected a sentence or a picture in `like` to search for, got neither"),
    ({"gap": 1.0}, "intervals: expected the score that their rows reach in --min-score, got none"),
    ({"gap": 1.0, "min_score": 0.5, "one_per": "camera"}, "intervals: expected all rows of a drive, got --one-per"),
    ({"seconds": -1.0}, "seconds: expected more than 0, got -1.0"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_words(spark, folder, words, message):
    with pytest.raises(ClickException, match=re.escape(message)):
        find(spark, Question(**({"table": folder, "sentences": ("a car",)} | words)), console())


def test_sequences_as_the_devkit_lists_them(spark, folder, tmp_path):
    rows = table_of(spark, folder).where("sequence_id IN ('000003', '000001')")
    assert write_sequences(rows, tmp_path / "found.txt") == 2
    assert (tmp_path / "found.txt").read_text() == "000001\n000003\n"


def test_the_command_is_described():
    text = CliRunner().invoke(main, ["search", "--help"]).output
    for word in ("--min-score", "--then", "--within", "--all-cameras", "--intervals"):
        assert re.search(rf"{word}\b", text), word
    for word in ("--table", "--where", "-k", "--one-per", "--seconds", "--not", "--any", "--like", "--html", "--open"):
        assert re.search(rf"{word}\b", text), word


def run(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        [str(BIN / "blip-udfs"), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "160"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.endurance
def test_it_finds_tables_that_the_sql_shell_made(spark, folder, tiny_model, tmp_path):
    made = f"CREATE TABLE once_embeddings AS SELECT * FROM parquet.`{folder}`"
    as_text = "spark.sql.sources.partitionColumnTypeInference.enabled=false"  # 000004, not 4
    run("sql", "--warehouse", "a store", "--conf", as_text, "-e", made, cwd=tmp_path)
    words = ["a truck at night", "-k", "3", "--html", "out.html", "--sheet", "out.png", "--export", "out.txt"]
    text = run("search", *words, "--model", str(tiny_model), "--warehouse", "a store", cwd=tmp_path)
    asked = Question(folder, ("a truck at night",), k=3)
    expected = find(spark, asked, console())[0].collect()
    assert re.findall(r"│ (\d{6}) +│ (\d{13}) │", text) == [(row.sequence_id, row.frame_id) for row in expected]
    assert (tmp_path / "out.html").read_text().count("data:image/jpeg;base64,") == 3
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out.txt").read_text().split() == sorted({row.sequence_id for row in expected})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "out.png", "out.txt", "store"]
