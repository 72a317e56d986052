"""A Connect server, and clients that have Connect's own packages alone: no torch, no model, no Java."""

import json
import os
import socket
import subprocess
import sys
from hashlib import sha256

import pytest

import blip_udfs
from blip_udfs import functions as BF
from blip_udfs.spark.session import conf
from tests.connect_client import Client
from tests.test_servers import SPARK_HOME, wait_for

pytestmark = pytest.mark.slow

TEXT = "a truck at night"
SQL = (
    f"SELECT sequence_id, frame_id, camera, blip_itm(image, '{TEXT}') AS score FROM read_once('{{tree}}') "
    "ORDER BY score DESC, frame_id, camera LIMIT 5"
)
CODE = """
import json, os, shutil, sys
from hashlib import sha256
from importlib.util import find_spec
from pyspark.sql import SparkSession
import blip_udfs
from blip_udfs import functions as BF

address, model, tree, text, query = sys.argv[1:]
every = "torch transformers tokenizers safetensors PIL cachetools jinja2 click rich sqlglot".split()
said = {"has": [name for name in every if find_spec(name)], "java": shutil.which("java") or os.environ.get("JAVA_HOME")}
spark = SparkSession.builder.remote(address).getOrCreate()
spark.conf.set("spark.blip.model", model)
said["session"] = type(spark).__module__
said["sql"] = [list(row) for row in spark.sql(query).collect()]
rows = blip_udfs.read_once(spark, tree, image_bytes=True).withColumn("embedding", BF.blip_image_embed("image"))
said["logits"] = [row[0] for row in rows.select(BF.blip_itm_logit("image", text)).collect()]
found = blip_udfs.search(rows, text, k=3, candidates=6)
said["search"] = [list(row) for row in found.select("sequence_id", "frame_id", "camera", "score").collect()]
try:
    gallery = blip_udfs.gallery(found, "Found")
    said["pictures"] = [sha256(card.picture).hexdigest() for card in gallery.sections[0][1]]
    said["page"] = gallery.html().count("data:image/jpeg;base64,")
except ImportError as error:
    said["without"] = str(error)
print(json.dumps(said))
spark.stop()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Connect server's address, in a process of its own, set up by the lines of `blip-udfs conf`."""
    folder = tmp_path_factory.mktemp("connect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listen = {"spark.connect.grpc.binding.address": "127.0.0.1", "spark.connect.grpc.binding.port": str(port)}
    settings = {"spark.sql.warehouse.dir": str(folder / "tables"), "spark.sql.session.timeZone": "UTC"}
    flags = [word for key, value in (conf() | settings | listen).items() for word in ("--conf", f"{key}={value}")]
    command = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", "local[2]", *flags]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    own = {"SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=os.environ | own)
        try:
            wait_for(port, process, folder / "log")
            yield f"sc://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def wanted(spark, tiny_model, once_tree):
    """The same by a classic session."""
    spark.conf.set("spark.blip.model", str(tiny_model))
    rows = blip_udfs.read_once(spark, str(once_tree), image_bytes=True)
    rows = rows.withColumn("embedding", BF.blip_image_embed("image"))
    found = blip_udfs.search(rows, TEXT, k=3, candidates=6)
    yield {
        "sql": [list(row) for row in spark.sql(SQL.format(tree=once_tree)).collect()],
        "logits": [row[0] for row in rows.select(BF.blip_itm_logit("image", TEXT)).collect()],
        "search": [list(row) for row in found.select("sequence_id", "frame_id", "camera", "score").collect()],
        "pictures": [sha256(card.picture).hexdigest() for card in blip_udfs.gallery(found).sections[0][1]],
    }
    spark.conf.unset("spark.blip.model")


@pytest.mark.parametrize("more", [[], ["pillow", "jinja2"]], ids=["alone", "with pictures"])
def test_a_client(server, wanted, tiny_model, once_tree, tmp_path, more):
    client = Client(tmp_path / "client", "pyspark[connect]", *more)
    words = [server, str(tiny_model), str(once_tree), TEXT, SQL.format(tree=once_tree)]
    said = json.loads(client.run(CODE, *words).splitlines()[-1])
    assert said["session"].startswith("pyspark.sql.connect")
    assert (said["has"], said["java"]) == (["PIL", "jinja2"] if more else [], None)
    assert len(said["sql"]) == 5 and len(said["search"]) == 3
    for name in ("sql", "search"):
        assert [row[:3] for row in said[name]] == [row[:3] for row in wanted[name]]
        assert [row[3] for row in said[name]] == pytest.approx([row[3] for row in wanted[name]], abs=1e-6)
    assert sorted(said["logits"]) == pytest.approx(sorted(wanted["logits"]), abs=1e-6)
    if more:
        assert (said["pictures"], said["page"]) == (wanted["pictures"], 3)
    else:
        assert said["without"] == (
            "gallery: expected Pillow and Jinja2 in this Python, got no Pillow; pip install pillow jinja2"
        )
