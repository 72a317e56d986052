"""Damaged blobs through try_blip_itm and blip_image_error: each row has its score or its reason, and workers live."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import functions as F

from blip_udfs import functions as BF
from blip_udfs.blip.model import load
from tests.mutations import mutated

ROOT = Path(__file__).resolve().parent.parent
SLOWEST, HUNDREDS_OF_MB = 10, 8  # seconds of one blob; growth of a process that decodes them all
ALONE = """
import resource, sys, time
from blip_udfs.spark.batches import loaded
from blip_udfs.files.images import ImageError
from blip_udfs.blip.model import load
from tests.mutations import mutated
from tests.test_fuzz import features
model = load(sys.argv[1])
blobs = mutated(int(sys.argv[2]), 2026, features(model))
before, slowest, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0, 0
for blob in blobs:
    began = time.monotonic()
    try:
        loaded(blob, model)
    except ImageError:
        refused += 1
    slowest = max(slowest, time.monotonic() - began)
print(refused, slowest, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def features(model) -> list[bytes]:
    """Patch features of the model, as many as there are kinds of a usual image format."""
    size = model.image_size
    noise = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    made = zip(model.features(noise), ["float16", "int8"] * 2, strict=True)
    return [model.pack(each, dtype) for each, dtype in made]


def fuzz(spark, model, count: int, seed: int) -> tuple[int, int]:
    """Damages `count` blobs; how many were scored and how many refused, after a check of every row."""
    blobs = [(bytearray(blob),) for blob in mutated(count, seed, features(model))]
    rows = spark.createDataFrame(blobs, "image BINARY").repartition(4)
    scored = rows.select(BF.try_blip_itm("image", "a car").alias("score"), BF.blip_image_error("image").alias("why"))
    found = scored.collect()
    assert len(found) == count
    for row in found:
        assert (row.score is None) != (row.why is None), row
        assert row.score is None or 0 <= row.score <= 1 and math.isfinite(row.score)
        assert row.why is None or len(row.why) < 1000
    return sum(row.why is None for row in found), sum(row.why is not None for row in found)


def test_300_damaged_blobs(spark, use_model):
    scored, refused = fuzz(spark, load(str(use_model)), 300, seed=1)
    assert scored > 20 and refused > 100


@pytest.mark.endurance
def test_20000_damaged_blobs(spark, use_model):
    scored, refused = fuzz(spark, load(str(use_model)), 20_000, seed=2026)
    assert scored > 1000 and refused > 5000
    assert spark.range(4).select(F.lit(1)).count() == 4  # the session lives


@pytest.mark.slow
def test_no_damaged_blob_takes_long_or_much_memory(tiny_model, tmp_path):
    """The same blobs one by one, in a process of their own."""
    words = [sys.executable, "-c", ALONE, str(tiny_model), "20000"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    refused, slowest, megabytes = map(float, done.stdout.split())
    print(f"{refused:.0f} refused, the slowest {slowest:.2f} s, {megabytes:.0f} MB more")
    assert slowest < SLOWEST
    assert megabytes < 100 * HUNDREDS_OF_MB
