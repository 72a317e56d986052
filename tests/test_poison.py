"""Images that end or hang the worker which reads them: the embedding job says so in their rows, and ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted import plant

pytestmark = pytest.mark.slow

# What a decoder with a fault does, put into the workers by Python's own sitecustomize: not in the product
FAULTS = """
import os, signal, time
from PIL import Image
opened = Image.open
def open(file, *words, **named):
    data = file.getvalue()
    for mark, fault in FAULT.items():
        if data.endswith(mark):
            fault()
    return opened(file, *words, **named)
FAULT = {
    b"SEGFAULT": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    b"KILLED": lambda: os.kill(os.getpid(), signal.SIGKILL),
    b"EXIT": lambda: os._exit(3),
    b"HANG": lambda: time.sleep(3600),
}
Image.open = open
"""
JOB = """
import json, sys, blip_udfs
tree, model, folder, similar = sys.argv[1:]
settings = {"spark.blip.model": model, "spark.sql.warehouse.dir": f"{folder}/w", "spark.log.level": "OFF",
            "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.ui.showConsoleProgress": "false"}
spark = blip_udfs.builder().master("local[2]").config(map=settings).getOrCreate()
options = {"skip_similar": 0.0} if similar == "yes" else {}
summary = blip_udfs.embed(spark, tree, "t", images_per_trigger=12, **options)
rows = [[r.image, r.embedding is not None, r.error] for r in spark.table("t").collect()]
again = blip_udfs.embed(spark, tree, "t", images_per_trigger=12, **options)
print(json.dumps({"rows": rows, "failed": summary.failed, "images": summary.images, "again": again.images}))
"""


def embedded(tree: Path, model: Path, folder: Path, similar: str = "no") -> dict:
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(FAULTS)
    paths = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"BLIP_IMAGE_SECONDS": "3", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", JOB, str(tree), str(model), str(folder), similar]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def poison(image: Path, mark: str) -> str:
    image.write_bytes(image.read_bytes() + mark.encode())
    return str(image)


MORE = [pytest.param(*each, marks=pytest.mark.endurance) for each in ((("HANG",), "no"), (("KILLED",), "yes"))]


@pytest.mark.parametrize(("marks", "similar"), [(("SEGFAULT", "EXIT"), "no"), *MORE])
def test_the_job_goes_on_without_images_that_end_their_worker(tmp_path, tiny_model, marks, similar):
    images = plant(tmp_path / "tree", sequences=1, frames=8)
    poisoned = {poison(image, mark) for image, mark in zip(images[3::4], marks, strict=False)}
    found = embedded(tmp_path / "tree", tiny_model, tmp_path, similar)
    assert (found["images"], found["failed"], found["again"]) == (len(images), len(poisoned), 0)
    assert {image.removeprefix("file:") for image, _, _ in found["rows"]} == set(map(str, images))
    for image, is_embedded, error in found["rows"]:
        assert is_embedded == (image.removeprefix("file:") not in poisoned)
        assert (error is None) == is_embedded
        assert is_embedded or error.startswith("ends the worker that reads it") and error.endswith("SECONDS = 3")
