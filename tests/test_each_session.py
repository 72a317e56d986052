"""What is true in one session is in all: the jar's, spark-sql's, JDBC's, Connect's, and one that only registered."""

import json
import subprocess
import sys

import pytest

from tests.plans import evaluations
from tests.test_four_doors import N, rows, scores, text  # noqa: F401  the table of two models and changed images
from tests.test_servers import BIN, beeline, shell, thrift_server
from tests.tiny_model import make

pytestmark = pytest.mark.slow
TEXT = "a truck at night"
ITM = f"blip_itm(image, '{TEXT}')"
SHOWN = "concat_ws('|', '{tag}', substring_index(image, '/', -4), version, round({score}, 6)) AS line"
BEST = "ORDER BY s DESC LIMIT 4"
SELF_JOIN = (
    "(SELECT a.image, a.version, b.embedding FROM mixed a JOIN mixed b ON a.image = b.image AND a.model = b.model) "
)
CLIENT = """
import json, sys
import blip_udfs
from pyspark.sql import SparkSession
from blip_udfs.spark.session import conf
kind, folder, statements = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if kind == "connect":
    spark = SparkSession.builder.remote("local[2]").config(map=conf()).getOrCreate()
else:
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    blip_udfs.register(spark)
lines = []
for statement in statements:
    if statement.startswith("SET "):
        key, value = statement[4:].split("=")
        spark.conf.set(key, value)
    else:
        lines += [str(row[0]) for row in spark.sql(statement).collect()]
found = blip_udfs.search(spark.table("mixed"), "a truck at night", k=4, candidates=12)
lines += ["|".join(["search", *row.image.split("/")[-4:], str(row.version), str(row.score)]) for row in found.collect()]
print(json.dumps({"module": type(spark).__module__, "lines": lines}))
spark.stop()
"""


@pytest.fixture(scope="module")
def stored(spark, rows, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("stored") / "mixed"
    spark.table("at_the_doors").write.parquet(str(folder))
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return make(tmp_path_factory.mktemp("another") / "tiny", seed=4)


def statements(stored, tiny_model, other, ranked=True):
    """A to D; what only the jar brings is left out unless `ranked`: functions that were registered carry no settings,
    so that Spark's cache tells no models apart."""

    def shown(tag, relation, score="s"):
        return f"SELECT {SHOWN.format(tag=tag, score=score)} FROM ({relation})"

    out = [
        f"CREATE OR REPLACE TEMPORARY VIEW mixed AS SELECT * FROM parquet.`{stored}`",
        f"SET spark.blip.model={tiny_model}",
        f"CREATE OR REPLACE TEMPORARY VIEW scored AS SELECT image, version, {ITM} AS s FROM mixed WHERE version = 3",
        *(["CACHE TABLE scored"] if ranked else []),
        shown("A1", f"SELECT image, version, {ITM} AS s FROM mixed WHERE version = 3"),
        f"SET spark.blip.model={other}",
        shown("A2", f"SELECT image, version, {ITM} AS s FROM mixed WHERE version = 3"),
        f"SET spark.blip.model={tiny_model}",
        f"SET spark.blip.search.candidates={N}",
        shown("B1", f"SELECT *, {ITM} AS s FROM (SELECT image, version, embedding AS e FROM mixed) {BEST}"),
        shown("B2", f"SELECT *, {ITM} AS s FROM {SELF_JOIN} {BEST}"),
        shown("D1", f"SELECT *, {ITM} AS s FROM mixed WHERE {ITM} > 0 AND version = 1 ORDER BY s DESC"),
    ]
    if ranked:
        out += [
            shown("C1", f"SELECT *, {ITM} AS s FROM mixed {BEST}"),
            shown("C2", f"SELECT * FROM blip_search('mixed', '{TEXT}', k => 4, candidates => {N})", "score"),
            f"EXPLAIN SELECT {ITM} AS s FROM mixed WHERE {ITM} > 0 ORDER BY {ITM} DESC",
        ]
    return out


def parsed(lines):
    """(tag, image, version, score), sorted; of EXPLAIN how many calls its plan makes."""
    out = [line.rsplit("|", 1) for line in lines if line[:2] in ("A1", "A2", "B1", "B2", "C1", "C2", "D1")]
    return sorted((name, float(score)) for name, score in out)


def calls(lines):
    return sum(line.count("EvalPython [blip_itm") for line in lines)


def check(lines, expected):
    got = parsed(lines)
    assert [name for name, _ in got] == [name for name, _ in expected]
    assert [score for _, score in got] == pytest.approx([score for _, score in expected], abs=2e-6)


@pytest.fixture(scope="module")
def expected(spark, stored, tiny_model, other):
    """The jar's session in this process, whose rows test_four_doors and test_random_plans compare with numpy's."""
    session, lines = spark.newSession(), []
    for statement in statements(stored, tiny_model, other):
        if statement.startswith("SET "):
            session.conf.set(*statement[4:].split("="))
        else:
            lines += [row[0] for row in session.sql(statement).collect()]
    spark.catalog.clearCache()
    assert calls(lines) == 1
    found = parsed(lines)
    both = [[score for name, score in found if name.startswith(tag)] for tag in ("A1", "A2")]
    assert len(both[0]) == 3 and both[0] != pytest.approx(both[1], abs=1e-4)  # each model's own, in spite of the cache
    return found


def test_the_reference_ranks_as_the_exact_query_where_it_is_not_served(spark, stored, expected, tiny_model):
    session = spark.newSession()
    session.conf.set("spark.blip.model", str(tiny_model))
    session.read.parquet(str(stored)).createOrReplaceTempView("mixed")
    exact, scored = evaluations(session.sql(f"SELECT image, version, {ITM} AS s FROM mixed {BEST}"))
    assert scored == session.table("mixed").count()
    best = sorted((row.s for row in exact), reverse=True)
    renamed = sorted((score for name, score in expected if name.startswith("B1")), reverse=True)
    assert renamed == pytest.approx(best, abs=2e-6)


def test_spark_sql(stored, tiny_model, other, expected, tmp_path):
    script = ";\n".join(statements(stored, tiny_model, other)) + ";"
    (tmp_path / "all.sql").write_text(script)
    lines = shell(str(BIN / "blip-udfs"), "sql", "--warehouse", "my lake", "-f", "all.sql", cwd=tmp_path).splitlines()
    check(lines, expected)
    assert calls(lines) == 1


@pytest.mark.endurance
def test_jdbc(once_tree, stored, tiny_model, other, expected, tmp_path):
    doors = {"BLIP_READ_ROOTS": str(once_tree), "BLIP_ALLOWED_MODELS": f"{tiny_model},{other}"}
    with thrift_server(tmp_path, **doors) as (address, _):
        said = beeline(address, *(f"{each};" for each in statements(stored, tiny_model, other)), cwd=tmp_path)
    lines = said.splitlines()
    check(lines, expected)
    assert calls(lines) == 1


def client(kind, stored, said, tmp_path):
    words = [sys.executable, "-c", CLIENT, kind, str(stored), json.dumps(said)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def by_search(lines):
    return [float(line.rpartition("|")[2]) for line in lines if line.startswith("search")]


def test_connect(stored, tiny_model, other, expected, tmp_path):
    got = client("connect", stored, statements(stored, tiny_model, other), tmp_path)
    assert got["module"].startswith("pyspark.sql.connect")
    check(got["lines"], expected)
    assert calls(got["lines"]) == 1
    searched = sorted((score for name, score in expected if name.startswith("C2")), reverse=True)
    assert by_search(got["lines"]) == pytest.approx(searched, abs=2e-6)


@pytest.mark.endurance
def test_register_alone(stored, tiny_model, other, expected, tmp_path):
    got = client("register", stored, statements(stored, tiny_model, other, ranked=False), tmp_path)
    check(got["lines"], [each for each in expected if each[0][:2] not in ("C1", "C2")])
    searched = sorted((score for name, score in expected if name.startswith("C2")), reverse=True)
    assert by_search(got["lines"]) == pytest.approx(searched, abs=2e-6)
