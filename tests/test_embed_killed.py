"""The embedding job on a small cluster, killed at random moments: each image once, as if nothing had happened."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from blip_udfs import functions as BF
from blip_udfs import read_once
from tests.embedded import by_image, check

pytestmark = pytest.mark.endurance

COMMAND = [str(Path(sys.executable).parent / "blip-udfs"), "embed", "--master", "local-cluster[2,1,2048]"]
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


class Run:
    """One start of the command, and what can be killed of it."""

    def __init__(self, folder: Path, tree: Path, model: Path):
        self.log = folder / "events.jsonl"
        self.before = len(self.events())
        words = ["--source", str(tree), "--model", str(model), "--warehouse", str(folder / "warehouse")]
        words += ["--images-per-trigger", str(PER_TRIGGER), "--events", str(self.log)]
        with (folder / "output").open("a") as output:
            environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"}
            self.process = subprocess.Popen([*COMMAND, *words], stdout=output, stderr=output, env=environment)

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def after(self, events: int, seconds: float) -> bool:
        """Waits until so many events were logged by this run, and a while; False if it ended before."""
        while self.process.poll() is None and len(self.events()) - self.before < events:
            time.sleep(0.1)
        time.sleep(seconds)
        return self.process.poll() is None

    def descendants(self, word: str = "") -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in found if word in " ".join(command_of(each))]

    def kill_one(self, chance: random.Random, word: str) -> None:
        while self.process.poll() is None and not (found := self.descendants(word)):
            time.sleep(0.1)
        chance.choice(found).kill()

    def kill_driver(self) -> None:
        """The JVM first, then the Python that started it; executors that lose their driver end by themselves."""
        children = self.descendants()
        for driver in self.descendants("org.apache.spark.deploy.SparkSubmit"):
            driver.kill()
        self.process.kill()
        self.process.wait()
        _, left = psutil.wait_procs(children, timeout=60)
        for each in left:
            each.kill()


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


@pytest.mark.parametrize("seed", range(5))
def test_killed_and_run_again_until_done(spark, seed, tree, undisturbed, tiny_model, tmp_path):
    chance, killed = random.Random(seed), []
    run = Run(tmp_path, tree, tiny_model)
    for kind, word in (("worker", "pyspark.daemon"), ("executor", "CoarseGrainedExecutorBackend")):
        assert run.after(2 if kind == "worker" else 4, chance.uniform(0, 2))
        run.kill_one(chance, word)
        killed.append(kind)
    for number in range(3):
        run = run if number == 0 else Run(tmp_path, tree, tiny_model)
        if run.after(chance.randint(5, 7) if number == 0 else chance.randint(0, 4), chance.uniform(0, 5)):
            run.kill_driver()
            killed.append("driver")
    last = Run(tmp_path, tree, tiny_model)
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
    words = [COMMAND[0], "sql", "--warehouse", str(warehouse), "-e", query]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return shown.split()[-2:]
