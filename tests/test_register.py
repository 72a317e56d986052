"""`register` in a session with the jar, which keeps its own functions, and in one without, which says what it lacks."""

import json
import subprocess
import sys
import warnings

import blip_udfs

BARE = """
import json, sys, warnings
from pyspark.sql import SparkSession
import blip_udfs
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
print(json.dumps({"said": said, "values": list(values)}))
spark.stop()
"""


def test_a_session_with_the_jar_keeps_the_jars_functions(spark):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blip_udfs.register(spark)
    assert "Arguments" in str(spark.sql("DESCRIBE FUNCTION EXTENDED blip_itm").collect())


def test_a_session_without_the_jar_gets_scalar_functions_and_says_once_what_it_lacks(tiny_model, tmp_path):
    words = [sys.executable, "-c", BARE, str(tiny_model)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["said"] == [
        "this session was started without blip-udfs' jar: the scalar functions are registered; read_once, blip_search "
        "and the cascade under ORDER BY blip_itm(...) DESC LIMIT k are not there in SQL. Start it with "
        "blip_udfs.builder(), or with the settings that 'blip-udfs conf' prints"
    ]
    assert printed["values"][0] == 16 and printed["values"][1].startswith("tiny@")
