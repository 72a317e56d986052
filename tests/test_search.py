"""`search` against BLIP's protocol computed by hand."""

import re
from pathlib import Path

import numpy as np
import pytest

from blip_udfs import functions as BF
from blip_udfs import read_once, search
from blip_udfs.blip.model import load

QUERY = "a truck at night"


@pytest.fixture(scope="module")
def rows(spark, tiny_model, once_tree):
    """(key, sequence, itc, match logit) of each image, from the model called directly; the table has the same rows."""
    from blip_udfs.files.images import pixels

    model = load(str(tiny_model))
    spark.conf.set("spark.blip.model", str(tiny_model))
    table = read_once(spark, str(once_tree)).withColumn("embedding", BF.blip_image_embed("image"))
    table.write.mode("overwrite").saveAsTable("searched")
    spark.conf.unset("spark.blip.model")
    found = spark.table("searched").select("image", "sequence_id").collect()
    images = np.stack([pixels(row.image.removeprefix("file:"), model.image_size) for row in found])
    itc = model.embed_images(images) @ model.embed_texts([QUERY])[0]
    logits = model.itm_logits(model.features(images), [QUERY] * len(images))[:, 1]
    return [(row.image, row.sequence_id, *map(float, pair)) for row, *pair in zip(found, itc, logits, strict=True)]


def by_hand(rows, k, candidates):
    nearest = sorted(rows, key=lambda row: -row[2])[: candidates or len(rows)]
    return sorted(((row[0], row[2] + row[3]) for row in nearest), key=lambda pair: -pair[1])[:k]


@pytest.mark.parametrize(("k", "candidates"), [(5, 0), (5, 12), (3, 3), (100, 7)])
def test_rows_and_scores_are_the_protocols(spark, use_model, rows, k, candidates):
    found = search(spark.table("searched"), QUERY, k, candidates).select("image", "score").collect()
    expected = by_hand(rows, k, candidates)
    assert [row.image for row in found] == [image for image, _ in expected]
    np.testing.assert_allclose([row.score for row in found], [score for _, score in expected], atol=1e-5)


@pytest.mark.parametrize("table", ["'searched'", "TABLE(searched)", "TABLE(SELECT * FROM searched WHERE 1 = 1)"])
@pytest.mark.parametrize(("k", "candidates"), [(5, 0), (5, 12)])
def test_blip_search_gives_the_same_in_sql(spark, use_model, rows, table, k, candidates):
    call = f"blip_search(table => {table}, query => '{QUERY}', k => {k}, candidates => {candidates})"
    found = spark.sql(f"SELECT image, score FROM {call}").collect()
    assert [row.image for row in found] == [image for image, _ in by_hand(rows, k, candidates)]
    np.testing.assert_allclose([row.score for row in found], [s for _, s in by_hand(rows, k, candidates)], atol=1e-5)


def test_blip_search_one_per_and_defaults(spark, use_model, rows):
    python = search(spark.table("searched"), QUERY, k=4, one_per="sequence_id").select("image").collect()
    sql = spark.sql(f"SELECT image FROM blip_search('searched', '{QUERY}', 4, one_per => 'sequence_id')").collect()
    assert sql == python
    everything = spark.sql(f"SELECT * FROM blip_search('searched', '{QUERY}')")
    assert everything.columns == [*spark.table("searched").columns, "score"] and everything.count() == 10


def test_a_query_is_a_text_and_nothing_else(spark, use_model, rows):
    spark.sql("""SELECT count(*) FROM blip_search('searched', "it's :query {table} -- '); DROP TABLE searched")""")
    assert spark.table("searched").count() == len(rows)


WRONG_CALLS = [
    ("'nowhere', 'a car'", "TABLE_OR_VIEW_NOT_FOUND"),
    ("'searched', 'a car', 0", "blip_search: k: expected a whole number, 1 or more, got 0"),
    ("'searched', 'a car', candidates => -1", "blip_search: candidates: expected a whole number, 0 or more, got -1"),
    ("'searched', NULL", "blip_search: query: expected a sentence, got NULL"),
    ("'searched', 'a car', one_per => 'scene'", "blip_search: one_per: expected a column of the table, got 'scene'"),
    ("TABLE(SELECT image FROM searched), 'a car'", "expected a column embedding ARRAY<FLOAT>, got image STRING"),
    ("TABLE(SELECT embedding FROM searched), 'a car'", "expected a column image, got embedding ARRAY<FLOAT>"),
    ("'searched', 'a car', top => 3", "blip_search: top: expected an argument of table, query, k, candidates, one_per"),
    ("", "WRONG_NUM_ARGS"),
    ("'searched'", "blip_search: query: expected a sentence, got NULL"),
    ("'searched', 'a car', queries => 'saved'", "blip_search: query: expected none beside queries, got one"),
    (
        "'searched', queries => TABLE(SELECT 1 AS name, 'a car' AS sentence)",
        "blip_search: queries: expected the columns name and sentence, STRING, got name INT, sentence STRING",
    ),
    ("'searched', queries => 'searched'", "queries: expected the columns name and sentence, STRING, got sequence_id"),
    ("'searched', queries => CAST(NULL AS STRING)", "queries: expected a table's name or TABLE(SELECT ...), got NULL"),
    (
        "'searched', one_per => 'camera', queries => TABLE(VALUES ('a', 'a car'))",
        "blip_search: one_per: expected none beside queries, got one; search for it alone",
    ),
    ("'searched', queries => 'nowhere'", "TABLE_OR_VIEW_NOT_FOUND"),
    (
        "'searched', queries => TABLE(VALUES ('a', 'a car'), ('b', NULL))",
        "blip_search: queries: expected a name and a sentence in each row, got NULL",
    ),
    (
        "'searched', queries => TABLE(VALUES ('a', 'a car'), (NULL, 'a bus'))",
        "blip_search: queries: expected a name and a sentence in each row, got NULL",
    ),
    (
        "'searched', queries => TABLE(VALUES ('a', 'a car'), ('a', 'a bus'))",
        "blip_search: queries: expected each name once, got 'a' 2 times",
    ),
    (
        "'searched', queries => TABLE(SELECT 'a' AS name, 'a car' AS sentence WHERE false)",
        "blip_search: queries: expected one sentence or more, got none",
    ),
    (
        "'searched; DROP TABLE x', 'a car'",
        "blip_search: table: expected a table's name or TABLE(SELECT ...), got 'searched; DROP TABLE x'",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_CALLS)
def test_wrong_calls_of_blip_search(spark, rows, arguments, message):
    with pytest.raises(Exception, match=re.escape(message)):
        spark.sql(f"SELECT * FROM blip_search({arguments})").collect()


def test_one_per_sequence(spark, use_model, rows):
    found = search(spark.table("searched"), QUERY, k=4, candidates=0, one_per="sequence_id").collect()
    best = {}
    for image, sequence, itc, logit in rows:
        best[sequence] = max(best.get(sequence, (-1e9, "")), (itc + logit, image))
    assert [row.image for row in found] == [image for _, image in sorted(best.values(), reverse=True)[:4]]


def test_rows_without_embedding_come_behind(spark, use_model, rows):
    table = spark.table("searched").limit(6)
    damaged = table.withColumn("embedding", table.embedding.cast("array<float>")).selectExpr(
        "image", "if(row_number() OVER (ORDER BY image) = 1, NULL, embedding) AS embedding"
    )
    unreadable = spark.sql("SELECT 'file:/nowhere.jpg' AS image, CAST(NULL AS ARRAY<FLOAT>) AS embedding")
    both = damaged.unionByName(unreadable)
    assert search(both, QUERY, k=10, candidates=5).where("embedding IS NULL").count() == 0
    found = search(both, QUERY, k=10, candidates=20).collect()
    assert len(found) == 7 and (found[-1].image, found[-1].score) == ("file:/nowhere.jpg", None)


def itm_of(rows, tiny_model, texts):
    """(rows, texts): blip_itm of each, and ITC similarity, from the model called directly."""
    from blip_udfs.files.images import pixels

    model = load(str(tiny_model))
    images = np.stack([pixels(row[0].removeprefix("file:"), model.image_size) for row in rows])
    features = model.features(images)
    logits = [model.itm_logits(features, [text] * len(rows)) for text in texts]
    return np.stack([model.match_probability(each) for each in logits], 1), model.embed_images(
        images
    ) @ model.embed_texts(texts).T


SEVERAL = [
    ({"query": ["a bus", "in the rain"]}, lambda p: p[:, :2].min(1), lambda s: s[:, :2].min(1)),
    ({"query": ["a bus", "in the rain"], "any_of": True}, lambda p: p[:, :2].max(1), lambda s: s[:, :2].max(1)),
    (
        {"query": "a bus", "but_not": ["at night", "a tunnel"]},
        lambda p: np.minimum(p[:, 0], 1 - p[:, 2:].max(1)),
        lambda s: s[:, 0] - s[:, 2:].max(1),
    ),
]


@pytest.mark.parametrize(("arguments", "score", "near"), SEVERAL)
def test_several_sentences(spark, use_model, rows, arguments, score, near):
    from tests.plans import evaluations

    match, itc = itm_of(rows, use_model, ["a bus", "in the rain", "at night", "a tunnel"])
    nearest = sorted(range(len(rows)), key=lambda index: -near(itc)[index])[:12]
    best = sorted(nearest, key=lambda index: -score(match)[index])[:5]
    df = search(spark.table("searched"), k=5, candidates=12, **arguments)
    found, scored = evaluations(df, "try_blip_itm_many")
    assert scored == 12  # each image once
    assert [row.image for row in found] == [rows[index][0] for index in best]
    np.testing.assert_allclose([row.score for row in found], score(match)[best], atol=1e-5)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_like_a_picture(spark, use_model, rows, as_bytes):
    path = rows[3][0]
    like = Path(path.removeprefix("file:")).read_bytes() if as_bytes else path
    found = search(spark.table("searched"), like=like, k=len(rows)).select("image", "embedding", "score").collect()
    assert found[0].score == pytest.approx(1, abs=1e-5) and path in [row.image for row in found[:2]]
    this = np.array(next(row.embedding for row in found if row.image == path))
    expected = sorted((float(np.dot(row.embedding, this)) for row in found), reverse=True)
    np.testing.assert_allclose([row.score for row in found], expected, atol=1e-5)


def test_one_per_seconds(spark, use_model, rows):
    moments = {}
    table = spark.table("searched").collect()
    for row, image in ((row, row.image) for row in table):
        (score,) = (itc + logit for key, _, itc, logit in rows if key == image)
        moment = row.sequence_id, row.timestamp.timestamp() // 1
        moments[moment] = max(moments.get(moment, (-1e9, "")), (score, image))
    found = search(spark.table("searched"), QUERY, k=50, candidates=0, seconds=1).collect()
    assert [row.image for row in found] == [image for _, image in sorted(moments.values(), reverse=True)]


def test_no_row_below_the_least_score(spark, use_model, rows):
    expected = by_hand(rows, 100, 12)
    least = (expected[4][1] + expected[5][1]) / 2
    table = spark.table("searched")
    assert [row.image for row in search(table, QUERY, 100, 12, min_score=least).collect()] == [
        image for image, _ in expected[:5]
    ]
    assert len(search(table, QUERY, 3, 12, min_score=least).collect()) == 3
    assert search(table, QUERY, 100, 12, min_score=expected[0][1] + 0.01).collect() == []
    sql = f"SELECT image FROM blip_search('searched', '{QUERY}', k => 100, candidates => 12) WHERE score >= {least}"
    assert [row.image for row in spark.sql(sql).collect()] == [image for image, _ in expected[:5]]
    many = search(table, k=100, candidates=12, queries={"it": QUERY}, min_score=least).collect()
    assert [row.image for row in many] == [image for image, _ in expected[:5]]


@pytest.mark.parametrize("within", [0, 0.5, 1.2])
def test_one_after_another_by_hand(spark, use_model, rows, within):
    match, _ = itm_of(rows, use_model, ["a bus", "in the rain"])
    of = {row.image: (row.sequence_id, row.timestamp.timestamp()) for row in spark.table("searched").collect()}
    best: dict[tuple, list] = {}
    for (image, *_), pair in zip(rows, match, strict=True):
        moment = best.setdefault(of[image], [(-1, ""), (-1, "")])
        moment[:] = [max(each, (float(score), image)) for each, score in zip(moment, pair, strict=True)]
    expected = []
    for (drive, time), (first, _) in best.items():
        later = [pair[1][0] for (other, at), pair in best.items() if other == drive and 0 <= at - time <= within]
        expected.append((min(first[0], max(later)), first[1]))
    df = search(spark.table("searched"), "a bus", 100, 0, then="in the rain", within=within)
    found = df.collect()
    assert len(found) == len(best) == 24 and df.columns == [*spark.table("searched").columns, "score", "next"]
    np.testing.assert_allclose([row.score for row in found], sorted((e[0] for e in expected), reverse=True), atol=1e-5)
    scores = {image: score for score, image in expected}
    np.testing.assert_allclose([row.score for row in found], [scores[row.image] for row in found], atol=1e-5)
    gaps = [(row.next.timestamp - row.timestamp).total_seconds() for row in found]
    assert min(gaps) == 0 and max(gaps) <= within
    assert search(spark.table("searched"), "a bus", 100, 0, then="in the rain", min_score=0.999).count() == 0


def test_all_cameras_of_the_best_moments(spark, use_model, rows):
    table = spark.table("searched")
    of = {row.image: (row.sequence_id, row.frame_id) for row in table.collect()}
    moments: dict[tuple, float] = {}
    for image, _, itc, logit in rows:
        moments[of[image]] = max(moments.get(of[image], -1e9), itc + logit)
    best = sorted(moments.items(), key=lambda pair: -pair[1])[:3]
    found = search(table, QUERY, k=3, candidates=0, all_cameras=True).collect()
    assert [(row.sequence_id, row.frame_id, row.camera) for row in found] == [
        (*moment, camera) for moment, _ in best for camera in ("cam01", "cam03")
    ]
    np.testing.assert_allclose([row.score for row in found[::2]], [score for _, score in best], atol=1e-5)
    of_one = search(table, QUERY, k=1, where="camera = 'cam03'", all_cameras=True).collect()
    assert [row.camera for row in of_one] == ["cam01", "cam03"]  # the condition is of the row that is found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"within": -1}, "within: expected 0 seconds or more, got -1"),
        ({"queries": {"a": "b"}, "query": (), "then": ["c"]}, "queries: expected no then beside them"),
        ({"query": ()}, "expected a sentence or a picture in `like` to search for, got neither"),
        ({"like": "x.jpg"}, "expected sentences or a picture in `like`, got both; search twice and join the rows"),
        ({"seconds": 0}, "seconds: expected more than 0, got 0"),
        ({"k": 0}, "k: expected 1 or more rows, got 0"),
        ({"candidates": -1}, r"candidates: expected 0 \(all rows\) or more, got -1"),
        ({"embedding": "vector"}, "expected a column vector, the table has sequence_id, .*; name another"),
        ({"one_per": "scene"}, "expected a column scene"),
    ],
)
def test_wrong_arguments(spark, rows, arguments, message):
    with pytest.raises(ValueError, match=message):
        search(spark.table("searched"), **({"query": QUERY} | arguments))
