"""A call is made once per row, and an image encoded once per query, wherever they stand in it."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from blip_udfs import functions as BF
from tests.plans import nodes

A, B, C = (f"blip_itm(image, '{text}')" for text in ("a bus", "a truck at night", "in the rain"))
EMBEDDING = "blip_image_embed(image)"
ROWS = 48
EACH_ONCE = {
    "a sort without limit": (f"SELECT frame_id, {A} AS s FROM images ORDER BY s DESC", ROWS),
    "by the call itself": (f"SELECT frame_id FROM images ORDER BY {A} DESC", ROWS),
    "the call again": (f"SELECT frame_id, {A} AS s FROM images ORDER BY {A} DESC", ROWS),
    "the call under another alias": (f"SELECT {A} AS s, {A} AS again FROM images ORDER BY again, s", ROWS),
    "a function of the call": (f"SELECT frame_id, {A} AS s FROM images ORDER BY round({A}, 1), s", ROWS),
    "a sort by another column": (f"SELECT frame_id, {EMBEDDING} AS e FROM images ORDER BY frame_id, camera", ROWS),
    "a sort of a subquery": (f"SELECT * FROM (SELECT frame_id, {A} AS s FROM images) ORDER BY frame_id, s", ROWS),
    "in WHERE and SELECT": (f"SELECT {A} AS s FROM images WHERE {A} > 0.4", ROWS),
    "in WHERE, SELECT and ORDER BY": (f"SELECT {A} AS s FROM images WHERE {A} > 0.4 ORDER BY {A}", ROWS),
    "other texts": (f"SELECT {A} AS a FROM images WHERE {B} > 0.4 ORDER BY {C} DESC", ROWS),
    "other texts and a limit": (f"SELECT {A} AS a FROM images WHERE {B} > 0.4 ORDER BY {C} DESC LIMIT 5", ROWS),
    "other texts and conditions": (
        f"SELECT {A} AS a, {EMBEDDING} AS e FROM images WHERE {B} > 0.4 AND camera = 'cam01' ORDER BY a",
        ROWS // 2,
    ),
    "a renamed image": (
        f"SELECT i, {A.replace('image', 'i')} AS a FROM (SELECT image AS i FROM images WHERE {B} > 0.4)",
        ROWS,
    ),
    "aggregates": (f"SELECT max({A}) AS a, avg({B}) AS b, count(*) FROM images", ROWS),
    "groups": (f"SELECT {A} > 0.5 AS k, max({B}) AS b FROM images WHERE {C} > 0.1 GROUP BY {A} > 0.5 ORDER BY k", ROWS),
    "a sort of groups": (f"SELECT camera, max({A}) AS a FROM images GROUP BY camera ORDER BY a DESC", ROWS),
    "a window": (f"SELECT {A} AS a, rank() OVER (PARTITION BY camera ORDER BY {B}) AS r FROM images ORDER BY a", ROWS),
    "a union": (
        f"SELECT {A} AS a FROM images WHERE camera = 'cam01' UNION ALL SELECT {B} FROM images WHERE camera = 'cam03' "
        "ORDER BY a",
        ROWS,
    ),
    "a subquery": (f"SELECT frame_id FROM images WHERE {A} = (SELECT max({A}) FROM images)", 2 * ROWS),
}  # fmt: skip


@pytest.fixture(scope="module")
def images(spark, tiny_model, once_tree):
    """48 rows, stored."""
    spark.sql(f"SELECT frame_id, camera, sequence_id, image FROM read_once('{once_tree}')").write.saveAsTable(
        "once_rows"
    )
    spark.table("once_rows").createOrReplaceTempView("images")


def made(df):
    """The rows, and how many results of our functions the workers sent."""
    execution = df._jdf.queryExecution()
    rows = df.collect()
    plans = [execution.executedPlan()]
    count = 0
    while plans:
        for node in nodes(plans.pop()):
            if "EvalPython" in node.nodeName():
                count += node.metrics().apply("pythonNumRowsReceived").value()
            subqueries = node.subqueries()
            plans += [subqueries.apply(index).child() for index in range(subqueries.size())]
    return rows, count


@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize("name", EACH_ONCE)
def test_each_row_is_evaluated_once(spark, use_model, images, name, adaptive):
    query, expected = EACH_ONCE[name]
    spark.conf.set("spark.sql.adaptive.enabled", adaptive)
    try:
        rows, count = made(spark.sql(query))
    finally:
        spark.conf.unset("spark.sql.adaptive.enabled")
    assert count == expected
    without, more = by_spark_alone(spark, query)
    assert more >= count
    assert len(rows) == len(without)
    for row, other in zip(in_order(rows, query), in_order(without, query), strict=True):
        for value, wanted in zip(row, other, strict=True):
            assert value == wanted if isinstance(value, str) else np.allclose(value, wanted, atol=1e-5)


def test_without_the_rules_spark_makes_calls_twice(spark, use_model, images):
    assert by_spark_alone(spark, EACH_ONCE["in WHERE, SELECT and ORDER BY"][0])[1] > ROWS


def in_order(rows, query):
    return rows if "ORDER BY" in query else sorted(rows)


def by_spark_alone(spark, query):
    """The rows with none of our rules for calls at work."""
    ours = "org.apache.spark.sql.blip.Together,org.apache.spark.sql.blip.SortOnce"
    spark.conf.set("spark.sql.optimizer.excludedRules", ours)
    try:
        return made(spark.sql(query))
    finally:
        spark.conf.unset("spark.sql.optimizer.excludedRules")


def test_dataframes_and_ranges(spark, use_model, images):
    score = BF.blip_itm("image", "a bus")
    for df in (
        spark.table("images").withColumn("s", score).orderBy(F.desc("s")).select("s", "frame_id"),
        spark.table("images").withColumn("s", score).repartitionByRange(3, "s").select("s", "frame_id"),
        spark.table("images").repartitionByRange(3, score).select(score.alias("s"), "frame_id"),
        spark.table("images").where(score > 0).withColumn("s", score).select("s", "frame_id"),
    ):
        rows, count = made(df)
        assert count == len(rows) == ROWS
        expected = spark.table("images").select(score.alias("s"), "frame_id").collect()
        np.testing.assert_allclose(sorted(row.s for row in rows), sorted(row.s for row in expected), atol=1e-6)


def test_conditions_without_python_are_asked_first(spark, use_model, images):
    rows, count = made(spark.sql(f"SELECT {A} AS a FROM images WHERE {B} > 0 AND frame_id = 'none'"))
    assert (rows, count) == ([], 0)


def test_sorts_without_calls_keep_sparks_own_plan(spark, images):
    plan = spark.sql("SELECT frame_id FROM images ORDER BY frame_id")._jdf.queryExecution().optimizedPlan().toString()
    assert "Repartition" not in plan
