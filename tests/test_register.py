"""`register` in a session with the jar, which keeps its own functions, and in one without, which says what it lacks."""

import json
import subprocess
import sys
import warnings

import pytest

import blip_udfs
from blip_udfs import functions as BF
from blip_udfs.spark import extension
from blip_udfs.spark import session as session_module
from tests.test_v2 import DERBY

BARE = """
KEY = ["sequence_id", "frame_id", "camera"]
import json, sys, warnings
from pyspark.sql import SparkSession
import blip_udfs
from blip_udfs import functions as BF
from blip_udfs.spark.extension import EXTENSION
builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
spark = builder.config("spark.sql.extensions", EXTENSION).getOrCreate()  # named, but its jar is not there
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("default")
    for _ in range(2):
        blip_udfs.register(spark)
spark.conf.set("spark.blip.model", sys.argv[1])
values = spark.sql("SELECT size(blip_text_embed('a bus')), blip_model()").first()
said = [str(each.message) for each in said if each.category is UserWarning]
frames = blip_udfs.read_once(spark, sys.argv[2])
embedded = frames.withColumn("embedding", BF.blip_image_embed("image"))
found = blip_udfs.search(embedded, "a truck at night", k=4, candidates=8)
rows = {"frames": frames.select(*KEY, "weather", "classes"), "found": found.select(*KEY, "score")}
rows = {name: [list(row) for row in df.collect()] for name, df in rows.items()}
print(json.dumps({"said": said, "values": list(values), **rows}))
spark.stop()
"""
KEY = ["sequence_id", "frame_id", "camera"]


def test_a_session_with_the_jar_keeps_the_jars_functions(spark):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blip_udfs.register(spark)
    assert "Arguments" in str(spark.sql("DESCRIBE FUNCTION EXTENDED blip_itm").collect())


def test_a_session_whose_catalog_is_another_keeps_them_too(spark):
    session = spark.newSession()
    for end, value in DERBY.items():
        session.conf.set(f"spark.sql.catalog.derby{end}", value)
    session.sql("USE derby")
    assert not session.sql("SHOW FUNCTIONS LIKE 'blip_search'").collect()  # which is why it is not asked
    assert extension.knows(session, "blip_search") and not extension.knows(session, "blip_no_such")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        blip_udfs.register(session)


def test_a_schema_that_may_not_be_seen_hides_no_function(spark, monkeypatch):
    asked = spark.sql

    def refused(statement):
        return asked(statement.replace("spark_catalog.default", "spark_catalog.no_such_schema"))

    monkeypatch.setattr(spark, "sql", refused)
    assert extension.knows(spark, "blip_search") and not extension.knows(spark, "blip_no_such")


def test_a_jvm_that_runs_without_the_jar_is_told(spark, monkeypatch):
    from pyspark.sql import SparkSession

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        blip_udfs.configure(SparkSession.Builder())
    monkeypatch.setattr(session_module, "EXTENSION", "org.example.None")
    with pytest.warns(UserWarning, match="Spark runs in this process already, without blip-udfs' jar"):
        blip_udfs.configure(SparkSession.Builder())


def test_a_session_without_the_jar_says_once_what_it_lacks_and_has_the_rest(spark, use_model, once_tree, tmp_path):
    words = [sys.executable, "-c", BARE, str(use_model), str(once_tree)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["said"] == [
        "this session was started without blip-udfs' jar: the scalar functions are registered; read_once, blip_search "
        "and the cascade under ORDER BY blip_itm(...) DESC LIMIT k are not there in SQL. Start it with "
        "blip_udfs.builder(), or with the settings that 'blip-udfs conf' prints"
    ]
    assert printed["values"][0] == 16 and printed["values"][1].startswith("tiny@")

    frames = blip_udfs.read_once(spark, str(once_tree))
    ours = frames.select(*KEY, "weather", "classes").collect()
    assert sorted(printed["frames"]) == sorted(map(list, ours))
    embedded = frames.withColumn("embedding", BF.blip_image_embed("image"))
    found = blip_udfs.search(embedded, "a truck at night", k=4, candidates=8).collect()
    assert [row[:3] for row in printed["found"]] == [[row[key] for key in KEY] for row in found]
    assert [row[3] for row in printed["found"]] == pytest.approx([row.score for row in found], abs=1e-6)
