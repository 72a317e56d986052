"""Ten wrong calls, each with the error that its user reads."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pyspark
import pytest

from blip_udfs.catalyst.build import jar
from blip_udfs.session import EXTENSION

SPARK_SQL = Path(pyspark.__file__).parent / "bin" / "spark-sql"
CALLS = [
    (
        "SELECT blip_itm(picture, 'a car') FROM embedded",
        "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `picture` cannot be "
        "resolved. Did you mean one of the following? [`image`, `embedding`].",
    ),
    (
        "SELECT blip_itm(1, 'a car')",
        '[DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "blip_itm(image, text)" due to data type mismatch: '
        'The first parameter requires the ("BINARY" or "STRING") type, however "1" has the type "INT".',
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
        "SELECT * FROM blip_search(TABLE(SELECT image FROM embedded), 'a car')",
        "blip_search: table: expected a column embedding ARRAY<FLOAT>, got image STRING",
    ),
]


@pytest.fixture(scope="module", autouse=True)
def embedded(spark):
    spark.sql("CREATE OR REPLACE TEMPORARY VIEW embedded AS SELECT 'x.jpg' AS image, array(1F) AS embedding")


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


@pytest.mark.slow
def test_a_jar_for_another_spark(tmp_path):
    other = tmp_path / "other.jar"
    with zipfile.ZipFile(jar()) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "blip_udfs/manifest.json":
                content = content.replace(pyspark.__version__.encode(), b"4.2.9", 1)
            target.writestr(name, content)
    here = pyspark.__version__
    assert (
        f"blip-udfs' jar was built for Spark 4.2.9, this is Spark {here}: build one for it with "
        f"'python -m blip_udfs.catalyst.build' beside pyspark {here}"
    ) in spark_sql("--jars", str(other), cwd=tmp_path)
