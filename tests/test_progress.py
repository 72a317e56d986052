"""What the command shows of the embedding job's events, and `blip-udfs embed` itself."""

import io
import json

import pytest
from click.testing import CliRunner

from blip_udfs import cli
from blip_udfs.job.embed import Summary
from blip_udfs.job.progress import Bar, duration, told, write_event

PLANNED = {"event": "planned", "model": "m@1", "pending": 300, "new": 300}
TRIGGER = {"event": "trigger", "images": 100, "embedded": 98, "failed": 2, "similar": 0, "seconds": 4.0}
FOUND = {"new": 300, "changed": 20, "failed_before": 1, "deleted": 10, "done_before": 5000}


def test_the_bar_follows_the_events():
    bar = Bar()
    for event, completed in (
        ({"event": "resumed", "pending": 50}, 0),
        ({**TRIGGER, "images": 50}, 50),
        (PLANNED, 0),
        (TRIGGER, 100),
        ({"event": "working", "images": 40}, 140),
        (TRIGGER, 200),
    ):
        bar(event)
        assert bar.progress.tasks[0].completed == completed
    assert (bar.progress.tasks[0].total, bar.progress.tasks[0].fields["failed"]) == (300, 6)
    assert bar.progress.tasks[0].description == "Embedding"
    assert "images/s, 6 failed" in str(bar.progress.columns[3](bar.progress.tasks[0]))


def test_the_log_is_a_line_of_json_per_event():
    log = io.StringIO()
    for event in (PLANNED, {"event": "working", "images": 3}, TRIGGER):
        write_event(log, event)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line.pop("time").endswith("+00:00") for line in lines] == [True, True]
    assert lines == [PLANNED, TRIGGER]


def test_a_summary_in_words():
    done = Summary("m@1", **FOUND, images=320, embedded=318, failed=2, similar=7, trigger_seconds=100.0, seconds=120.4)
    assert told(done) == (
        "Model m@1. Images: 300 new, 20 changed, 1 failed before, 5,000 done, 10 deleted.\n"
        "Embedded 318 (7 by a similar frame), 2 failed, in 0:02:00; 3.2 images/s.\n"
        "Rows of changed and deleted images are still in the table: --prune removes them."
    )
    assert told(Summary("m@1", **FOUND, expected_seconds=98_765.4)) == (
        "Model m@1. Images: 300 new, 20 changed, 1 failed before, 5,000 done, 10 deleted.\n"
        "Nothing is written. Expected time: 1 day, 3:26:05."
    )
    nothing = dict.fromkeys(FOUND, 0)
    assert told(Summary("m@1", **nothing, pruned=3, seconds=2.0)).endswith(
        "Embedded 0 (0 by a similar frame), 0 failed, in 2.0 s; nothing to do.\nPruned 3 rows."
    )
    assert duration(59.6) == "0:01:00"


@pytest.fixture
def in_session(spark, use_model, monkeypatch):
    """The command runs in the tests' session, which it may not stop."""
    asked = []

    class Kept:
        def __getattr__(self, name):
            return (lambda: None) if name == "stop" else getattr(spark, name)

    monkeypatch.setattr(cli, "session", lambda *words: asked.append(words) or Kept())
    yield asked
    spark.sql("DROP VIEW IF EXISTS told_search")
    spark.sql("DROP TABLE IF EXISTS told_embeddings")


@pytest.mark.slow
def test_the_command(spark, in_session, tmp_path):
    from tests.planted import plant

    plant(tmp_path / "once", sequences=2, frames=5)
    words = ["embed", "--source", str(tmp_path / "once"), "--table", "told_embeddings", "--model", "demo"]
    options = ["--images-per-trigger", "15", "--where", "camera = 'cam01'", "--events", str(tmp_path / "events")]
    done = CliRunner().invoke(cli.main, [*words, *options, "--warehouse", str(tmp_path), "--master", "local[2]"])
    assert done.exit_code == 0, done.output
    assert in_session == [("embed", "demo", tmp_path, "local[2]")]
    assert "Images: 10 new, 0 changed" in done.output and "Embedded 10 (0 by a similar frame), 0 failed" in done.output
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [event["event"] for event in events] == ["planned", "trigger", "finished"]
    foreseen = CliRunner().invoke(cli.main, [*words, "--dry-run"])
    assert "Images: 10 new" in foreseen.output and "Nothing is written. Expected time:" in foreseen.output
    refused = CliRunner().invoke(cli.main, [*words[:2], str(tmp_path), *words[3:]])
    assert refused.exit_code == 1 and f"Error: no folder {tmp_path}/data" in refused.output
