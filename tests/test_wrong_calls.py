"""Ten wrong calls, each with the error that its user reads."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from blip_udfs.spark.catalyst.build import jar
from blip_udfs.spark.extension import EXTENSION

SPARK_SQL = Path(pyspark.__file__).parent / "bin" / "spark-sql"
CALLS = [
    (
        "SELECT blip_itm(picture, 'a car') FROM embedded",
        "with name `picture` cannot be resolved. Did you mean one of the following? [`image`, `embedding`].",
    ),
    (
        "SELECT blip_itm(1, 'a car')",
        ' requires the ("BINARY" or "STRING") type, however "1" has the type "INT".',
    ),
    (
        "SELECT blip_itm(image, 'a car', 3) FROM embedded",
        "[WRONG_NUM_ARGS.WITHOUT_SUGGESTION] The `blip_itm` requires 2 parameters but the actual number is 3.",
    ),
    (
        "SELECT * FROM blip_search('embedded', NULL)",
        "blip_search: query: expected a sentence, got NULL",
    ),
    (
        "SELECT * FROM blip_search('embedded', 'a car', k => 0)",
        "blip_search: k: expected a whole number, 1 or more, got 0",
    ),
    (
        "SELECT * FROM blip_search('embedded', 'a car', candidates => -5)",
        "blip_search: candidates: expected a whole number, 0 or more, got -5",
    ),
    (
        "SELECT * FROM blip_search('embedded', 'a car', k => 3, K => 5)",
        "blip_search: k: expected it once, got it twice",
    ),
    (
        "SELECT * FROM blip_search('embedded', 'a car', query => 'a truck')",
        "blip_search: query: expected it once, got it twice",
    ),
    (
        "SELECT * FROM blip_search('embedded', 'a car', k => x + 1)",
        "with name `x` cannot be resolved.",
    ),
    (
        "SELECT * FROM blip_search('embedded', 'a car', k => (SELECT 1))",
        "blip_search: k: expected a constant, got (SELECT 1)",
    ),
    (
        "SELECT * FROM blip_search('embedded', 'a car', k => 10.0)",
        "blip_search: k: expected a whole number, 1 or more, got 10.0",
    ),
    (
        "SELECT * FROM blip_search('embedded', 'a car', k => '10')",
        "blip_search: k: expected a whole number, 1 or more, got '10'",
    ),
    (
        "SELECT * FROM blip_search('embedded', 'a car', k => 5000000000L)",
        "blip_search: k: expected a whole number, 1 or more, got 5000000000L",
    ),
    (
        "SELECT * FROM blip_search(TABLE(SELECT image FROM embedded), 'a car')",
        "blip_search: table: expected a column embedding ARRAY<FLOAT>, got image STRING",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def embedded(spark):
    spark.sql("CREATE OR REPLACE TEMPORARY VIEW embedded AS SELECT 'x.jpg' AS image, array(1F) AS embedding")


@pytest.mark.parametrize("k", ["5", "5L", "5S", "5Y", "2 + 3"])
def test_any_whole_number_is_one(spark, k):
    plan = spark.sql(f"SELECT * FROM blip_search('embedded', 'a car', k => {k})")._jdf.queryExecution().analyzed()
    assert "GlobalLimit 5" in plan.toString()


@pytest.mark.parametrize(("query", "message"), CALLS, ids=[query[:50] for query, _ in CALLS])
def test_a_wrong_call(spark, query, message):
    with pytest.raises(Exception, match=re.escape(message)):
        spark.sql(query).collect()


def test_an_unknown_model(spark):
    spark.conf.set("spark.blip.model", "/models/none")
    message = "model '/models/none': expected demo, a folder that exists, or a hub id such as organisation/model"
    try:
        with pytest.raises(Exception, match=re.escape(message)):
            spark.sql("SELECT blip_text_embed('a')").collect()
    finally:
        spark.conf.unset("spark.blip.model")


def spark_sql(*flags: str, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK")}
    words = [str(SPARK_SQL), "--conf", f"spark.sql.extensions={EXTENSION}", *flags, "-e", "SELECT blip_text_embed('a')"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=200)
    assert done.returncode
    return done.stdout + done.stderr


@pytest.mark.slow
def test_an_interpreter_without_the_package(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    printed = spark_sql("--jars", str(jar()), "--conf", f"spark.pyspark.python={python}", cwd=tmp_path)
    assert (
        f"The workers' Python, {python}, cannot import blip_udfs: ModuleNotFoundError: No module named 'blip_udfs'. "
        f"Install it there with '{python} -m pip install blip-udfs', or name another interpreter with "
        "--conf spark.pyspark.python=..."
    ) in printed
