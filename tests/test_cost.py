"""What a query will cost: EXPLAIN names the rows that ITM scores, and one that would score too many says so before."""

import re

import pytest

from tests.heard import heard
from tests.plans import optimized

SCORE = "blip_itm(image, 'a car')"
TOP = f"SELECT image FROM counted ORDER BY {SCORE} DESC LIMIT 3"
BEST = f"SELECT weather, max({SCORE}) AS best FROM counted GROUP BY weather"
ALL = f"SELECT max({SCORE}), count(*) FROM counted GROUP BY weather"
RANGED = "(SELECT concat(id, '.jpg') AS image FROM range(3000))"
MEND = (
    "SET spark.blip.search.candidates = 256 scores only the nearest where a query asks for the best k, of all rows or "
    "of each group"
)


@pytest.fixture(scope="module", autouse=True)
def tables(spark):
    """Tables whose rows are counted, and one whose are not; plans are made and never run."""
    rows = "SELECT concat(id, '.jpg') AS image, array(1F) AS embedding, concat('w', id % 4) AS weather FROM range(2000)"
    spark.sql(f"CREATE TABLE counted USING parquet PARTITIONED BY (weather) AS {rows}")
    spark.sql(f"CREATE TABLE uncounted USING parquet AS {rows}")
    spark.sql("ANALYZE TABLE counted COMPUTE STATISTICS")
    yield
    for name in ("counted", "uncounted"):
        spark.sql(f"DROP TABLE {name}")


@pytest.fixture
def session(spark):
    """A session of its own, in which nothing has been said yet, that warns of more than 1,000 rows."""
    fresh = spark.newSession()
    fresh.sql("SET spark.blip.itm.warnRows = 1000")
    return fresh


def explained(session, query: str, candidates: int = 0) -> str:
    session.conf.set("spark.blip.search.candidates", candidates)
    return session.sql(f"EXPLAIN {query}").collect()[0][0]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (TOP, "ITM scores at most 10 rows"),
        (f"SELECT max({SCORE}) FROM counted", "ITM scores at most 10 rows"),
        (BEST, "ITM scores at most 10 rows of each group"),
        ("SELECT image FROM blip_search('counted', 'a car', candidates => 10)", "ITM scores at most 10 rows"),
    ],
)
def test_explain_names_the_rows_that_are_scored(session, query, said):
    (line,) = [line for line in explained(session, query, 10).splitlines() if "ITM scores" in line]
    assert re.search(rf"Filter .*{said}\)?$", line)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (TOP, 2000),
        (f"SELECT image FROM counted WHERE {SCORE} > 0.5", 2000),
        (ALL, 2000),
        (
            f"SELECT image, {SCORE} FROM counted JOIN (SELECT concat('w', id) weather FROM range(2)) USING (weather)",
            2000,
        ),
        (f"SELECT image, {SCORE} FROM {RANGED}", 3000),
        (f"SELECT image, {SCORE} FROM (SELECT image FROM {RANGED} UNION ALL SELECT image FROM counted)", 3000),
        (f"SELECT * FROM range(3) WHERE id IN (SELECT int({SCORE}) FROM counted)", 2000),
    ],
)
def test_a_query_that_scores_too_many_rows_says_so_before_once(spark, session, query, rows):
    with heard(spark) as lines:
        for _ in range(2):
            explained(session, query)
        assert lines() == [f"ITM will score up to {rows} rows, more than spark.blip.itm.warnRows = 1000: {MEND}"]


def test_a_query_that_candidates_do_not_serve_says_what_would(spark, session):
    with heard(spark) as lines:
        explained(session, ALL, 10)
    expected = "expected max(blip_itm(image, 'a text')) or max_by(x, blip_itm(...)) alone"
    reason = f"its count(1) needs every row of a group; {expected}"
    assert lines() == [
        f"spark.blip.search.candidates = 10, but every row is scored: {reason}",
        f"ITM will score up to 2000 rows, more than spark.blip.itm.warnRows = 1000: no candidates serve it: {reason}",
    ]


@pytest.mark.parametrize(
    ("query", "candidates"),
    [
        (TOP, 10),
        (BEST, 10),
        (f"SELECT image, {SCORE} FROM uncounted", 0),
        (f"SELECT image, {SCORE} FROM (SELECT * FROM counted LIMIT 50)", 0),
        (f"SELECT image, {SCORE} FROM {RANGED} LIMIT 50", 0),
        (f"SELECT image, {SCORE} FROM counted WHERE weather = 'w1'", 0),  # its partition has 500
        ("SELECT max(image) FROM counted", 0),
    ],
)
def test_others_say_nothing(spark, session, query, candidates):
    with heard(spark) as lines:
        explained(session, query, candidates)
    assert lines() == []


def test_zero_is_no_warning(spark, session):
    session.sql("SET spark.blip.itm.warnRows = 0")
    with heard(spark) as lines:
        explained(session, TOP)
    assert lines() == []


def test_a_number_that_is_none_stops_only_queries_that_score(session):
    session.sql("SET spark.blip.itm.warnRows = many")
    assert session.sql("SELECT max(image) FROM counted").collect()
    message = (
        "spark.blip.itm.warnRows = 'many': expected a whole number of rows, 0 for no warning; SET .* = 100000 mends it"
    )
    with pytest.raises(Exception, match=message):
        optimized(session.sql(TOP))
    session.sql("SET spark.blip.itm.warnRows = 100000")
    optimized(session.sql(TOP))


def test_the_setting_is_no_part_of_a_plan(session):
    plans = []
    for most in (5000, 6000):
        session.conf.set("spark.blip.itm.warnRows", most)
        plans.append(session.table("counted").selectExpr(SCORE))
    assert plans[0].sameSemantics(plans[1])
