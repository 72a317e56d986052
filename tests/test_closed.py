"""Closed means closed: a model that may not be loaded is refused with one sentence, whatever exists, in every mode."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from blip_udfs.blip.checkpoint import ModelError, find
from blip_udfs.files.doors import allowed_models

BLIP = str(Path(sys.executable).parent / "blip-udfs")


def refusal(name: str) -> str:
    with pytest.raises(ModelError) as error:
        find(name)
    return str(error.value).replace(name, "NAME")


def test_unset_is_any_and_empty_is_the_bundled_one(monkeypatch):
    monkeypatch.delenv("BLIP_ALLOWED_MODELS", raising=False)
    assert allowed_models() is None
    monkeypatch.setenv("BLIP_ALLOWED_MODELS", " , ")
    assert allowed_models() == ["demo"]
    assert find("demo").name == "demo"


def test_the_refusal_does_not_tell_what_exists(tmp_path, tiny_model, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: pytest.fail("the network was asked"))
    monkeypatch.setenv("BLIP_ALLOWED_MODELS", "")
    (tmp_path / "link").symlink_to(tiny_model)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    there = [
        str(tiny_model),
        f"file:{tiny_model}",
        f"{tmp_path}/x/../link",
        str(tmp_path / "link"),
        "/root",
        "/proc/1/root",
    ]
    missing = ["/no/such/folder", str(tmp_path / "loop"), "~nobody-at-all/x", "~", "a" * 300, "DEMO", "demo/", "./demo"]
    said = {refusal(name) for name in [*there, *missing, "Salesforce/blip-itm-base-coco"]}
    assert said == {
        "model 'NAME' is not allowed here, only demo; whoever runs the cluster can add it to BLIP_ALLOWED_MODELS on "
        "the executors"
    }


LOCAL = """
import blip_udfs
from blip_udfs import functions as BF
from pyspark.sql import functions as F
settings = {"spark.executorEnv.BLIP_READ_ROOTS": "", "spark.executorEnv.BLIP_ALLOWED_MODELS": "",
            "spark.ui.enabled": "false", "spark.log.level": "OFF", "spark.blip.model": "@model@"}
spark = blip_udfs.builder().master("local[1]").config(map=settings).getOrCreate()
def said(rows):
    try:
        return str(rows().collect())
    except Exception as error:
        return str(error)
for rows in (lambda: spark.sql("SELECT blip_model()"), lambda: spark.range(1).select(BF.blip_model())):
    print("models", "is not allowed here, only demo" in said(rows))
for rows in (lambda: spark.sql("SELECT blip_image_error('IMAGE')"),
             lambda: spark.range(1).select(BF.blip_image_error(F.lit("IMAGE")))):
    print("paths", "no path is read here" in said(rows))
"""


def test_doors_of_the_configuration_hold_in_local_mode_from_sql_and_from_dataframes(tmp_path, tiny_model):
    script = LOCAL.replace("@model@", str(tiny_model)).replace("IMAGE", str(tmp_path / "x.png"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BLIP_")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.split("\n")[-5:-1] == ["models True", "models True", "paths True", "paths True"], done.stderr


@pytest.mark.parametrize(("flags", "allowed"), [((), ""), (("--conf", "spark.blip.model=/models/a"), "/models/a,demo")])
def test_a_server_opens_the_model_that_it_was_started_with(monkeypatch, tmp_path, flags, allowed):
    from click.testing import CliRunner

    from blip_udfs.cli import main

    monkeypatch.delenv("BLIP_ALLOWED_MODELS", raising=False)
    monkeypatch.delenv("BLIP_READ_ROOTS", raising=False)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    started = []
    monkeypatch.setattr(os, "execve", lambda program, words, environment: started.append((words, environment)))
    CliRunner().invoke(main, ["thriftserver", "--warehouse", str(tmp_path / "w"), *flags], catch_exceptions=False)
    (words, environment) = started[0]
    assert environment["BLIP_ALLOWED_MODELS"] == allowed and environment["BLIP_READ_ROOTS"] == ""
    assert f"spark.executorEnv.BLIP_ALLOWED_MODELS={allowed}" in words
