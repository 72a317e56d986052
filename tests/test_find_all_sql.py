"""WHERE blip_itm(image, 'text') > t with a promise: fewer rows are scored, none is wrong, few are lost."""

import re

import pytest

import blip_udfs
from blip_udfs import functions as BF
from tests.heard import heard
from tests.plans import counted, optimized, tasks_of_stages
from tests.similar_rows import ROWS, TEXT, UNLIKE, stored

SCORE, LOGIT = f"blip_itm(image, '{TEXT}')", f"blip_itm_logit(image, '{TEXT}')"
LINE = re.compile(
    r"find all: (?P<rows>\d+) rows, (?P<labels>\d+) in the samples, (?P<scored>\d+) to be scored in all, "
    r"(?:those of a similarity of (?P<bound>0\.\d{4}) and more: a share of 0.9 of the matches, with a probability of "
    r"0.95|no bound is proven, so that every row is scored)"
)
CAMERAS = "SELECT * FROM VALUES ('cam0', 'front'), ('cam9', 'back') c(camera, place)"
REPORT, RULE = (f"org.apache.spark.sql.blip.{name}" for name in ("FindAllReport", "FindAll"))


@pytest.fixture(scope="module")
def similar(spark, tiny_model, once_tree):
    made = stored(spark, tiny_model, once_tree, "similar")
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW cameras AS {CAMERAS}")
    yield made
    spark.sql("DROP TABLE similar")
    spark.catalog.dropTempView("cameras")


@pytest.fixture
def asked(spark, use_model, similar):
    """A session that asks for nine of ten."""
    spark.conf.set("spark.blip.filter.recall", "0.9")
    yield spark
    spark.conf.unset("spark.blip.filter.recall")


def ran(spark, query: str) -> tuple[list, dict]:
    """The rows of a query, and what its line says, which is what the workers did."""
    with counted(spark, r"(?:try_)?blip_itm(?:_logit)?") as calls:
        rows = spark.sql(query).collect()
    said = LINE.fullmatch(blip_udfs.last_filter(spark)).groupdict()
    said = {name: int(said[name]) for name in ("rows", "labels", "scored")} | {"bound": said["bound"]}
    assert said["labels"] < said["scored"] == sum(calls)
    return rows, said


def kept(rows: list, matches: set[int]) -> None:
    ids = [row.id for row in rows]
    assert len(ids) == len(set(ids)) and set(ids) <= matches
    assert 0.9 * len(matches) <= len(ids)


SERVED = {  # what the WHERE is asked of besides
    "a score and others": ("SELECT id, {s} AS s FROM similar WHERE {s} > {t} AND camera = 'cam0'", "cam0"),
    "at least": ("SELECT id FROM similar WHERE {s} >= {t}", None),
    "the constant first": ("SELECT id FROM similar WHERE {t} < {s}", None),
    "between": ("SELECT id FROM similar WHERE {s} BETWEEN {t} AND 1", None),
    "a subquery's column": ("SELECT id, s FROM (SELECT *, {s} AS s FROM similar) WHERE s > {t}", None),
    "tried": ("SELECT id FROM similar WHERE try_{s} > {t}", None),
    "a common table expression": (
        "WITH c AS (SELECT id, image AS i, embedding, model FROM similar) "
        "SELECT id FROM c WHERE blip_itm(i, '" + TEXT + "') > {t} AND id >= 0",
        None,
    ),
    "a join whose condition comes first": (
        "SELECT id, place, {s} AS s FROM similar JOIN cameras USING (camera) WHERE {s} > {t} AND place = 'front'",
        "cam0",
    ),
    "the join's right side": (
        "SELECT id FROM cameras c JOIN similar i ON c.camera = i.camera WHERE {s} > {t}",
        "cam0",
    ),
    "IN": ("SELECT id FROM similar WHERE {s} > {t} AND camera IN (SELECT camera FROM cameras)", "cam0"),
    "NOT EXISTS": (
        "SELECT id FROM similar i WHERE {s} > {t} AND NOT EXISTS (SELECT * FROM cameras c WHERE c.camera = i.camera)",
        "cam1",
    ),
    "a left join": ("SELECT id, place FROM similar LEFT JOIN cameras USING (camera) WHERE {s} > {t}", None),
    "an order by the score": ("SELECT id, {s} AS s FROM similar WHERE {s} > {t} ORDER BY s DESC", None),
    "an order with a limit": ("SELECT id, {s} AS s FROM similar WHERE {s} > {t} ORDER BY s DESC LIMIT 9999", None),
    "a view": ("SELECT id FROM the_trucks WHERE id >= 0", None),
}


LONG = {"the constant first", "tried", "a common table expression", "the join's right side", "NOT EXISTS", "a view"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in SERVED]
)
def test_fewer_rows_are_scored_and_those_that_come_pass(asked, similar, name):
    query, camera = SERVED[name]
    where = {"s": SCORE, "t": f"{similar.threshold}D"}
    if name == "a view":
        view = "SELECT * FROM similar WHERE {s} > {t}".format(**where)
        asked.sql(f"CREATE OR REPLACE TEMPORARY VIEW the_trucks AS {view}")
    among = [row for row in similar.rows if camera in (None, row[5])]
    rows, said = ran(asked, query.format(**where))
    kept(rows, similar.matching(among))
    assert said["rows"] == len(among)
    if camera is None:  # a half of the rows is too few to promise much of
        assert said["scored"] < 0.6 * ROWS and 0.2 < float(said["bound"]) < 0.5
        assert similar.matching(similar.rows[-UNLIKE:]) <= {row.id for row in rows}  # those without similarity
    if "s" in rows[0]:
        of = {row[0]: similar.scores[row[1]] for row in similar.rows}
        assert [row.s for row in rows] == pytest.approx([of[row.id] for row in rows], abs=1e-6)
    if "ORDER" in query:
        assert [row.s for row in rows] == sorted((row.s for row in rows), reverse=True)


def test_count_groups_and_create_table(asked, similar):
    condition = f"FROM similar WHERE {SCORE} > {similar.threshold}D"
    rows, _ = ran(asked, f"SELECT id, camera, {SCORE} AS s {condition}")
    ids = {row.id for row in rows}
    ((counted_rows,),), said = ran(asked, f"SELECT count(*) {condition}")  # the same are drawn, whatever is selected
    assert counted_rows == len(ids) and said["scored"] < 0.6 * ROWS
    groups, _ = ran(asked, f"SELECT camera, count(*), max({SCORE}) {condition} GROUP BY camera ORDER BY camera")
    for camera, count, best in groups:
        scores = [row.s for row in rows if row.camera == camera]
        assert (count, best) == (len(scores), pytest.approx(max(scores), abs=1e-6))
    ran(asked, f"CREATE TABLE found_trucks USING parquet AS SELECT * {condition}")
    try:
        found = asked.table("found_trucks")
        assert found.columns == asked.table("similar").columns and {row.id for row in found.collect()} == ids
    finally:
        asked.sql("DROP TABLE found_trucks")


def test_a_logit(asked, similar):
    """Above what a third of the images have; the embeddings were made for the probability."""
    ordered = sorted(similar.logits.values())
    least = (ordered[31] + ordered[32]) / 2
    rows, said = ran(asked, f"SELECT id FROM similar WHERE {LOGIT} > {least}D")
    kept(rows, {row[0] for row in similar.rows if similar.logits[row[1]] > least})
    assert said["rows"] == ROWS


def test_a_data_frame(asked, similar):
    df = asked.table("similar").withColumn("s", BF.blip_itm("image", TEXT)).where(f"s > {similar.threshold}D")
    with counted(asked) as calls:
        kept(df.where("id >= 0").collect(), similar.matching())
    assert sum(calls) < 0.6 * ROWS


def test_where_nothing_is_proven_every_row_is_scored_once(asked, similar):
    """The sample's too: it is drawn, and not scored again."""
    rows, said = ran(asked, f"SELECT id FROM similar WHERE {SCORE} > {similar.threshold}D AND id < 60")
    assert {row.id for row in rows} == similar.matching(similar.rows[:60])
    assert said["bound"] is None and said["labels"] > 0 and said["scored"] == said["rows"] == 60
    with counted(asked) as calls:
        assert asked.sql(f"SELECT id FROM similar WHERE {SCORE} > 0.5 AND id < 0").collect() == []
    assert sum(calls) == 0 and blip_udfs.last_filter(asked).startswith("find all: 0 rows, 0 in the samples, 0 to be")


def test_rows_that_are_there_twice_are_all_scored(asked, similar):
    """Their draws would be one."""
    asked.sql("SELECT * FROM similar UNION ALL SELECT * FROM similar WHERE id < 300").write.saveAsTable("similar_twice")
    try:
        rows, said = ran(asked, f"SELECT id FROM similar_twice WHERE {SCORE} > {similar.threshold}D")
    finally:
        asked.sql("DROP TABLE similar_twice")
    ids = [row.id for row in rows]
    assert all(ids.count(each) == 2 for each in similar.matching(similar.rows[:300]))
    assert 600 < said["scored"] < said["rows"] == ROWS + 300


def test_bytes_of_images_are_no_part_of_what_a_row_is_known_by(asked, similar):
    """Of a table of bytes the embedding is; and a row of another model has no similarity."""
    read = "SELECT s.id, content AS image, embedding, if(id < 50, 'other@0123456789ab', model) AS model FROM similar s"
    images = f"binaryFile.`{next(iter(similar.scores)).removeprefix('file:').rsplit('/data/', 1)[0]}/data/*/*/*.jpg`"
    made = f"{read} JOIN {images} f ON replace(f.path, 'file:') = replace(s.image, 'file:')"
    asked.sql(made).write.saveAsTable("similar_bytes")
    try:
        rows, said = ran(asked, f"SELECT id FROM similar_bytes WHERE {SCORE} > {similar.threshold}D")
    finally:
        asked.sql("DROP TABLE similar_bytes")
    kept(rows, similar.matching())
    assert similar.matching(similar.rows[:50]) <= {row.id for row in rows}
    assert said["rows"] == ROWS and said["scored"] < 0.65 * ROWS


def test_a_cached_result_is_of_its_promise_and_made_once(asked, similar):
    query = f"SELECT id FROM similar WHERE {SCORE} > {similar.threshold}D"
    df = asked.sql(query).cache()
    try:
        with counted(asked) as calls:
            ids = {row.id for row in df.collect()}
            assert {row.id for row in asked.sql(query).collect()} == ids
        assert 0 < sum(calls) < 0.6 * ROWS
        asked.conf.set("spark.blip.filter.recall", "1")
        assert {row.id for row in asked.sql(query).collect()} == similar.matching()
    finally:
        df.unpersist()


def test_explain_says_so_and_runs_nothing(asked, similar):
    with tasks_of_stages(asked) as tasks:
        plan = asked.sql(f"EXPLAIN SELECT id FROM similar WHERE {SCORE} > 0.5").head()[0]
    said = "ITM scores the rows above a similarity that a sample proves: of all that the WHERE keeps a share of 0.9,"
    assert f"{said} with a probability of 0.95" in plan and "BlipProof" in plan
    assert tasks == []


def test_the_line_is_a_warning_and_each_sessions_own(asked, similar):
    fresh = asked.newSession()
    assert blip_udfs.last_filter(fresh) is None
    with heard(asked, REPORT) as lines:
        asked.sql(f"SELECT id FROM similar WHERE {SCORE} > 0.5 AND id < 100").collect()
        (line,) = lines()
    assert line == blip_udfs.last_filter(asked) and LINE.fullmatch(line) and blip_udfs.last_filter(fresh) is None


PYTHON = "a Python function makes its rows, which would run for each sample; store them in a table"
SHAPE = "its WHERE is not blip_itm(image, 'a text') > a number, alone or with AND"
DIFFERS = "it reads rows that may differ from read to read; store them in a table"
OF_MISSING = "its join asks what has no match; store the matches in a table"
LEFT = {  # why every row is scored
    "an anti join's right side": (
        "SELECT i.id FROM similar i LEFT ANTI JOIN (SELECT id FROM similar WHERE {s} > 0.5) h ON i.id = h.id",
        OF_MISSING,
    ),
    "a left join's right side": (
        "SELECT i.id, h.id FROM similar i LEFT JOIN (SELECT id FROM similar WHERE {s} > 0.5) h ON i.id = h.id",
        OF_MISSING,
    ),
    "OR": ("SELECT id FROM similar WHERE {s} > 0.5 OR id = 3", SHAPE),
    "the low scores": ("SELECT id FROM similar WHERE {s} < 0.5", SHAPE),
    "two sentences": ("SELECT id FROM similar WHERE {s} > 0.5 AND blip_itm(image, 'a bus') > 0.5", SHAPE),
    "a score against a column": ("SELECT id FROM similar WHERE {s} > id / 3000", SHAPE),
    "a text of each row": (
        "SELECT id FROM similar WHERE blip_itm(image, camera) > 0.5",
        "its text differs from row to row; expected a constant",
    ),
    "no embedding": (
        "SELECT id FROM (SELECT id, image FROM similar) WHERE {s} > 0.5",
        "a subquery leaves out the column embedding; select it there",
    ),
    "a LIMIT": (
        "SELECT id FROM similar WHERE {s} > 0.5 LIMIT 5",
        "its LIMIT without ORDER BY ends it when enough rows are found",
    ),
    "rows of a LIMIT": ("SELECT id FROM (SELECT * FROM similar LIMIT 50) WHERE {s} > 0.5", DIFFERS),
    "rows drawn anew": ("SELECT id FROM similar WHERE {s} > 0.5 AND rand() < 0.5", DIFFERS),
    "a sample": ("SELECT id FROM similar TABLESAMPLE (50 PERCENT) WHERE {s} > 0.5", DIFFERS),
    "ranks": (
        "SELECT id FROM (SELECT *, row_number() OVER (PARTITION BY camera ORDER BY model) AS r FROM similar) "
        "WHERE r < 9 AND {s} > 0.5",
        DIFFERS,
    ),
    "another Python function": ("SELECT id FROM similar WHERE {s} > 0.5 AND blip_image_error(image) IS NULL", PYTHON),
    "an embedding made in the query": (
        "SELECT id FROM (SELECT id, image, blip_image_embed(image) AS embedding FROM similar) WHERE {s} > 0.5",
        PYTHON,
    ),
    "a union": (
        "SELECT id FROM (SELECT * FROM similar UNION ALL SELECT * FROM similar) WHERE {s} > 0.5",
        "it reads a UNION, each part of which would have a promise of its own; store its rows in a table",
    ),
    "explode": (
        "SELECT id, e FROM similar LATERAL VIEW explode(array(1, 2)) AS e WHERE {s} > 0.5",
        "its FROM makes several rows of one, as explode does; store them in a table",
    ),
    "an outer join without a partner": (
        "SELECT id FROM similar i LEFT JOIN cameras c ON c.camera = i.camera WHERE {s} > 0.5 AND place IS NULL",
        "a condition above its join needs columns of both sides; join in a table, and score that",
    ),
    "a score of its partner": (
        "SELECT a.id FROM similar a JOIN similar b ON a.id = b.id + 1 "
        "WHERE blip_itm(a.image, 'a car') > 0.5 AND blip_itm(b.image, 'a bus') > 0.5",
        "other scores are below its own; expected one in a query",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_alone_says_why(asked, similar, name):
    query, reason = LEFT[name]
    fresh = asked.newSession()  # in which nothing has been said yet
    fresh.conf.set("spark.blip.filter.recall", "0.9")
    fresh.conf.set("spark.blip.model", asked.conf.get("spark.blip.model"))
    fresh.sql(f"CREATE OR REPLACE TEMPORARY VIEW cameras AS {CAMERAS}")
    with heard(asked, RULE) as lines:
        plan = optimized(fresh.sql(query.format(s=SCORE)))
    assert lines() == [f"spark.blip.filter.recall = 0.9, but every row is scored: {reason}"]
    assert "a sample proves" not in plan


@pytest.mark.parametrize("limit", ["LIMIT 5", "LIMIT 5 OFFSET 2"])
def test_a_condition_above_a_limit_stays_there(asked, similar, limit):
    """Asked before, it would make them the first five of that camera."""
    first = f"SELECT id, camera FROM similar WHERE {SCORE} > {similar.threshold}D AND id < 60 ORDER BY id {limit}"
    expected = asked.sql(first).collect()
    camera = expected[-1].camera
    rows = asked.sql(f"SELECT id FROM ({first}) WHERE camera = '{camera}'").collect()
    assert {row.id for row in rows} == {row.id for row in expected if row.camera == camera} != set()
    assert len({row.camera for row in expected}) > 1


def test_rows_that_are_left_alone_are_right(asked, similar):
    query = f"SELECT id FROM similar WHERE ({SCORE} > {similar.threshold}D OR id = 3) AND id < 60"
    expected = similar.matching(similar.rows[:60]) | {3}
    assert {row.id for row in asked.sql(query).collect()} == expected


def test_by_default_no_plan_is_touched(spark, use_model, similar):
    query = f"SELECT id FROM similar WHERE {SCORE} > 0.5 AND camera = 'cam0'"
    plan = optimized(spark.sql(query))
    spark.conf.set("spark.sql.optimizer.excludedRules", RULE)
    spark.conf.set("spark.blip.filter.confidence", "0.99")
    try:
        assert optimized(spark.sql(query)) == plan and "proves" not in plan
    finally:
        spark.conf.unset("spark.sql.optimizer.excludedRules")
        spark.conf.unset("spark.blip.filter.confidence")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("recall", "0", "expected a share above 0, 1 for all rows; SET spark.blip.filter.recall = 1 mends it"),
        ("recall", "1.5", "expected a share above 0, 1 for all rows; SET spark.blip.filter.recall = 1 mends it"),
        ("recall", "much", "expected a share above 0, 1 for all rows; SET spark.blip.filter.recall = 1 mends it"),
        ("confidence", "1", "expected a share above 0 and below 1; SET spark.blip.filter.confidence = 0.95 mends it"),
    ],
)
def test_a_share_that_is_none(spark, similar, key, value, expected):
    spark.sql(f"SET spark.blip.filter.{key} = {value}")
    try:
        with pytest.raises(Exception, match=re.escape(f"spark.blip.filter.{key} = '{value}': {expected}")):
            spark.sql(f"SELECT id FROM similar WHERE {SCORE} > 0.5").collect()
    finally:
        spark.sql(f"RESET spark.blip.filter.{key}")
