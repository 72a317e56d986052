"""Ten queries that give the same rows on every Spark: `make matrix` runs this on each and compares what is written."""

import json
import os
from pathlib import Path

import pytest

from tests.plans import evaluations

N = 10
QUERIES = {
    "tree": "SELECT sequence_id, frame_id, camera, weather, period, region, split, classes, problem FROM tree_on_line "
    "ORDER BY 1, 2, 3",
    "embeddings": "SELECT sequence_id, frame_id, camera, embedding FROM on_line ORDER BY 1, 2, 3",
    "similarity": "SELECT sequence_id, frame_id, camera, blip_similarity(embedding, blip_text_embed('a bus')) s "
    "FROM on_line ORDER BY s DESC, 1, 2, 3",
    "scores": "SELECT sequence_id, frame_id, camera, blip_itm(image, 'a car'), blip_itm_logit(image, 'a car') "
    "FROM on_line ORDER BY 1, 2, 3",
    "many": "SELECT sequence_id, frame_id, camera, blip_itm_many(image, array('a bus', NULL, 'rain')) FROM on_line "
    "WHERE camera = 'cam01' ORDER BY 1, 2, 3",
    "bad images": "SELECT try_blip_itm(bad, 'a car'), blip_image_error(bad) FROM (SELECT binary('no image') AS bad)",
    "cascade": "SELECT sequence_id, frame_id, camera, blip_itm(image, 'a truck at night') s FROM on_line "
    "ORDER BY s DESC LIMIT 3",
    "cascade with a filter": "SELECT sequence_id, frame_id, camera, blip_itm(image, 'a truck') s FROM on_line "
    "WHERE camera = 'cam01' ORDER BY s DESC LIMIT 3",
    "search": "SELECT sequence_id, frame_id, camera, score FROM blip_search('on_line', 'a bus in the rain', 4, 10)",
    "search, one per drive": "SELECT sequence_id, score FROM blip_search('on_line', 'a bus in the rain', "
    "one_per => 'sequence_id')",
}


@pytest.fixture(scope="module")
def tables(spark, once_tree):
    spark.sql(f"SELECT * FROM read_once('{once_tree}')").createOrReplaceTempView("tree_on_line")
    made = spark.sql("SELECT *, blip_image_embed(image) AS embedding, blip_model() AS model FROM tree_on_line")
    made.write.mode("overwrite").saveAsTable("on_line")
    spark.conf.set("spark.blip.search.candidates", N)
    yield
    spark.conf.unset("spark.blip.search.candidates")


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_of_every_spark(spark, tables, name):
    df = spark.sql(QUERIES[name])
    if name.startswith("cascade"):
        rows, scored = evaluations(df)
        assert scored == N
    else:
        rows = df.collect()
    assert rows
    if folder := os.environ.get("BLIP_ROWS"):
        (Path(folder) / f"{name}.json").write_text(json.dumps([list(row) for row in rows]))


def test_a_stored_view_calls_our_functions(spark, tables, once_tree):
    query = f"SELECT frame_id, camera, blip_itm(image, 'a bus') AS score FROM read_once('{once_tree}')"
    spark.sql(f"CREATE OR REPLACE VIEW view_on_line AS {query}")
    try:
        stored = spark.sql("SELECT * FROM view_on_line ORDER BY 1, 2").collect()
        expected = spark.sql(f"{query} ORDER BY 1, 2").collect()
        assert [row[:2] for row in stored] == [row[:2] for row in expected] != []
        assert [row.score for row in stored] == pytest.approx([row.score for row in expected], abs=1e-6)
    finally:
        spark.sql("DROP VIEW view_on_line")
