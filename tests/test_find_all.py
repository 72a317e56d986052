"""`find_all` gives the promised share of what scoring every row gives, and scores a row at most once."""

import logging
import re

import numpy as np
import pytest
from pyspark.sql import functions as F

from blip_udfs import find_all
from blip_udfs import functions as BF
from tests.plans import counted
from tests.similar_rows import ROWS, TEXT, UNLIKE, stored

OTHER = "other@0123456789ab"


@pytest.fixture(scope="module")
def similar(spark, tiny_model, once_tree):
    return stored(spark, tiny_model, once_tree, "find_all_rows")


@pytest.fixture(scope="module")
def scores(similar):
    return similar.scores


@pytest.fixture(scope="module")
def threshold(similar):
    return similar.threshold


@pytest.fixture(scope="module")
def rows(similar):
    return similar.rows


@pytest.fixture
def table(spark, use_model, rows):
    return spark.table("find_all_rows")


def matching(rows, scores, threshold) -> set[int]:
    return {row[0] for row in rows if scores[row[1]] > threshold}


@pytest.mark.parametrize("rules", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_promise_and_each_row_once(spark, table, rows, scores, threshold, caplog, rules):
    if not rules:  # as in a session without the jar
        ours = "org.apache.spark.sql.blip.Together,org.apache.spark.sql.blip.SortOnce"
        spark.conf.set("spark.sql.optimizer.excludedRules", ours)
    try:
        with counted(spark, "try_blip_itm") as calls, caplog.at_level(logging.INFO, "blip_udfs"):
            df = find_all(table, TEXT, threshold, recall=0.9)
            found = df.collect()
    finally:
        spark.conf.unset("spark.sql.optimizer.excludedRules")
    all_of_them = matching(rows, scores, threshold)
    ids = [row.id for row in found]
    assert df.columns == [*table.columns, "score"]
    assert len(ids) == len(set(ids)) and set(ids) <= all_of_them
    assert len(ids) >= 0.9 * len(all_of_them)
    np.testing.assert_allclose([row.score for row in found], [scores[row.image] for row in found], atol=1e-6)
    assert all_of_them & set(range(ROWS - UNLIKE, ROWS)) <= set(ids)  # those without similarity are all scored
    said = re.fullmatch(
        r"find_all: (\d+) rows, (\d+) in the samples, (\d+) to be scored in all, those of a similarity of (0\.\d{4}) "
        r"and more: a share of 0.9 of the matches, with a probability of 0.95",
        caplog.messages[-1],
    )
    total, labels, scored = map(int, said.groups()[:3])
    assert total == ROWS and labels < scored == sum(calls) < 0.6 * ROWS
    assert 0.2 < float(said[4]) < 0.5


def test_the_same_seed_draws_the_same_rows(table, threshold, caplog):
    caplog.set_level(logging.INFO, "blip_udfs")
    found = []
    for given, seed in ((table, 3), (table.repartition(5), 3), (table, 4)):
        ids = {row.id for row in find_all(given, TEXT, threshold, 0.9, seed=seed).collect()}
        found.append((ids, caplog.messages[-1]))
    assert found[0] == found[1] and found[0][1] != found[2][1]


def test_a_recall_of_one_scores_every_row(spark, table, rows, scores, threshold):
    with counted(spark, "try_blip_itm") as calls:
        found = find_all(table, TEXT, threshold, recall=1).collect()
    assert {row.id for row in found} == matching(rows, scores, threshold) and sum(calls) == ROWS


def test_rows_that_are_there_twice_are_always_scored(spark, table, rows, scores, threshold):
    """Their draws would be one."""
    twice = table.where("id < 300").select(*table.columns)
    with counted(spark, "try_blip_itm") as calls:
        ids = [row.id for row in find_all(table.union(twice), TEXT, threshold, 0.9).collect()]
    matches = matching(rows[:300], scores, threshold)
    assert all(ids.count(each) == 2 for each in matches) and 600 < sum(calls) < ROWS


def test_what_takes_no_part(table, rows, scores, threshold):
    """Rows of another model, older versions, those that `where` leaves out."""
    changed = F.when(F.col("id") < 200, F.lit(OTHER)).otherwise(F.col("model"))
    given = table.withColumn("model", changed).withColumn("version", F.col("id"))  # the highest id of an image is new
    newest = {row[1]: row[0] for row in rows if row[0] >= 200}
    for where, expected in (
        (None, set(newest.values())),
        ("camera = 'cam0'", {n for n in newest.values() if n % 2 == 0}),
    ):
        found = {row.id for row in find_all(given, TEXT, threshold, 0.9, where=where).collect()}
        assert found == expected & matching(rows, scores, threshold) != set()
    with pytest.raises(ValueError, match=f"no row has an embedding of the session's model .*made by {OTHER}"):
        find_all(table.withColumn("model", F.lit(OTHER)), TEXT, threshold)


def test_nothing_to_find(table, caplog):
    caplog.set_level(logging.INFO, "blip_udfs")
    assert find_all(table.limit(0), TEXT, 0.5).collect() == []
    assert caplog.messages[-1].startswith("find_all: 0 rows, 0 in the samples, 0 to be scored in all, no bound")
    assert find_all(table.where("id < 300"), TEXT, 1.0, 0.9).collect() == []
    assert re.match(r"find_all: 300 rows, \d+ in the samples, 300 to be scored in all, no bound", caplog.messages[-1])


def test_an_image_that_does_not_decode_matches_nothing(table, rows, scores, threshold):
    given = table.where("id < 100").withColumn("image", F.when(F.col("id") >= 10, F.col("image")).otherwise("/nowhere"))
    found = {row.id for row in find_all(given.drop("version"), TEXT, threshold).collect()}
    assert found == matching(rows[10:100], scores, threshold)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"text": ""}, "text: expected a sentence, got none"),
        ({"threshold": 1.5}, "threshold: expected a probability from 0 to 1, got 1.5"),
        ({"threshold": float("nan")}, "threshold: expected a probability from 0 to 1, got nan"),
        ({"recall": 0}, "recall: expected a share above 0, 1 at most, got 0"),
        ({"recall": 1.1}, "recall: expected a share above 0, 1 at most, got 1.1"),
        ({"confidence": 1}, "confidence: expected a probability between 0 and 1, got 1; recall=1 is certain"),
        ({"embedding": "vector"}, "expected a column vector, the table has id, image, embedding"),
    ],
)
def test_wrong_calls(table, wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        find_all(table, **({"text": TEXT, "threshold": 0.5} | wrong))


def test_columns_that_have_no_hash_and_odd_names(table, rows, scores, threshold):
    given = (
        table.where("id < 400").withColumn("tags", F.create_map(F.lit("a"), F.col("id"))).withColumn("a.b", F.lit(1))
    )
    found = find_all(given.withColumn("score", F.lit("the table's own")), TEXT, threshold, 0.9)
    assert found.columns == [*table.columns, "tags", "a.b", "score"]
    assert len(found.collect()) >= 0.9 * len(matching(rows[:400], scores, threshold))


def test_in_sql_the_same_rows_pass(spark, table, threshold):
    query = f"SELECT id FROM find_all_rows WHERE blip_itm(image, '{TEXT}') > {threshold}D AND id < 200"
    found = find_all(table, TEXT, threshold, recall=1, where="id < 200")
    assert sorted(row.id for row in found.collect()) == sorted(row.id for row in spark.sql(query).collect())
    assert found.where(BF.blip_itm("image", TEXT) <= threshold).count() == 0
