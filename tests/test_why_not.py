"""A session that asks for the cascade with a query that it cannot serve: one warning, which says why."""

import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from tests.heard import heard
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

OVER = f"OVER (PARTITION BY weather ORDER BY {SCORE} DESC)"


def first(k: str, over: str = OVER, more: str = "", ranks: str = "ROW_NUMBER()") -> str:
    return f"SELECT * FROM (SELECT image, {ranks} {over} AS r{more} FROM rows) WHERE r <= {k}"


def of_each(functions: str, where: str = "") -> str:
    return f"SELECT {functions} FROM rows {where} GROUP BY weather"


UNBOUND = "no condition right above its window keeps the first k ranks; expected WHERE rank <= k"
ALONE = "needs every row of a group; expected max(blip_itm(image, 'a text')) or max_by(x, blip_itm(...)) alone"
SHAPES |= {
    "ranks of groups that nothing bounds": (f"SELECT image, RANK() {OVER} AS r FROM rows", UNBOUND),
    "a bound that differs from row to row": (first("length(image)"), UNBOUND),
    "a bound that not all rows need to keep": (first("3 OR image = 'x.jpg'"), UNBOUND),
    "a bound above another window": (
        first("3", more=", count(*) OVER (PARTITION BY weather, image) AS n"),
        UNBOUND,
    ),
    "windows over two sentences": (
        first("3 AND q <= 3", more=f", RANK() {OVER.replace('a car', 'a bus')} AS q"),
        UNBOUND,
    ),
    "a function of all rows in the window": (
        first("3", more=f", count(*) {OVER} AS n"),
        "beside its rank is count(1); expected ROW_NUMBER, RANK or DENSE_RANK alone over a window",
    ),
    "a rank relative to all rows": (
        first("3", ranks="NTILE(9)"),
        "beside its rank is ntile(9); expected ROW_NUMBER, RANK or DENSE_RANK alone over a window",
    ),
    "the worst of each group": (
        first("3", OVER.replace(" DESC", "")),
        "it orders the lowest scores first; expected DESC",
    ),
    "groups with NULLS FIRST": (
        first("3", OVER.replace("DESC", "DESC NULLS FIRST")),
        "it orders NULLS FIRST; expected NULLS LAST, which DESC means",
    ),
    "a window by another first key": (
        first("3", OVER.replace("ORDER BY", "ORDER BY image,")),
        "the first ORDER BY key of its window is not blip_itm(image, 'a text') itself",
    ),
    "a window by a function of the score": (
        first("3", OVER.replace(SCORE, f"round({SCORE}, 2)")),
        "the first ORDER BY key of its window is not blip_itm(image, 'a text') itself",
    ),
    "a text for each row of a group": (
        first("3", OVER.replace("'a car'", "image")),
        "its text differs from row to row; expected a constant",
    ),
    "more of each group than candidates": (
        first("11"),
        "it asks for 11 rows of each group; expected no more than candidates, SET spark.blip.search.candidates to more",
    ),
    "scored rows alone in groups": (
        f"SELECT image FROM (SELECT *, ROW_NUMBER() {OVER} AS r FROM rows WHERE {SCORE} > 0.4) WHERE r <= 3",
        "its WHERE scores rows; expected conditions on other columns",
    ),
    "groups by chance": (
        first("3", OVER.replace("BY weather", "BY round(rand(3))")),
        "its groups differ from run to run; expected columns",
    ),
    "groups by a Python function": (
        first("3", OVER.replace("BY weather", "BY blip_image_error(image)")),
        "a Python function makes its groups; expected columns",
    ),
    "groups of rows by chance": (
        "WITH c AS (SELECT *, rand(3) AS part FROM rows) "
        f"SELECT * FROM (SELECT weather, max({SCORE}) FROM c GROUP BY weather) JOIN c USING (weather)",
        "its common table expression differs from read to read; store its rows in a table",
    ),
    "groups without embeddings": (
        f"SELECT max({SCORE}) FROM bare GROUP BY weather",
        "no column embedding ARRAY<FLOAT> is there; SET spark.blip.search.embeddingColumn to the one that holds "
        "embeddings",
    ),
    "a count beside the best": (of_each(f"max({SCORE}), count(*)"), f"its count(1) {ALONE}"),
    "a HAVING that counts": (f"{of_each(f'max({SCORE})')} HAVING count(*) > 2", f"its count(1) {ALONE}"),
    "an average": (of_each(f"avg({SCORE})"), f"its avg(blip_itm(image, a car)) {ALONE}"),
    "the best of a part of a group": (
        of_each(f"max({SCORE}) FILTER (WHERE image > 'a')"),
        f"its max(blip_itm(image, a car)) FILTER (WHERE (image > a)) {ALONE}",
    ),
    "a maximum of a function of the score": (
        of_each(f"max(struct({SCORE}, image))"),
        f"its max(struct(blip_itm(image, a car), image)) {ALONE}",
    ),
    "the best by two sentences": (
        of_each(f"max({SCORE}), max_by(image, {SCORE.replace('car', 'bus')})"),
        "it asks for the best by several sentences or images; expected a query for each",
    ),
    "the best by no text": (of_each("max(blip_itm(image, NULL))"), "its text is NULL"),
    "scored rows alone in a maximum": (
        of_each(f"max({SCORE})", f"WHERE {SCORE} > 0.4"),
        "its WHERE scores rows; expected conditions on other columns",
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
    begin = "spark.blip.search.candidates = 10, but every row is scored: "
    with heard(spark) as lines:
        yield lambda: [line.removeprefix(begin) for line in lines()]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_that_is_not_served_says_why_once(session, warnings, shape):
    query, reason = SHAPES[shape]
    plans = [optimized(session.sql(query)) for _ in range(2)]
    assert warnings() == [reason]
    session.conf.set("spark.blip.search.candidates", 0)
    own = optimized(session.sql(query))
    assert {"".join(sorted(plan)) for plan in plans} == {"".join(sorted(own))}  # merged calls stand in any order


def test_a_select_that_a_dataframe_was_made_of_leaves_out_what_it_does(session, warnings):
    """One statement's window sees what its SELECT list leaves out; a DataFrame's sees what is left."""
    rows = session.sql("SELECT image, weather FROM rows")
    over = Window.partitionBy("weather").orderBy(F.expr(SCORE).desc())
    for best in (
        rows.withColumn("r", F.row_number().over(over)).where("r <= 3"),
        rows.selectExpr("weather", f"{SCORE} AS s").orderBy(F.desc("s")).limit(3),
        rows.groupBy("weather").agg(F.expr(f"max({SCORE})")),
    ):
        assert "blip_similarity" not in optimized(best)
    assert warnings() == ["a subquery leaves out the column embedding; select it there"]


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
