"""Shared by the tests: one Spark session with the extension, tiny models with random weights, a drawn tree."""

import os
import sys
from pathlib import Path

import pytest

from tests import object_store
from tests.skips import pytest_runtest_makereport, pytest_terminal_summary  # noqa: F401 - hooks, which pytest finds here

os.environ["PYSPARK_PYTHON"] = sys.executable  # workers run this environment, activated or not
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.update(object_store.ENVIRONMENT)
# Queries over few rows end before the JVM's second compiler has paid for itself: without it a third of all work is gone
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A session as a user starts it: `blip_udfs.builder()`, two cores."""
    import blip_udfs

    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        "spark.sql.session.timeZone": "UTC",
        "spark.log.level": "ERROR",
    }
    session = blip_udfs.builder().master("local[2]").config(map=settings).getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with a BLIP of 32 px, two layers of width 32 and random weights."""
    from tests.tiny_model import make

    return make(tmp_path_factory.mktemp("models") / "tiny", seed=0)


@pytest.fixture
def use_model(spark, tiny_model):
    """The session asks for the tiny model during a test."""
    spark.conf.set("spark.blip.model", str(tiny_model))
    yield tiny_model
    spark.conf.unset("spark.blip.model")


@pytest.fixture
def table(spark, use_model, request):
    """A name for the embedding job's table, of this test alone; the table and its view go with the test."""
    name = f"{request.node.name.split('[')[0]}_embeddings"
    yield name
    spark.sql(f"DROP VIEW IF EXISTS {name.removesuffix('_embeddings')}_search")
    spark.sql(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture(scope="session")
def once_tree(tmp_path_factory) -> Path:
    """A drawn ONCE tree: 6 drives of 4 frames, two cameras, small images."""
    from blip_udfs.draw.tree import draw_tree

    root = tmp_path_factory.mktemp("drawn") / "once"
    draw_tree(root, sequences=6, frames=4, cameras=["cam01", "cam03"], size=(320, 170), seed=7)
    return root


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    from tests.browser import CHROMIUM, Browser

    if CHROMIUM is None:
        pytest.skip("NO BROWSER: the gallery's page is not tested; apt-get install chromium")
    chromium = Browser(tmp_path_factory.mktemp("browser"))
    yield chromium
    chromium.close()
