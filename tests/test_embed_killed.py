"""The embedding job on a small cluster, killed at random moments: each image once, as if nothing had happened."""

import random
import subprocess
from pathlib import Path

import pytest

from blip_udfs import functions as BF
from blip_udfs import read_once
from tests.embedded import by_image, check
from tests.killed import COMMAND, Run

pytestmark = pytest.mark.endurance

IMAGES, PER_TRIGGER = 2000, 100


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    from blip_udfs.draw.tree import draw_tree

    root = tmp_path_factory.mktemp("killed") / "once"
    draw_tree(root, sequences=25, frames=IMAGES // 50, cameras=["cam01", "cam03"], size=(192, 102), seed=11)
    return root


@pytest.fixture(scope="module")
def undisturbed(spark, tree, tiny_model) -> dict[str, list[float]]:
    spark.conf.set("spark.blip.model", str(tiny_model))
    rows = read_once(spark, str(tree)).select("image", BF.blip_image_embed("image").alias("embedding")).collect()
    spark.conf.unset("spark.blip.model")
    assert len(rows) == IMAGES
    return {row.image.removeprefix("file:"): row.embedding for row in rows}


def words(tree: Path, model: Path) -> list[str]:
    shared = ["--master", "local-cluster[2,1,2048]", "--images-per-trigger", str(PER_TRIGGER)]
    return [*shared, "--source", str(tree), "--model", str(model)]


@pytest.mark.parametrize("seed", range(5))
def test_killed_and_run_again_until_done(spark, seed, tree, undisturbed, tiny_model, tmp_path):
    chance, killed = random.Random(seed), []
    run = Run(tmp_path, *words(tree, tiny_model))
    for kind, word in (("worker", "pyspark.daemon"), ("executor", "CoarseGrainedExecutorBackend")):
        assert run.after(2 if kind == "worker" else 4, chance.uniform(0, 2))
        run.kill_one(chance, word)
        killed.append(kind)
    for number in range(3):
        run = run if number == 0 else Run(tmp_path, *words(tree, tiny_model))
        if run.after(chance.randint(5, 7) if number == 0 else chance.randint(0, 4), chance.uniform(0, 5)):
            run.kill_driver()
            killed.append("driver")
    last = Run(tmp_path, *words(tree, tiny_model))
    assert last.process.wait() == 0, (tmp_path / "output").read_text()[-3000:]
    assert killed == ["worker", "executor", "driver", "driver", "driver"]
    check(by_image(spark.read.parquet(str(tmp_path / "warehouse" / "tables" / "once_embeddings"))), undisturbed)
    assert counted(tmp_path / "warehouse") == [str(IMAGES), str(IMAGES)]
    embedded = sum(event["images"] for event in last.events() if event["event"] == "trigger")
    print(f"seed {seed}: {embedded - IMAGES} images embedded twice")
    assert embedded - IMAGES <= 3 * PER_TRIGGER


def counted(warehouse: Path) -> list[str]:
    """Rows and images by the catalog, as `blip-udfs sql` shows them."""
    query = "SELECT count(*), count(DISTINCT image) FROM once_embeddings"
    command = [COMMAND, "sql", "--warehouse", str(warehouse), "-e", query]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return shown.split()[-2:]
