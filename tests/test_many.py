"""Many sentences in one scan: the rows of each are those of its own search, and an image is encoded once for all."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from blip_udfs import search
from blip_udfs.spark.nearest import hits
from tests import test_four_doors as doors
from tests.plans import evaluations, nodes

rows, session, text = doors.rows, doors.session, doors.text  # fixtures: the table at_the_doors
SENTENCES = {
    "night": "a truck at night",
    "rain": "a car in the rain",
    "bus": "a bus",
    "it's :query": "a pedestrian beside a bus",
    "again": "a bus",
}
K, N = 4, 9


def of_each(table, **options):
    return {name: search(table, sentence, **options).collect() for name, sentence in SENTENCES.items()}


def same(found, expected):
    """Rows by name: the same images, versions and ranks in the same order, and scores."""
    assert list(dict.fromkeys(row["query"] for row in found)) == list(expected)
    for name, rows in expected.items():
        own = [row for row in found if row["query"] == name]
        assert [(row.image, row.version) for row in own] == [(row.image, row.version) for row in rows], name
        assert [row["rank"] for row in own] == list(range(1, len(rows) + 1))
        scores = [[np.nan if row.score is None else row.score for row in each] for each in (own, rows)]
        np.testing.assert_allclose(*scores, atol=1e-5, err_msg=name)


def by_sql(session, where, k, candidates, table="at_the_doors"):
    saved = session.createDataFrame(list(SENTENCES.items()), "name STRING, sentence STRING").coalesce(1)
    saved.createOrReplaceTempView("saved_sentences")
    rows = f"TABLE(SELECT * FROM {table} WHERE {where or 'true'})"
    queries = "TABLE(SELECT name, sentence FROM saved_sentences)"
    return session.sql(
        f"SELECT * FROM blip_search(table => {rows}, queries => {queries}, k => {k}, candidates => {candidates})"
    )


def by_search(session, where, k, candidates, table="at_the_doors"):
    return search(session.table(table), queries=SENTENCES, k=k, candidates=candidates, where=where)


@pytest.mark.parametrize(
    ("k", "candidates", "where"),
    [
        (K, N, None),
        pytest.param(100, 40, "camera = 'cam01'", marks=pytest.mark.slow),
        pytest.param(2, 0, None, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("door", [by_search, by_sql])
def test_the_rows_of_each_are_those_of_its_own_search(session, rows, door, k, candidates, where):
    table = session.table("at_the_doors")
    options = {"k": k, "candidates": candidates, "where": where}
    df = door(session, **options)
    assert df.columns == [name for name in table.columns if name != "score"] + ["query", "rank", "score"]
    found, scored = evaluations(df, "try_blip_together")
    same(found, of_each(table, **options))
    if candidates == N:
        chosen = [search(table, each, k=N, candidates=N).collect() for each in SENTENCES.values()]
        union = {(row.image, row.version) for rows in chosen for row in rows}
        assert scored == len(union) < N * len(SENTENCES)  # each image once


def test_a_condition_may_hold_braces_and_end_in_a_comment(session, rows):
    where = "camera = 'cam01' AND image NOT LIKE '%{x}%' -- the front"
    found = search(session.table("at_the_doors"), queries=SENTENCES, k=K, candidates=N, where=where).collect()
    same(found, of_each(session.table("at_the_doors"), k=K, candidates=N, where="camera = 'cam01'"))


@pytest.mark.parametrize("door", [by_search, by_sql])
def test_the_table_is_read_once(session, rows, door):
    """A table of images that have versions is read once more for the newest of them."""
    session.table("at_the_doors").drop("version").createOrReplaceTempView("without_versions")
    df = door(session, None, K, N, "without_versions")
    df.collect()
    plan = [node.nodeName() for node in nodes(df._jdf.queryExecution().executedPlan())]
    assert len([name for name in plan if name.startswith("Scan parquet")]) == 1, plan


@pytest.mark.parametrize("given", ["DataFrame", "name", "SQL"])
def test_sentences_of_a_table(session, rows, given):
    """Found by its columns' names, in whatever order and beside whatever others."""
    rows = [(5, sentence, name) for name, sentence in SENTENCES.items()]
    saved = session.createDataFrame(rows, "k INT, sentence STRING, name STRING").coalesce(1)
    saved.createOrReplaceTempView("saved_sentences")
    table = session.table("at_the_doors")
    if given == "SQL":
        call = f"blip_search('at_the_doors', queries => 'saved_sentences', k => 2, candidates => {N})"
        found = session.sql(f"SELECT * FROM {call}").collect()
    else:
        asked = saved if given == "DataFrame" else "saved_sentences"
        found = search(table, queries=asked, k=2, candidates=N).collect()
    same(found, of_each(table, k=2, candidates=N))


def test_sentences_of_a_query_of_ones_own(session, rows):
    """A CTE, a view over the search, a sentence that is a constant; the score of each is its own search's."""
    table = session.table("at_the_doors")
    own = {name: search(table, SENTENCES[name], k=2, candidates=N).collect() for name in ("bus", "rain")}
    cte = "WITH saved AS (SELECT 'bus' AS name, 'a bus' AS sentence UNION ALL VALUES ('rain', 'a car in the rain'))"
    call = f"blip_search('at_the_doors', queries => TABLE(saved), k => 2, candidates => {N})"
    found = session.sql(f"{cte} SELECT * FROM {call}").collect()
    same(sorted(found, key=lambda row: row["query"]), own)
    one = "TABLE(SELECT 'bus' AS name, 'a bus' AS sentence)"
    session.sql(
        "CREATE OR REPLACE TEMPORARY VIEW of_one AS SELECT * FROM "
        f"blip_search('at_the_doors', queries => {one}, k => 2, candidates => {N})"
    )
    same(session.sql("SELECT * FROM of_one ORDER BY rank").collect(), {"bus": own["bus"]})
    joined = session.sql("SELECT a.image FROM of_one a JOIN of_one b ON a.image = b.image AND a.rank = b.rank")
    assert joined.count() == 2


def test_a_session_without_the_jar_gives_the_same(session, rows, monkeypatch):
    from blip_udfs.spark import extension

    table = session.table("at_the_doors")
    expected = of_each(table, k=K, candidates=N)
    monkeypatch.setitem(extension._has_extension, session, False)
    found, scored = evaluations(search(table, queries=SENTENCES, k=K, candidates=N), "try_blip_together")
    same(found, expected)
    assert scored < N * len(SENTENCES)


def test_of_an_image_that_does_not_decode_the_score_is_null_and_it_is_last(session, rows):
    few = session.table("at_the_doors").where("model LIKE 'tiny@%' AND version = 1").limit(3)
    bad = few.limit(1).withColumn("image", F.lit("file:/nowhere.jpg"))
    found = search(few.union(bad), queries={"a": "a bus", "b": "a car"}, k=10).collect()
    last = [row for row in found if row.image == "file:/nowhere.jpg"]
    assert [(row["query"], row["rank"], row.score) for row in last] == [("a", 4, None), ("b", 4, None)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queries": {}}, "queries: expected one sentence or more, got none"),
        ({"queries": {"a": None}}, "queries: expected a name and a sentence, got 'a' and None"),
        ({"queries": "at_the_doors"}, "queries: expected the columns name and sentence, got image, embedding, "),
        ({"queries": {"a": "a bus"}, "query": "a car"}, "queries: expected no query beside them"),
        ({"queries": {"a": "a bus"}, "one_per": "camera"}, "queries: expected no one_per beside them"),
        ({"queries": {"a": "a bus"}, "k": 0}, "k: expected 1 or more rows, got 0"),
        ({"queries": {"a": "a bus"}, "embedding": "vector"}, "expected a column vector, the table has image"),
    ],
)
def test_wrong_arguments(session, rows, arguments, message):
    with pytest.raises(ValueError, match=message):
        search(session.table("at_the_doors"), **arguments)


def test_a_name_that_is_there_twice_is_refused(session, rows):
    twice = session.createDataFrame([("a", "a bus"), ("a", "a car")], "name STRING, sentence STRING")
    with pytest.raises(ValueError, match="queries: expected each name once, 'a' is there 2 times"):
        search(session.table("at_the_doors"), queries=twice)


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_the_nearest_of_a_partition_are_among_the_hits(batch):
    """Of rows in batches of any size, some without a similarity, by numpy; and not many more come than are needed."""
    import pandas as pd

    draw = np.random.default_rng(3)
    matrix = draw.normal(size=(1000, 8)).astype(np.float32)
    matrix[500:700] = matrix[0]  # ties
    vectors = draw.normal(size=(5, 8)).astype(np.float32)
    embeddings = pd.Series(list(matrix), dtype=object)
    embeddings[[3, 900]] = [None, np.ones(7, np.float32)]
    embeddings[40] = np.full(8, np.nan, np.float32)
    refused = pd.Series([np.nan] * 990 + [1] * 10)
    parts = [(embeddings[at : at + batch], refused[at : at + batch]) for at in range(0, 1000, batch)]
    parts = [tuple(each.reset_index(drop=True) for each in part) for part in parts]
    out = pd.concat(list(hits(vectors, 20)(iter(parts))), ignore_index=True)
    assert len(out) == 1000
    near = matrix @ vectors.T
    near[[3, 40, 900]], near[990:] = -1e9, -2e9
    for place in range(5):
        chosen = [row for row, found in enumerate(out["sentences"]) if found is not None and place in found]
        kept = sorted(near[chosen, place], reverse=True)[:20]
        np.testing.assert_allclose(kept, sorted(near[:, place], reverse=True)[:20], atol=1e-5)
        assert len(chosen) <= 20 * (1 + np.log(1000 / 20)) * 2


@pytest.mark.parametrize(("sentences", "size"), [(1, 256), (7, 66), (20, 257)])
def test_products_with_the_jvms_vectors_and_without(spark, sentences, size):
    jvm, gateway = spark._jvm, spark.sparkContext._gateway
    vectors = np.random.default_rng(3).standard_normal((sentences + 1, size)).astype(np.float32)
    arrays = [gateway.new_array(jvm.float, size) for _ in vectors]
    for array, vector in zip(arrays, vectors.tolist(), strict=True):
        for at, number in enumerate(vector):
            array[at] = number
    matrix = jvm.java.lang.reflect.Array.newInstance(arrays[0].getClass(), sentences)
    for at in range(sentences):
        jvm.java.lang.reflect.Array.set(matrix, at, arrays[at])
    blip = jvm.org.apache.spark.sql.blip
    for product in (blip.Product.of(matrix, size), blip.ByColumns(matrix, size)):
        out = gateway.new_array(jvm.float, sentences)
        product.apply(arrays[-1], out)
        np.testing.assert_allclose(list(out), vectors[:-1] @ vectors[-1], rtol=1e-4, atol=1e-4)
