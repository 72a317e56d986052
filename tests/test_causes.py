"""The command says the cause of an error, in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from blip_udfs.spark.causes import cause
from blip_udfs.spark.session import check_workers
from tests.planted import plant


def test_the_cause_is_the_workers_own_error():
    text = (
        "Job aborted due to stage failure: Task 0 failed\nTraceback (most recent call last):\n  File x, line 1\n"
        "blip_udfs.blip.checkpoint.ModelError: model 'x': expected demo\n\n\tat org.apache.spark.Task(x.scala:1)\n"
        "Caused by: java.lang.RuntimeException: other"
    )
    assert cause(Exception(text)) == "model 'x': expected demo"
    assert cause(Exception("\n[TABLE_OR_VIEW_NOT_FOUND] no t\n\tat x")) == "[TABLE_OR_VIEW_NOT_FOUND] no t"


@pytest.mark.slow
def test_embed_says_one_line_of_a_wrong_model(tmp_path):
    plant(tmp_path / "tree", sequences=1, frames=1)
    command = [str(Path(sys.executable).parent / "blip-udfs"), "embed", "--source", str(tmp_path / "tree")]
    command += ["--model", "/no/such", "--warehouse", str(tmp_path / "w")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"COLUMNS": "200"})
    said = done.stderr[done.stderr.index("Error: ") :]
    assert done.returncode == 1
    assert said.startswith("Error: model '/no/such': expected demo, a folder that exists")
    assert "Traceback" not in done.stderr and "\tat " not in done.stderr


def test_workers_that_import_the_package_pass(spark):
    check_workers(spark)


def test_workers_that_cannot_import_it_are_named(spark, monkeypatch):
    import builtins

    real = builtins.__import__

    def fail(name, *words, **named):
        if name.startswith("blip_udfs.spark.batches"):
            raise ImportError("No module named 'blip_udfs'")
        return real(name, *words, **named)

    class Rows:
        def __init__(self, value=None):
            self.value = value

        def range(self, _):
            return self

        def select(self, call):
            return Rows(call)

        def collect(self):
            return [[self.value]]

    def run_here(function, returns):
        return lambda _: function(0)

    monkeypatch.setattr("pyspark.sql.functions.udf", run_here)
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(RuntimeError, match="the workers' Python cannot import blip_udfs: No module named 'blip_udfs'"):
        check_workers(Rows())


@pytest.mark.endurance
def test_statements_for_spark_sql_say_the_cause_last_and_traces_only_when_asked(tmp_path):
    statements = "SET spark.blip.model=/nowhere; SELECT blip_text_embed('a car')"
    said = "model '/nowhere': expected demo, a folder that exists, or a hub id such as organisation/model"

    def ran(*flags: str) -> list[str]:
        words = [str(Path(sys.executable).with_name("blip-udfs")), "sql", "--warehouse", "w", *flags, "-e", statements]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300)
        assert done.returncode == 1
        return done.stderr.splitlines()

    quiet = ran()
    assert quiet[-1] == f"Error: {said} (--verbose shows the trace)"
    assert not any(line.startswith(("\tat ", "  File ", "Traceback")) for line in quiet) and len(quiet) < 20
    traced = ran("--verbose")
    assert any(line.startswith("\tat ") for line in traced) and any("Traceback" in line for line in traced)
