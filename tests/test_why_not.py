"""A session that asks for the cascade with a query that it cannot serve: one warning, which says why."""

import pytest

from tests.plans import optimized

SCORE = "blip_itm(image, 'a car')"
SHAPES = {
    "no limit": (
        f"SELECT image FROM rows ORDER BY {SCORE} DESC",
        "it has no ORDER BY with a LIMIT; expected ORDER BY blip_itm(image, 'a text') DESC LIMIT k",
    ),
    "another first key": (
        f"SELECT image FROM rows ORDER BY weather, {SCORE} DESC LIMIT 3",
        "its first ORDER BY key is not blip_itm(image, 'a text') itself",
    ),
    "a function of the score": (
        f"SELECT image FROM rows ORDER BY round({SCORE}, 2) DESC LIMIT 3",
        "its first ORDER BY key is not blip_itm(image, 'a text') itself",
    ),
    "ascending": (
        f"SELECT image FROM rows ORDER BY {SCORE} LIMIT 3",
        "it orders the lowest scores first; expected DESC",
    ),
    "nulls first": (
        f"SELECT image FROM rows ORDER BY {SCORE} DESC NULLS FIRST LIMIT 3",
        "it orders NULLS FIRST; expected NULLS LAST, which DESC means",
    ),
    "a text per row": (
        "SELECT image FROM rows ORDER BY blip_itm(image, weather) DESC LIMIT 3",
        "its text differs from row to row; expected a constant",
    ),
    "a NULL text": (
        "SELECT image FROM rows ORDER BY blip_itm(image, NULL) DESC LIMIT 3",
        "its text is NULL",
    ),
    "as many rows as candidates": (
        f"SELECT image FROM rows ORDER BY {SCORE} DESC LIMIT 10",
        "it asks for 10 rows (LIMIT + OFFSET); expected fewer than candidates, "
        "SET spark.blip.search.candidates to more",
    ),
    "an offset that makes them as many": (
        f"SELECT image FROM rows ORDER BY {SCORE} DESC LIMIT 3 OFFSET 7",
        "it asks for 10 rows (LIMIT + OFFSET); expected fewer than candidates, "
        "SET spark.blip.search.candidates to more",
    ),
    "a score in WHERE": (
        f"SELECT image FROM rows WHERE {SCORE} > 0.4 ORDER BY {SCORE} DESC LIMIT 3",
        "its WHERE scores rows; expected conditions on other columns",
    ),
    "no embedding": (
        f"SELECT image FROM bare ORDER BY {SCORE} DESC LIMIT 3",
        "no column embedding ARRAY<FLOAT> is there; SET spark.blip.search.embeddingColumn to the one that holds "
        "embeddings",
    ),
    "embeddings of doubles": (
        f"SELECT image FROM doubles ORDER BY {SCORE} DESC LIMIT 3",
        "its column embedding is ARRAY<DOUBLE>; expected ARRAY<FLOAT>",
    ),
    "an embedding of the other side of a join": (
        "SELECT bare.image FROM bare JOIN rows USING (weather) ORDER BY blip_itm(bare.image, 'a car') DESC LIMIT 3",
        "its column embedding is of another relation than its image; score the image of the one that has it",
    ),
    "an embedding of the other side that a subquery puts beside the image": (
        "SELECT image FROM (SELECT b.image, r.embedding FROM bare b JOIN rows r USING (weather)) "
        f"ORDER BY {SCORE} DESC LIMIT 3",
        "its column embedding is of another relation than its image; score the image of the one that has it",
    ),
    "an embedding of the other side beside a common table expression": (
        "SELECT image FROM (SELECT b.image, r.embedding FROM (WITH c AS (SELECT * FROM rows) SELECT * FROM c) AS b "
        f"JOIN rows r USING (weather)) ORDER BY {SCORE} DESC LIMIT 3",
        "its column embedding is of another relation than its image; score the image of the one that has it",
    ),
    "an image that an expression makes": (
        "SELECT image FROM rows ORDER BY blip_itm(replace(image, 'x', 'y'), 'a car') DESC LIMIT 3",
        "its image is made by an expression; expected a column, of which the column embedding is the embedding",
    ),
    "an image that an expression of a subquery makes": (
        f"SELECT image FROM (SELECT upper(image) AS image, embedding FROM rows) ORDER BY {SCORE} DESC LIMIT 3",
        "its image is made by an expression; expected a column, of which the column embedding is the embedding",
    ),
    "an image of which a union makes a part": (
        "SELECT image FROM (SELECT image, embedding FROM rows UNION ALL SELECT upper(image), embedding FROM rows) "
        f"ORDER BY {SCORE} DESC LIMIT 3",
        "its image is made by an expression; expected a column, of which the column embedding is the embedding",
    ),
    "a renamed embedding": (
        f"SELECT image FROM (SELECT image, embedding AS vector FROM rows) ORDER BY {SCORE} DESC LIMIT 3",
        "a subquery leaves out the column embedding; select it there",
    ),
    "a view without the embedding": (
        f"SELECT image FROM bare_view ORDER BY {SCORE} DESC LIMIT 3",
        "a subquery leaves out the column embedding; select it there",
    ),
    "a common table expression without the embedding": (
        f"WITH c AS (SELECT image FROM rows) SELECT image FROM c ORDER BY {SCORE} DESC LIMIT 3",
        "no column embedding ARRAY<FLOAT> is there; SET spark.blip.search.embeddingColumn to the one that holds "
        "embeddings",
    ),
    "a join of scored rows": (
        f"SELECT image FROM (SELECT *, {SCORE} AS s FROM rows) JOIN bare USING (image) ORDER BY s DESC LIMIT 3",
        "its first ORDER BY key is not blip_itm(image, 'a text') itself",
    ),
    "an embedding that a subquery leaves out": (
        f"SELECT image FROM (SELECT DISTINCT image FROM rows) ORDER BY {SCORE} DESC LIMIT 3",
        "a subquery leaves out the column embedding; select it there",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def tables(spark):
    """Rows whose plans are made and never run."""
    rows = spark.createDataFrame([("x.jpg", "rainy", [1.0])], "image STRING, weather STRING, embedding ARRAY<FLOAT>")
    rows.write.mode("overwrite").saveAsTable("rows")
    rows.drop("embedding").write.mode("overwrite").saveAsTable("bare")
    spark.sql("CREATE OR REPLACE VIEW bare_view AS SELECT image, weather FROM rows")
    rows.selectExpr("image", "CAST(embedding AS ARRAY<DOUBLE>) AS embedding").write.saveAsTable("doubles")


@pytest.fixture
def session(spark):
    """A session of its own, in which nothing has been said yet."""
    fresh = spark.newSession()
    fresh.conf.set("spark.blip.search.candidates", 10)
    return fresh


@pytest.fixture
def warnings(spark):
    """Reads what the rule has written to the log: its lines, without the setting that they begin with."""
    log = spark._jvm.org.apache.logging.log4j
    name = "org.apache.spark.sql.blip.Cascade"
    text = spark._jvm.java.io.StringWriter()
    appender = log.core.appender.WriterAppender.createAppender(None, None, text, "why", False, True)
    appender.start()
    log.core.config.Configurator.setLevel(name, log.Level.WARN)
    logger = log.LogManager.getLogger(name)
    logger.addAppender(appender)
    begin = "spark.blip.search.candidates = 10, but every row is scored: "
    yield lambda: [line.removeprefix(begin) for line in text.toString().splitlines()]
    logger.removeAppender(appender)
    log.core.config.Configurator.setLevel(name, log.Level.ERROR)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_that_is_not_served_says_why_once(session, warnings, shape):
    query, reason = SHAPES[shape]
    for _ in range(2):
        assert "blip_similarity" not in optimized(session.sql(query))
    assert warnings() == [reason]


def test_each_reason_is_said_once_in_each_session(spark, session, warnings):
    ascending, bare = SHAPES["ascending"], SHAPES["no embedding"]
    for query, _ in (ascending, bare, ascending):
        optimized(session.sql(query))
    assert warnings() == [ascending[1], bare[1]]
    other = session.newSession()
    other.conf.set("spark.blip.search.candidates", 10)
    optimized(other.sql(ascending[0]))
    assert warnings() == [ascending[1], bare[1], ascending[1]]


def test_nothing_is_said_of_queries_that_are_served_or_ask_for_nothing(session, warnings):
    served = f"SELECT image FROM rows ORDER BY {SCORE} DESC LIMIT 3"
    optimized(session.sql(served))
    optimized(session.sql("SELECT image FROM rows ORDER BY weather DESC LIMIT 3"))
    optimized(session.sql("SELECT image FROM blip_search('rows', 'a car')"))
    session.conf.set("spark.blip.search.candidates", 0)
    optimized(session.sql(SHAPES["ascending"][0]))
    assert warnings() == []
