"""The embedding job on trees of a thousand images: new data, and damage in many ways."""

import re
from pathlib import Path

import numpy as np
import pytest

from blip_udfs import embed
from tests.embedded import by_image, check, expected
from tests.odd_images import ODD_IMAGES
from tests.planted import START, noise, plant, write

pytestmark = pytest.mark.endurance


@pytest.fixture
def table(spark, use_model):
    yield "scale_embeddings"
    spark.sql("DROP VIEW IF EXISTS scale_search")
    spark.sql("DROP TABLE IF EXISTS scale_embeddings")


def test_200_added_20_changed_10_deleted(spark, table, tiny_model, tmp_path):
    images = plant(tmp_path, sequences=20, frames=50)
    first = embed(spark, str(tmp_path), table)
    assert (first.new, first.embedded) == (2000, 2000)
    chosen = np.random.default_rng(0).permutation(len(images))
    changed, deleted = chosen[:20], chosen[20:30]
    added = [tmp_path / "data" / f"{20 + n // 100:06d}" / "cam01" / f"{START + 500 * n}.jpg" for n in range(200)]
    for number, image in enumerate(added):
        write(image, noise(10_000 + number))
    for place in changed:
        write(images[place], noise(20_000 + int(place)), later=60)
    for place in deleted:
        images[place].unlink()
    second = embed(spark, str(tmp_path), table)
    assert (second.new, second.changed, second.deleted, second.done_before) == (200, 20, 10, 1970)
    assert (second.images, second.embedded) == (220, 220)
    for name, run in (("2,000 new", first), ("220 of 2,190", second)):
        print(f"{name}: {run.seconds} s, of which triggers {run.trigger_seconds} s, {run.images} images")
    third = embed(spark, str(tmp_path), table, prune=True)
    assert (third.images, third.pruned) == (0, 30)
    kept = [image for place, image in enumerate(images) if place not in deleted]
    check(by_image(spark.table(table)), expected(tiny_model, [*kept, *added]))


def test_100_of_1000_damaged(spark, table, tiny_model, tmp_path):
    images = plant(tmp_path, sequences=10, frames=50)
    ways = [odd for odd in ODD_IMAGES if odd.error and "patch features" not in odd.error]
    assert len(ways) >= 12
    places = np.random.default_rng(3).choice(len(images), 100, replace=False)
    damaged = {str(images[place]): ways[number % len(ways)] for number, place in enumerate(places)}
    for image, odd in damaged.items():
        write(Path(image), odd.data)
    summary = embed(spark, str(tmp_path), table)
    assert (summary.images, summary.failed, summary.embedded) == (1000, 100, 900)
    rows = by_image(spark.table(table))
    for image, odd in damaged.items():
        (row,) = rows.pop(image)
        assert row.embedding is None and re.search(odd.error, row.error), (odd.name, row.error)
    check(rows, expected(tiny_model, set(map(str, images)) - set(damaged)))
