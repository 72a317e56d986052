"""One protocol at four doors: the plain query, blip_search, search() and `blip-udfs search` give the rows of numpy."""

import io

import numpy as np
import pytest
from pyspark.errors import PySparkException
from rich.console import Console

from blip_udfs import search
from blip_udfs.blip.model import load
from blip_udfs.results.find import Question, find
from tests.plans import evaluations
from tests.protocol import allowed, nearest, nearest_of_groups, similarity

TEXT = "a truck at night"
N, K = 12, 4
OTHER, SHORT = "other@0123456789ab", "small@ba9876543210"
SCHEMA = (
    "image STRING, embedding ARRAY<FLOAT>, model STRING, version INT, error STRING, camera STRING, sequence_id STRING, "
    "score STRING, blip_itc INT"
)


@pytest.fixture(scope="module")
def text(tiny_model):
    return load(str(tiny_model)).embed_texts([TEXT])[0]


@pytest.fixture(scope="module")
def rows(spark, tiny_model, once_tree, text):
    """Of 48 images: rows of three models, changed images, failures, and embeddings that cannot be compared; stored as
    the table `at_the_doors`. The vectors are drawn, so that the nearest are not the best by ITM."""
    draw = np.random.default_rng(5)
    label = load(str(tiny_model)).label
    images = spark.sql(f"SELECT image, camera, sequence_id FROM read_once('{once_tree}') ORDER BY image").collect()

    size = len(text)

    def row(image, version=1, model=label, length=size, error=None, embedding=None):
        vector = draw.normal(size=length).astype(np.float32)
        given = (vector / np.linalg.norm(vector)).tolist() if embedding is None and error is None else embedding
        kept = image.asDict() | {"embedding": given, "model": model, "version": version, "error": error}
        return kept | {"score": "the table's own", "blip_itc": 5}

    out = [row(image) for image in images[:36]]
    out += [row(image, version=2) for image in images[:10]] + [row(image, version=3) for image in images[:3]]
    out += [row(images[11], version=2, error="is gone")]
    out += [row(image, model=OTHER) for image in images] + [
        row(image, model=SHORT, length=len(text) // 2) for image in images[:9]
    ]
    unusable = ([value] * len(text) for value in (float("nan"), 0.0, float("inf"), None))
    unusable = [*unusable, [1.0] * (len(text) // 2)]
    out += [row(image, embedding=each) for image, each in zip(images[36:], unusable, strict=False)]
    out += [row(images[44], error="is damaged"), row(images[45], model=None), row(images[46], model="ID.4")]
    columns = [field.split()[0] for field in SCHEMA.split(", ")]
    table = spark.createDataFrame([tuple(each[column] for column in columns) for each in out], SCHEMA)
    table.write.mode("overwrite").saveAsTable("at_the_doors")
    return out


@pytest.fixture(scope="module")
def scores(spark, rows, tiny_model):
    """image -> (ITM, match logit), by the model called directly."""
    from blip_udfs.files.images import pixels

    model = load(str(tiny_model))
    images = sorted({row["image"] for row in rows})
    decoded = np.stack([pixels(image.removeprefix("file:"), model.image_size) for image in images])
    logits = model.itm_logits(model.features(decoded), [TEXT] * len(images))
    return dict(zip(images, zip(model.match_probability(logits), logits[:, 1], strict=True), strict=True))


@pytest.fixture
def session(spark, use_model):
    spark.conf.set("spark.blip.search.candidates", N)
    yield spark
    for key in ("spark.blip.search.candidates", "spark.sql.adaptive.enabled", "spark.sql.shuffle.partitions"):
        spark.conf.unset(key)
    spark.conf.set("spark.sql.shuffle.partitions", "4")


def found(rows):
    return [(row.image, row.version) for row in rows]


def assert_best(answer, rows, score, k=K):
    """The k best of these rows, in their order. Two whose scores are less than 1e-6 apart may change places: float32
    rounds as a batch's size, and where its numbers lie in memory, make it."""
    scores = {(row["image"], row["version"]): score(row) for row in rows}
    assert len(set(found(answer))) == len(answer)
    np.testing.assert_allclose(
        [scores[key] for key in found(answer)], sorted(scores.values(), reverse=True)[:k], rtol=0, atol=1e-6
    )


def rank(scores, text):
    """Match logit + ITC, by which the search doors rank."""
    return lambda row: (
        float(scores[row["image"]][1]) + (-1 if (near := similarity(row["embedding"], text)) is None else near)
    )


def by_plain_query(spark, where, k=K):
    query = f"SELECT *, blip_itm(image, '{TEXT}') AS s FROM at_the_doors WHERE {where} ORDER BY s DESC LIMIT {k}"
    return evaluations(spark.sql(query), "blip_itm")


def by_blip_search(spark, where, k=K, n=N):
    table = "'at_the_doors'" if where == "true" else f"TABLE(SELECT * FROM at_the_doors WHERE {where})"
    return evaluations(
        spark.sql(f"SELECT * FROM blip_search({table}, '{TEXT}', k => {k}, candidates => {n})"), "try_blip_itm_logit"
    )


def by_search(spark, where, k=K, n=N):
    return evaluations(search(spark.table("at_the_doors"), TEXT, k=k, candidates=n, where=where), "try_blip_itm_logit")


def by_many(spark, where, k=K, n=N):
    df = search(spark.table("at_the_doors"), queries={"it": TEXT}, k=k, candidates=n, where=where)
    return evaluations(df, "try_blip_together")


def by_blip_search_of_many(spark, where, k=K, n=N):
    table, queries = f"TABLE(SELECT * FROM at_the_doors WHERE {where})", f"TABLE(VALUES ('it', '{TEXT}'))"
    call = f"blip_search({table}, queries => {queries}, k => {k}, candidates => {n})"
    return evaluations(spark.sql(f"SELECT * FROM {call}"), "try_blip_together")


def by_command(spark, where, k=K, n=N):
    asked = Question("at_the_doors", (TEXT,), where=where, k=k, candidates=n)
    ranked, _ = find(spark, asked, Console(file=io.StringIO()))
    answer = ranked.collect()
    ranked.unpersist()
    return answer, None  # it keeps its rows, so that their plan does not tell how they were made


SEARCHES = [by_blip_search, by_search, by_many, by_blip_search_of_many, by_command]
WHERE = {
    "true": lambda row: True,
    "camera = 'cam01'": lambda row: row["camera"] == "cam01",
    "version = 1": lambda row: row["version"] == 1,  # an old version does not come back by it
    "sequence_id < '000003' AND version < 3": lambda row: row["sequence_id"] < "000003" and row["version"] < 3,
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("door", [by_plain_query, *SEARCHES])
def test_the_rows_are_the_protocols(session, rows, scores, text, tiny_model, door, where):
    kept = [row for row in rows if WHERE[where](row)]
    candidates = nearest(allowed(kept, load(str(tiny_model)).label, rows), text, N)
    answer, scored = door(session, where)
    score = rank(scores, text) if door in SEARCHES else lambda row: scores[row["image"]][0]
    assert_best(answer, candidates, score)
    assert scored in (N, None) and len(candidates) == N
    if door in SEARCHES:
        wanted = sorted(map(score, candidates), reverse=True)[:K]
        np.testing.assert_allclose([row.score for row in answer], wanted, atol=1e-6)


@pytest.mark.parametrize("door", SEARCHES)
def test_all_candidates_are_the_same_rows(session, rows, scores, text, tiny_model, door):
    candidates = nearest(allowed(rows, load(str(tiny_model)).label), text, N)
    assert_best(door(session, "true", k=N)[0], candidates, rank(scores, text), N)
    everything = allowed(rows, load(str(tiny_model)).label)
    answer, scored = door(session, "true", k=100, n=0)
    assert len(answer) == len(everything) and scored in (len(everything), None)
    assert_best(answer, everything, rank(scores, text), 100)


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [1, 10, pytest.param(200, marks=pytest.mark.endurance)])
@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize("door", [by_plain_query, by_blip_search, by_search, by_many, by_blip_search_of_many])
def test_n_rows_of_the_table_are_scored_whatever_its_partitions(session, rows, door, adaptive, partitions):
    session.conf.set("spark.sql.adaptive.enabled", adaptive)
    session.conf.set("spark.sql.shuffle.partitions", partitions)
    answer, scored = door(session, "true")
    assert (len(answer), scored) == (K, N)


@pytest.mark.parametrize(("n", "k"), [(N, K), (2, 5), (3, 6), (20, 6), (N, 50)])
@pytest.mark.parametrize("door", ["blip_search", "search"])
def test_one_per_gives_k_groups_where_there_are_k(session, rows, scores, text, tiny_model, door, n, k):
    """Six sequences; the nearest rows are of few of them, for a sequence's vectors are turned towards the text."""
    close = [dict(row, embedding=towards(row, text)) for row in rows]
    table = session.createDataFrame([tuple(row[name] for name in columns_of()) for row in close], SCHEMA)
    table.createOrReplaceTempView("turned")
    if door == "search":
        df = search(session.table("turned"), TEXT, k=k, candidates=n, one_per="sequence_id")
    else:
        df = session.sql(
            f"SELECT * FROM blip_search('turned', '{TEXT}', k => {k}, candidates => {n}, one_per => 'sequence_id')"
        )
    answer, scored = evaluations(df, "try_blip_itm_logit")
    candidates = nearest_of_groups(allowed(close, load(str(tiny_model)).label), text, n, k, "sequence_id")
    score, of_group = rank(scores, text), {}
    for row in sorted(candidates, key=score):
        of_group[row["sequence_id"]] = row
    assert len(answer) == min(k, 6) and scored == len(candidates)
    assert_best(answer, of_group.values(), score, k)


def towards(row, text):
    """The embedding, of two sequences nearly the text's own."""
    if row["embedding"] is None or len(row["embedding"]) != len(text) or None in row["embedding"]:
        return row["embedding"]
    vector = np.array(row["embedding"], np.float32) + (5 * text if row["sequence_id"] < "000002" else 0)
    return (vector / np.linalg.norm(vector)).astype(np.float32).tolist() if vector.any() else vector.tolist()


def columns_of():
    return [field.split()[0] for field in SCHEMA.split(", ")]


@pytest.mark.parametrize("door", [by_plain_query, *SEARCHES])
def test_rows_of_other_models_alone_are_an_error_that_names_one(session, rows, tiny_model, door):
    with pytest.raises(PySparkException) as error:
        door(session, f"model = '{OTHER}'")
    ours = load(str(tiny_model)).label
    assert f"no row has an embedding of the session's model {ours}; they were made by {OTHER}: SET" in str(error.value)


@pytest.mark.parametrize("door", [by_blip_search, by_search, by_many, by_blip_search_of_many])
def test_stored_features_of_another_model_take_no_part(session, rows, tiny_model, tmp_path, door):
    from tests.tiny_model import make

    few = "SELECT image, embedding, camera, 1 AS version FROM at_the_doors WHERE model LIKE 'tiny@%' AND version = 1"
    make_features = f"SELECT blip_image_features(image) AS image, embedding, version, camera FROM ({few})"
    ours = session.sql(f"{make_features} WHERE camera = 'cam01'").localCheckpoint()
    session.conf.set("spark.blip.model", str(make(tmp_path / "other", seed=9)))
    theirs = session.sql(f"{make_features} WHERE camera = 'cam03'").localCheckpoint()
    session.conf.set("spark.blip.model", str(tiny_model))
    ours.unionByName(theirs).write.mode("overwrite").parquet(str(tmp_path / "features"))
    session.read.parquet(str(tmp_path / "features")).createOrReplaceTempView("at_the_doors")
    try:
        answer, scored = door(session, "camera IS NOT NULL", k=50, n=10)
        assert {row.camera for row in answer} == {"cam01"} and all(row.score is not None for row in answer)
        assert scored == len(answer) == 10
        with pytest.raises(PySparkException, match="no row has an embedding of the session's model"):
            door(session, "camera = 'cam03'")
    finally:
        session.catalog.dropTempView("at_the_doors")
