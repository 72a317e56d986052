"""Several functions of one image in one SELECT: one Python call with the values that each alone gives."""

import re

import numpy as np
import pytest
from pyspark.errors import PySparkException

from blip_udfs import functions as BF
from tests.plans import evaluations, nodes, optimized

CALLS = {
    "embedding": "blip_image_embed(image)",
    "features": "blip_image_features(image)",
    "night": "blip_itm(image, 'a truck at night')",
    "rain": "blip_itm(image, 'a car in the rain')",
    "logit": "blip_itm_logit(image, 'a car in the rain')",
    "by_column": "blip_itm(image, camera)",
    "many": "blip_itm_many(image, array('a bus', NULL, camera))",
    "others": "blip_itm_many(image, array('a tunnel'))",
}


@pytest.fixture
def images(spark, use_model, once_tree):
    """Kept in one order, in which each query reads them."""
    rows = spark.sql(f"SELECT * FROM read_once('{once_tree}') ORDER BY image")
    rows.coalesce(2).localCheckpoint().createOrReplaceTempView("images")


def select(spark, calls):
    """A row per image, in the order that `images` keeps."""
    return spark.sql(f"SELECT {', '.join(calls)} FROM images WHERE camera = 'cam01'")


def python_calls(df):
    df.collect()
    plan = df._jdf.queryExecution().executedPlan()
    calls = [node for node in nodes(plan) if "EvalPython" in node.nodeName()]
    return [node for node in calls if "blip_" in node.toString()]


def test_one_call_serves_all_and_evaluates_each_row_once(spark, images):
    together = select(spark, CALLS.values())
    rows, count = evaluations(together, "blip_together")
    assert (len(rows), count, len(python_calls(together))) == (24, 24, 1)
    for place, (name, call) in enumerate(CALLS.items()):
        alone = [row[0] for row in select(spark, [call]).collect()]
        found = [row[place] for row in rows]
        if name == "features":  # float16: what one batch rounds up another may round down
            found, alone = ([np.frombuffer(blob[-64 * 32 :], np.float16) for blob in blobs] for blobs in (found, alone))
            np.testing.assert_allclose(found, alone, atol=2e-3, err_msg=name)
        elif name == "many":
            assert all(row[1] is None for row in found)
            np.testing.assert_allclose(np.array(found, float), np.array(alone, float), atol=1e-5, err_msg=name)
        else:
            np.testing.assert_allclose(found, alone, atol=1e-5, err_msg=name)


def test_the_dataframe_functions_are_merged_too(spark, images):
    df = spark.table("images").select(BF.blip_itm("image", "a bus"), BF.blip_image_embed("image"))
    assert len(python_calls(df)) == 1


def test_a_null_gives_null_where_it_alone_would(spark, images):
    image = "first(image) OVER () AS image"
    spark.sql(f"SELECT {image} FROM images LIMIT 1").createOrReplaceTempView("one")
    row = spark.sql("SELECT blip_itm(image, 'a bus'), blip_itm(image, CAST(NULL AS STRING)) FROM one").first()
    assert row[0] is not None and row[1] is None
    nothing = "CAST(NULL AS BINARY)"
    row = spark.sql(
        f"SELECT blip_itm(i, 'a bus'), blip_image_embed(i), blip_itm_many(i, array('a')) FROM (SELECT {nothing} AS i)"
    ).first()
    assert list(row) == [None, None, None]


def test_a_bad_image_raises_and_gives_null_in_the_try_forms(spark, images):
    bad = "(SELECT X'00' AS image)"
    with pytest.raises(PySparkException, match="expected JPEG, PNG"):
        spark.sql(f"SELECT blip_itm(image, 'a'), blip_image_embed(image) FROM {bad}").collect()
    row = spark.sql(f"SELECT try_blip_itm(image, 'a'), try_blip_image_embed(image) FROM {bad}").first()
    assert list(row) == [None, None]


def test_the_cascade_scores_its_candidates_once_for_several_sentences(spark, images, tmp_path):
    spark.sql("SELECT image, blip_image_embed(image) AS embedding FROM images").write.parquet(str(tmp_path / "rows"))
    spark.read.parquet(str(tmp_path / "rows")).createOrReplaceTempView("embedded_images")
    spark.conf.set("spark.blip.search.candidates", 10)
    try:
        scores = "blip_itm(image, 'a bus') AS bus, blip_itm(image, 'a tunnel') AS tunnel"
        ranked = spark.sql(f"SELECT {scores} FROM embedded_images ORDER BY bus DESC LIMIT 3")
        rows, count = evaluations(ranked, "blip_together")
    finally:
        spark.conf.unset("spark.blip.search.candidates")
    assert (len(rows), count) == (3, 10)


@pytest.mark.parametrize(
    "calls",
    [
        ["blip_itm(image, 'a bus')"],
        ["blip_itm(image, 'a bus')", "blip_itm(image, 'a bus') + 1"],
        ["blip_itm(image, 'a bus')", "try_blip_itm(image, 'a tram')"],
        ["blip_itm(image, 'a bus')", "blip_itm(concat(image, ''), 'a tram')"],
        ["blip_image_error(image)", "blip_image_embed(image)"],
        ["blip_itm(blip_image_features(image), 'a bus')", "blip_itm(blip_image_features(image), 'a tram')"],
    ],
)
def test_other_calls_are_left_alone(spark, images, calls):
    assert "blip_together" not in optimized(select(spark, calls))


def test_only_the_columns_that_are_asked_for_are_read(spark, images, tmp_path):
    spark.sql("SELECT image, camera, weather FROM images").write.parquet(str(tmp_path / "images"))
    df = spark.read.parquet(str(tmp_path / "images")).select(
        BF.blip_itm("image", "a bus"), BF.blip_itm("image", "a tram")
    )
    read = re.search(r"ReadSchema: struct<(.*?)>", df._jdf.queryExecution().explainString(extended_mode()))
    assert read and read.group(1) == "image:string"


def extended_mode():
    from pyspark import SparkContext

    return SparkContext._active_spark_context._jvm.org.apache.spark.sql.execution.ExplainMode.fromString("formatted")
