"""A model stays: a worker that starts after another was ended has it at birth, and computes the same."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from types import SimpleNamespace

import psutil
import pytest

from blip_udfs.blip import checkpoint
from blip_udfs.blip.checkpoint import Checkpoint, find
from blip_udfs.files import notes
from blip_udfs.measure.bench_footprint import workers
from blip_udfs.spark import handed

BORN = 90  # seconds in which the daemon has loaded a tiny model, on a machine that does much else


def held(spark) -> dict:
    """Of the worker that takes the next task: its process, and its models by label."""

    def of_worker(_):
        import json
        import os
        import sys

        module = sys.modules.get("blip_udfs.blip.model")
        models = {model.label: id(model) for model in module._models.values()} if module else {}
        return json.dumps([os.getpid(), models])

    from pyspark.sql import functions as F

    pid, models = json.loads(spark.range(1).select(F.udf(of_worker, "string", useArrow=False)("id")).first()[0])
    return {"pid": pid, "models": models}


def end_workers() -> None:
    """As Spark does when they have been idle for a minute."""
    for worker in workers():
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    while workers():
        time.sleep(0.05)


def newborn(spark, label: str) -> dict:
    """A worker that has the model at birth."""
    before = time.monotonic()
    while time.monotonic() - before < BORN:
        end_workers()
        born = held(spark)
        if label in born["models"]:
            return born
        time.sleep(1)
    raise AssertionError(f"no worker is born with {label}, but with {born['models']}")


def ask(spark, model, text: str = "a car") -> tuple[str, list[float]]:
    """Label and embedding."""
    spark.conf.set("spark.blip.model", str(model))
    return tuple(spark.sql(f"SELECT blip_model(), blip_text_embed('{text}') FROM range(1)").first())


@pytest.fixture
def session(spark):
    yield spark
    spark.conf.unset("spark.blip.model")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from tests.tiny_model import make

    folder = tmp_path_factory.mktemp("stays")
    return [make(folder / f"tiny{seed}", seed) for seed in range(3)]


def test_the_next_worker_has_the_model_at_birth_and_loads_none(session, models):
    first = ask(session, models[0])
    born = newborn(session, first[0])
    assert ask(session, models[0]) == first
    assert held(session) == born  # the very object that it was born with: nothing was loaded, nothing put out


@pytest.mark.slow
def test_of_three_models_the_last_two_stay_and_one_that_was_put_out_comes_back(session, models):
    labels = []
    for model in models:
        labels.append(ask(session, model)[0])
        born = newborn(session, labels[-1])
    assert sorted(born["models"]) == sorted(labels[1:])
    ask(session, models[0])
    assert sorted(newborn(session, labels[0])["models"]) == sorted([labels[0], labels[2]])


@pytest.mark.slow
def test_a_file_that_changed_is_read_anew_and_then_stays(session, models, tmp_path):
    copy = shutil.copytree(models[0], tmp_path / "copy")
    old, _ = ask(session, copy)
    newborn(session, old)
    file = copy / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"image_mean": [0.5, 0.5, 0.5]}))
    new, _ = ask(session, copy)
    assert new == f"copy@{find(str(copy)).digest()}" != old
    newborn(session, new)


DAEMON = """
import json, os, sys
from blip_udfs.spark import daemon
daemon.take("demo", "nowhere", "float32")
daemon.take("/no/such/folder", "nowhere", "float32")
import torch
print(json.dumps({
    "imported": [name for name in ("pandas", "pyarrow", "openvino") if name in sys.modules],
    "threads": len(os.listdir("/proc/self/task")),
    "cuda": torch.cuda.is_initialized(),
}))
"""


def test_the_daemon_starts_no_thread_and_survives_what_it_cannot_load():
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # as Spark gives it
    done = subprocess.run([sys.executable, "-c", DAEMON], capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout) == {"imported": [], "threads": 1, "cuda": False}
    stays, does_not = done.stderr.splitlines()
    assert stays == f"blip_udfs: demo@{find('demo').digest()} stays: workers that start from now on have it"
    assert does_not.startswith("blip_udfs: /no/such/folder does not stay, each worker loads it: ModelError: ")


@pytest.mark.parametrize(("device", "parent", "sent"), [("cpu", True, 1), ("cuda", True, 0), ("cpu", False, 0)])
def test_only_a_model_on_the_cpu_is_handed_and_only_to_its_own_daemon(monkeypatch, device, parent, sent):
    messages, signals = [], []
    daemon = os.getppid() if parent else os.getpid()
    monkeypatch.setattr(handed, "_daemon", (daemon, SimpleNamespace(send=messages.append)))
    monkeypatch.setattr(os, "kill", lambda *words: signals.append(words))
    model = SimpleNamespace(device=SimpleNamespace(type=device), dtype="torch.bfloat16")
    handed.hand("a/b", "/models/b", model)
    assert [json.loads(message) for message in messages] == [["a/b", "/models/b", "bfloat16"]] * sent
    assert len(signals) == sent


def test_what_is_awaited_is_said_before_anything_large_is_imported():
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from blip_udfs.spark.calls import bound\n"
        "bound('blip_model', b'\"string\"', '{\"spark.blip.model\": \"/models/base\"}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    first, *rest = done.stderr.splitlines()
    assert first == "blip_udfs: loading /models/base and what it runs on ..."
    assert "pandas" in rest[-1]


@pytest.fixture
def aged(tiny_model, tmp_path, monkeypatch) -> Checkpoint:
    """A model that is large enough and old enough for its digest to be noted."""
    monkeypatch.setattr(checkpoint, "LARGE", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = find(str(shutil.copytree(tiny_model, tmp_path / "model")))
    age(files, 60)
    return files


def age(files: Checkpoint, seconds: float) -> None:
    for file in files.files:
        os.utime(file, (time.time() - seconds,) * 2)


def test_a_digest_is_read_once_per_machine_until_a_file_changes(aged, monkeypatch):
    reads = []
    of_content = Checkpoint._read_digest
    monkeypatch.setattr(Checkpoint, "_read_digest", lambda files: reads.append(1) or of_content(files))
    before = aged.digest()
    assert (aged.digest(), len(reads)) == (before, 1)
    data = bytearray(aged.weights[0].read_bytes())
    data[-1] ^= 1
    aged.weights[0].write_bytes(data)
    assert aged.digest() != before and len(reads) == 2  # just changed, and so not noted
    age(aged, 60)
    after = aged.digest()
    assert (aged.digest() == after != before, len(reads)) == (True, 3)


def test_where_no_note_can_be_left_a_digest_is_read_each_time(aged, tmp_path, monkeypatch):
    expected = aged.digest()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert aged.digest() == expected
    assert notes.read("digests", str(aged.folder)) is None
