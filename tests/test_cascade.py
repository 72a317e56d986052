"""The cascade under plain SQL: exactly N rows are scored, they are the protocol's, and other queries are left alone."""

import numpy as np
import pytest
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from blip_udfs import functions as BF
from blip_udfs.blip.model import load
from tests.plans import evaluations, optimized
from tests.tiny_model import make

TEXT = "a truck at night"
SCORE = f"blip_itm(image, '{TEXT}')"
N, K = 10, 3


@pytest.fixture(scope="module")
def table(spark, tiny_model, once_tree):
    """embedded: 48 rows, partitioned; scored: every row's similarity and score, from the model called directly."""
    from blip_udfs import read_once
    from blip_udfs.files.images import pixels

    spark.conf.set("spark.blip.model", str(tiny_model))
    rows = read_once(spark, str(once_tree)).select(
        "frame_id", "camera", "weather", "image", BF.blip_image_embed("image").alias("embedding"),
        BF.blip_model().alias("model"), "sequence_id",
    )  # fmt: skip
    rows.write.partitionBy("sequence_id").mode("overwrite").saveAsTable("embedded")
    spark.sql("CREATE OR REPLACE VIEW without_embedding AS SELECT frame_id, camera, weather, image FROM embedded")
    spark.sql("CREATE OR REPLACE VIEW lasting AS SELECT * FROM embedded WHERE weather <> 'sunny'")
    spark.conf.unset("spark.blip.model")
    model = load(str(tiny_model))
    found = spark.table("embedded").collect()
    images = np.stack([pixels(row.image.removeprefix("file:"), model.image_size) for row in found])
    itc = np.array([row.embedding for row in found], np.float32) @ model.embed_texts([TEXT])[0]
    scores = model.match_probability(model.itm_logits(model.features(images), [TEXT] * len(found)))
    return [(row, *map(float, pair)) for row, *pair in zip(found, itc, scores, strict=True)]


@pytest.fixture(autouse=True)
def cascade(spark, use_model, table):
    spark.conf.set("spark.blip.search.candidates", N)
    yield
    spark.conf.unset("spark.blip.search.candidates")


def expected(table, keep=lambda row: True, offset=0, candidates=N):
    """frame_id, camera of the best K rows by hand: filter, the N nearest, score."""
    rows = sorted((each for each in table if keep(each[0])), key=lambda each: -each[1])[:candidates]
    best = sorted(rows, key=lambda each: -each[2])[offset : offset + K]
    return [(row.frame_id, row.camera) for row, _, _ in best]


def anything(row):
    return True


def rainy(row):
    return row.weather != "sunny"


SERVED = {
    "plain": (f"SELECT frame_id, camera, {SCORE} AS score FROM embedded ORDER BY score DESC LIMIT 3", anything),
    "where": (
        f"SELECT frame_id, camera, {SCORE} AS s FROM embedded WHERE weather <> 'sunny' ORDER BY s DESC LIMIT 3",
        rainy,
    ),
    "key not selected": (f"SELECT frame_id, camera FROM embedded ORDER BY {SCORE} DESC LIMIT 3", anything),
    "embedding selected": (
        f"SELECT frame_id, camera, embedding FROM embedded ORDER BY {SCORE} DESC LIMIT 3",
        anything,
    ),
    "temporary view": (f"SELECT frame_id, camera FROM seen ORDER BY {SCORE} DESC LIMIT 3", rainy),
    "persistent view": (f"SELECT frame_id, camera, {SCORE} AS s FROM lasting ORDER BY s DESC LIMIT 3", rainy),
    "common table expression": (
        f"WITH r AS (SELECT * FROM embedded WHERE weather <> 'sunny') "
        f"SELECT frame_id, camera FROM r ORDER BY {SCORE} DESC LIMIT 3",
        rainy,
    ),
    "filter over a subquery": (
        f"SELECT frame_id, camera FROM (SELECT *, {SCORE} AS s FROM embedded) "
        "WHERE weather <> 'sunny' ORDER BY s DESC LIMIT 3",
        rainy,
    ),
    "join above": (
        f"SELECT frame_id, camera FROM (SELECT frame_id, camera, sequence_id, {SCORE} AS s FROM embedded "
        "ORDER BY s DESC LIMIT 3) JOIN drives USING (sequence_id) ORDER BY s DESC",
        anything,
    ),
    "join below": (
        "SELECT frame_id, camera FROM embedded JOIN drives USING (sequence_id) "
        f"WHERE even ORDER BY {SCORE} DESC LIMIT 3",
        lambda row: int(row.sequence_id) % 2 == 0,
    ),
    "more sort keys": (f"SELECT frame_id, camera FROM embedded ORDER BY {SCORE} DESC, frame_id LIMIT 3", anything),
    "one partition": (
        "SELECT frame_id, camera FROM embedded WHERE sequence_id IN ('000001', '000002') "
        f"ORDER BY {SCORE} DESC LIMIT 3",
        lambda row: row.sequence_id in ("000001", "000002"),
    ),
    "the logit": (
        f"SELECT frame_id, camera FROM embedded ORDER BY blip_itm_logit(image, '{TEXT}') DESC LIMIT 3",
        None,
    ),
    "try": (f"SELECT frame_id, camera FROM embedded ORDER BY try_{SCORE} DESC LIMIT 3", anything),
    "cached": (f"SELECT frame_id, camera FROM cached ORDER BY {SCORE} DESC LIMIT 3", anything),
}


@pytest.fixture(scope="module")
def relations(spark, table):
    spark.sql("CREATE OR REPLACE TEMPORARY VIEW seen AS SELECT * FROM embedded WHERE weather <> 'sunny'")
    spark.sql(
        "CREATE OR REPLACE TEMPORARY VIEW drives AS "
        "SELECT DISTINCT sequence_id, int(sequence_id) % 2 = 0 AS even FROM embedded"
    )
    spark.sql("CACHE TABLE cached AS SELECT * FROM embedded")
    yield
    spark.catalog.dropTempView("cached")


@pytest.mark.parametrize("name", SERVED)
def test_exactly_n_rows_are_scored_and_they_are_the_protocols(spark, table, relations, name):
    query, keep = SERVED[name]
    function = {"the logit": "blip_itm_logit", "try": "try_blip_itm"}.get(name, "blip_itm")
    rows, scored = evaluations(spark.sql(query), function)
    assert scored == N
    if keep is not None:
        assert [(row.frame_id, row.camera) for row in rows] == expected(table, keep)


def test_limit_with_offset(spark, table):
    rows, scored = evaluations(
        spark.sql(f"SELECT frame_id, camera FROM embedded ORDER BY {SCORE} DESC LIMIT 3 OFFSET 2")
    )
    assert scored == N
    assert [(row.frame_id, row.camera) for row in rows] == expected(table, offset=2)


def test_a_dataframe(spark, table):
    df = spark.table("embedded").withColumn("score", BF.blip_itm("image", TEXT)).orderBy(F.desc("score")).limit(3)
    rows, scored = evaluations(df)
    assert scored == N
    assert [(row.frame_id, row.camera) for row in rows] == expected(table)


@pytest.mark.parametrize("rows", [0, 1, K])
def test_small_tables(spark, table, rows):
    small = spark.table("embedded").orderBy("frame_id", "camera").limit(rows).localCheckpoint()
    small.createOrReplaceTempView("small")
    found, scored = evaluations(spark.sql(f"SELECT frame_id FROM small ORDER BY {SCORE} DESC LIMIT 3"))
    assert (len(found), scored) == (rows, rows)


def test_rows_without_embedding_are_candidates_only_when_too_few_have_one(spark, table):
    bare = spark.table("embedded").withColumn("embedding", F.expr("if(camera = 'cam01', embedding, NULL)"))
    bare.localCheckpoint().createOrReplaceTempView("bare")
    query = f"SELECT frame_id, camera FROM bare ORDER BY {SCORE} DESC LIMIT 3"
    rows, scored = evaluations(spark.sql(query))
    assert scored == N
    assert [(row.frame_id, row.camera) for row in rows] == expected(table, lambda row: row.camera == "cam01")
    spark.conf.set("spark.blip.search.candidates", 100)
    rows, scored = evaluations(spark.sql(query))
    assert scored == len(table)
    assert [(row.frame_id, row.camera) for row in rows] == expected(table, candidates=100)


LEFT_ALONE = {
    "a view without the embedding": f"SELECT frame_id FROM without_embedding ORDER BY {SCORE} DESC LIMIT 3",
    "no limit": f"SELECT frame_id FROM embedded ORDER BY {SCORE} DESC",
    "no order": f"SELECT {SCORE} FROM embedded LIMIT 3",
    "ascending": f"SELECT frame_id FROM embedded ORDER BY {SCORE} LIMIT 3",
    "nulls first": f"SELECT frame_id FROM embedded ORDER BY {SCORE} DESC NULLS FIRST LIMIT 3",
    "not the first key": f"SELECT frame_id FROM embedded ORDER BY weather, {SCORE} DESC LIMIT 3",
    "a function of the score": f"SELECT frame_id FROM embedded ORDER BY round({SCORE}, 2) DESC LIMIT 3",
    "a text per row": "SELECT frame_id FROM embedded ORDER BY blip_itm(image, weather) DESC LIMIT 3",
    "a score in WHERE": f"SELECT frame_id FROM embedded WHERE {SCORE} > 0.1 ORDER BY {SCORE} DESC LIMIT 3",
    "no embedding": f"SELECT image FROM (SELECT image FROM once_images) ORDER BY {SCORE} DESC LIMIT 3",
    "too many rows wanted": f"SELECT frame_id FROM embedded ORDER BY {SCORE} DESC LIMIT 10",
    "offset too large": f"SELECT frame_id FROM embedded ORDER BY {SCORE} DESC LIMIT 3 OFFSET 7",
    "an aggregate": f"SELECT weather, avg({SCORE}) AS best FROM embedded GROUP BY weather ORDER BY best DESC LIMIT 3",
    "no score": "SELECT frame_id, weather FROM embedded ORDER BY weather DESC LIMIT 3",
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_other_queries_keep_sparks_own_plan(spark, once_tree, name):
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW once_images AS SELECT image FROM read_once('{once_tree}')")
    asked = optimized(spark.sql(LEFT_ALONE[name]))
    spark.conf.set("spark.blip.search.candidates", 0)
    assert asked == optimized(spark.sql(LEFT_ALONE[name]))
    assert "blip_similarity" not in asked


def test_without_candidates_every_row_is_scored(spark, table):
    spark.conf.set("spark.blip.search.candidates", 0)
    rows, scored = evaluations(spark.sql(SERVED["plain"][0]))
    assert scored == len(table)
    assert [(row.frame_id, row.camera) for row in rows] == expected(table, candidates=len(table))


def test_a_constant_text_is_embedded_once(spark, table):
    nearest = f"SELECT frame_id, blip_similarity(embedding, blip_text_embed('{TEXT}')) AS s FROM embedded"
    for query in (
        nearest,
        f"{nearest} WHERE blip_similarity(embedding, blip_text_embed('{TEXT}')) > 0 ORDER BY s DESC LIMIT 3",
        f"{nearest} ORDER BY blip_similarity(embedding, blip_text_embed('{TEXT}')) DESC LIMIT 3",
    ):
        rows, embedded = evaluations(spark.sql(query), "blip_text_embed")
        assert rows and embedded == 0  # not per row: what is left is a subquery with one row
        assert "LocalRelation [argument]" in optimized(spark.sql(query))
    by_hand = {row.frame_id + row.camera: itc for row, itc, _ in table}
    got = spark.sql(
        f"SELECT frame_id || camera, s FROM ({nearest.replace('frame_id,', 'frame_id, camera,')})"
    ).collect()
    np.testing.assert_allclose([row[1] for row in got], [by_hand[row[0]] for row in got], atol=1e-6)


def test_rows_of_another_model_take_no_part(spark, table, tiny_model, tmp_path):
    other = make(tmp_path / "other", seed=1)
    mixed = spark.table("embedded").withColumn("model", F.expr("if(camera = 'cam01', model, 'other@0123456789ab')"))
    mixed.localCheckpoint().createOrReplaceTempView("mixed")
    query = f"SELECT frame_id, camera FROM mixed ORDER BY {SCORE} DESC LIMIT 3"
    rows, scored = evaluations(spark.sql(query))
    assert scored == N
    assert [(row.frame_id, row.camera) for row in rows] == expected(table, lambda row: row.camera == "cam01")
    spark.conf.set("spark.blip.model", str(other))
    with pytest.raises((PySparkException, Py4JError)) as error:  # a task's on Spark 3.5
        spark.sql(query.replace("mixed", "embedded")).collect()
    ours, theirs = load(str(other)).label, load(str(tiny_model)).label
    assert (
        f"no row has an embedding of the session's model {ours}; they were made by {theirs}: "
        "SET spark.blip.model to that one, or embed the images again"
    ) in str(error.value)


def test_an_unusable_number_of_candidates(spark):
    spark.conf.set("spark.blip.search.candidates", "-3")
    message = "spark.blip.search.candidates = '-3': expected a whole number of rows, 0 for all; SET .* = 0 mends it"
    with pytest.raises(Exception, match=message):
        spark.sql(SERVED["plain"][0]).collect()


@pytest.mark.parametrize("asked", ["SELECT s FROM ({}) ORDER BY s DESC LIMIT 4", "SELECT max(s) AS s FROM ({})"])
def test_a_union_of_paths_and_bytes_is_left_alone(spark, table, asked):
    """One column cannot hold both: what would be scored above the union is scored in its parts."""
    files = [row.image for row, *_ in table]
    spark.read.format("binaryFile").load(files).createOrReplaceTempView("blobs")
    spark.sql("SELECT content AS image, embedding FROM blobs JOIN embedded ON path = image").write.mode(
        "overwrite"
    ).saveAsTable("stored_blobs")
    parts = (f"SELECT {SCORE} AS s FROM (SELECT image, embedding FROM {name})" for name in ("embedded", "stored_blobs"))
    rows = spark.sql(asked.format(" UNION ALL ".join(parts))).collect()
    best = sorted((score for *_, score in table for _ in range(2)), reverse=True)
    assert [row.s for row in rows] == pytest.approx(best[: len(rows)], abs=1e-6)
    spark.sql("DROP TABLE stored_blobs")
