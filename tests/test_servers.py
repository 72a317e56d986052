"""The same query from spark-sql, beeline over JDBC, a Connect client and PySpark: the same rows and scores."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark
import pytest

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
SPARK_HOME = Path(pyspark.__file__).parent
QUERY = (
    "SELECT sequence_id, frame_id, camera, blip_itm(image, 'a truck at night') AS score "
    "FROM read_once('{tree}') ORDER BY score DESC, frame_id, camera LIMIT 5"
)
CLIENT = """
import json, sys
from pyspark.sql import SparkSession
from blip_udfs import functions as BF, read_once
from blip_udfs.spark.session import conf
tree, model, query = sys.argv[1:]
spark = SparkSession.builder.remote("local[2]").config(map=conf()).getOrCreate()
spark.conf.set("spark.blip.model", model)
rows = [list(row) for row in spark.sql(query).collect()]
scored = read_once(spark, tree).withColumn("score", BF.blip_itm("image", "a truck at night"))
best = scored.orderBy("score", ascending=False).select("score").head(5)
print(json.dumps({"client": type(spark).__module__, "rows": rows, "best": [row.score for row in best]}))
spark.stop()
"""


def shell(*words: str, cwd: Path) -> str:
    return done_by(*words, cwd=cwd).stdout


def done_by(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def rows_of(text: str) -> list[list]:
    """Tab-separated lines of four fields that begin with a sequence."""
    lines = [line.split("\t") for line in text.splitlines() if line[:6].isdigit()]
    return [[*line[:3], float(line[3])] for line in lines]


@pytest.fixture(scope="module")
def expected(spark, once_tree, tiny_model) -> list[list]:
    spark.conf.set("spark.blip.model", str(tiny_model))
    rows = spark.sql(QUERY.format(tree=once_tree)).collect()
    spark.conf.unset("spark.blip.model")
    assert len(rows) == 5
    return [list(row) for row in rows]


def check(got: list[list], expected: list[list]) -> None:
    assert [row[:3] for row in got] == [row[:3] for row in expected]
    assert [row[3] for row in got] == pytest.approx([row[3] for row in expected], abs=1e-6)


def test_spark_sql(once_tree, tiny_model, expected, tmp_path):
    statements = f"SET spark.blip.model={tiny_model}; {QUERY.format(tree=once_tree)};"
    check(rows_of(shell(str(BIN / "blip-udfs"), "sql", "--warehouse", "w", "-e", statements, cwd=tmp_path)), expected)


def test_spark_sql_says_what_a_promise_took(once_tree, tiny_model, tmp_path):
    """Of 48 rows nothing can be promised."""
    made = f"SELECT *, blip_image_embed(image) AS embedding FROM read_once('{once_tree}')"
    query = "SELECT 'found', count(*) FROM embedded WHERE blip_itm(image, 'a truck at night') >= 0"
    statements = (
        f"SET spark.blip.model={tiny_model}; CREATE TABLE embedded USING parquet AS {made}; "
        f"SET spark.blip.filter.recall=0.9; {query};"
    )
    done = done_by(str(BIN / "blip-udfs"), "sql", "--warehouse", "w", "-e", statements, cwd=tmp_path)
    assert "found\t48" in done.stdout.splitlines()
    line = r"find all: 48 rows, \d+ in the samples, 48 to be scored in all, no bound is proven"
    assert len(re.findall(f"WARN FindAllReport: {line}, so that every row is scored$", done.stderr, re.M)) == 1


@pytest.fixture(scope="module")
def thrift(tmp_path_factory, once_tree, tiny_model):
    """A Thrift server started by the command line, which may load the tiny model; its JDBC address."""
    doors = {"BLIP_READ_ROOTS": str(once_tree), "BLIP_ALLOWED_MODELS": f"demo,{tiny_model}"}
    with thrift_server(tmp_path_factory.mktemp("thrift"), **doors) as (address, _):
        yield address


@contextmanager
def thrift_server(folder: Path, *flags: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """A Thrift server with these variables: its JDBC address, and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "log").open("w") as log:
        command = [str(BIN / "blip-udfs"), "thriftserver", "--warehouse", "w", "--port", str(port), *flags]
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=os.environ | environment)
        try:
            wait_for(port, server, folder / "log")
            yield f"jdbc:hive2://127.0.0.1:{port}", server
        finally:
            server.terminate()
            server.wait(60)


def wait_for(port: int, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise AssertionError(log.read_text())


def beeline(address: str, *statements: str, cwd: Path) -> str:
    words = [word for statement in statements for word in ("-e", statement)]
    return shell(str(SPARK_HOME / "bin" / "beeline"), "-u", address, "--outputformat=tsv2", *words, cwd=cwd)


def test_beeline(thrift, once_tree, tiny_model, expected, tmp_path):
    statements = f"SET spark.blip.model={tiny_model};", QUERY.format(tree=once_tree) + ";"
    check(rows_of(beeline(thrift, *statements, cwd=tmp_path)), expected)


def test_a_server_that_names_no_root_reads_no_path(once_tree, tmp_path):
    image = next(once_tree.rglob("*.jpg"))
    query = f"SELECT blip_image_error('{image}'), blip_image_error(content) IS NULL FROM binaryFile.`{image}`;"
    with thrift_server(tmp_path) as (address, _):
        shown = beeline(address, query, cwd=tmp_path)
    assert (
        f"{image}: no path is read here, for BLIP_READ_ROOTS names no folder; whoever runs the server can start it "
        "with BLIP_READ_ROOTS=/folder/of/images in its environment\ttrue"
    ) in shown


def test_functions_describe_themselves_over_jdbc(thrift, tmp_path):
    shown = beeline(thrift, "SHOW FUNCTIONS LIKE '*blip*';", "DESCRIBE FUNCTION EXTENDED blip_itm;", cwd=tmp_path)
    from blip_udfs.spark.catalog import CATALOG

    for function in CATALOG:
        assert function.name in shown or function.name == "read_once"
    for part in ("blip_itm(image, text) - The probability", "* text - STRING: a sentence", "Since: 0.1.0"):
        assert part in shown


def test_a_connect_client(once_tree, tiny_model, expected, tmp_path):
    words = [sys.executable, "-c", CLIENT, str(once_tree), str(tiny_model), QUERY.format(tree=once_tree)]
    got = json.loads(shell(*words, cwd=tmp_path).splitlines()[-1])
    assert got["client"].startswith("pyspark.sql.connect")
    check(got["rows"], expected)
    assert got["best"] == pytest.approx([row[3] for row in expected], abs=1e-6)
