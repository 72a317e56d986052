"""The command line: what it makes, and what it says of wrong words."""

import json

import pytest
from click.testing import CliRunner

from blip_udfs.cli import main
from blip_udfs.spark.extension import EXTENSION
from blip_udfs.spark.settings import SETTINGS


def invoke(*words: str):
    return CliRunner().invoke(main, words)


def test_synth_draws_a_tree(tmp_path):
    words = ["--sequences", "2", "--frames", "2", "--cameras", "cam01,cam05", "--size", "96x51", "--seed", "3"]
    done = invoke("synth", str(tmp_path / "once"), *words)
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'once'}: 2 sequences x 2 frames x 2 cameras" in done.output
    assert len(list((tmp_path / "once" / "data").rglob("*.jpg"))) == 8
    sequence = json.loads((tmp_path / "once/data/000001/000001.json").read_text())
    assert set(sequence["frames"][0]["scene"]) == {"cam01", "cam05"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("synth", "x", "--size", "big"), "expected WIDTHxHEIGHT such as 960x510, got big"),
        (("synth", "x", "--cameras", "cam02"), "no camera cam02: expected some of cam01, cam03"),
        (("convert", "/nowhere.pth", "x"), "File '/nowhere.pth' does not exist"),
        (("evaluate", __file__ + "x"), "does not exist"),
    ],
)
def test_wrong_words(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke(*words)
    assert done.exit_code == 2 and message in done.output
    assert "Traceback" not in done.output


def test_conf_prints_lines_for_spark_defaults():
    lines = invoke("conf").output.splitlines()
    settings = dict(line.split(None, 1) for line in lines if not line.startswith("#"))
    assert settings["spark.sql.extensions"] == EXTENSION
    assert settings["spark.jars"].endswith(".jar")
    assert {setting.key: settings[setting.key] for setting in SETTINGS} == {s.key: s.default for s in SETTINGS}


def test_evaluate_needs_to_know_where_images_are(tmp_path):
    (tmp_path / "dataset.json").write_text("{}")
    done = invoke("evaluate", str(tmp_path / "dataset.json"))
    assert done.exit_code == 2 and "say where they are with --images FOLDER" in done.output


def test_bench_takes_each_of_its_tasks():
    from blip_udfs.cli import BENCH
    from blip_udfs.measure.report import ASKED_FOR, TASKS

    assert [*TASKS, *ASKED_FOR] == BENCH  # two lists: the command line must not load what measures
