"""WHERE blip_itm(image, 'text') > t with a promise: fewer rows are scored, none is wrong, few are lost."""

import numpy as np
import pytest

import blip_udfs
from tests.planted import noise

ROWS = 3000
TEXT = "a truck at night"
SCORE = f"blip_itm(image, '{TEXT}')"


@pytest.fixture(scope="module")
def planted(spark, tiny_model, tmp_path_factory):
    """Images of noise, their true scores, and embeddings whose similarity to the text says much of these, not all."""
    spark.conf.set("spark.blip.model", str(tiny_model))
    try:
        images = spark.createDataFrame([(at, bytearray(noise(at))) for at in range(ROWS)], "id INT, image BINARY")
        rows = images.repartition(2).selectExpr("id", "image", f"{SCORE} AS truth").toPandas().sort_values("id")
        text = np.array(spark.sql(f"SELECT blip_text_embed('{TEXT}') AS e").head().e)
    finally:
        spark.conf.unset("spark.blip.model")
    rng = np.random.default_rng(1)
    rank = rows.truth.rank().to_numpy() / ROWS + rng.normal(0, 0.05, ROWS)
    other = np.eye(len(text))[0] - text[0] * text  # at a right angle to the text
    other /= np.linalg.norm(other)
    similarity = (0.2 + 0.3 * np.clip(rank, 0, 1))[:, None]
    rows["embedding"] = (similarity * text + np.sqrt(1 - similarity**2) * other).tolist()
    schema = "id INT, image BINARY, truth DOUBLE, embedding ARRAY<FLOAT>"
    path = str(tmp_path_factory.mktemp("planted") / "t")
    spark.createDataFrame(list(rows.itertuples(index=False, name=None)), schema).repartition(3).write.parquet(path)
    return path, rows


@pytest.fixture
def session(spark, planted, tiny_model):
    session = spark.newSession()
    session.conf.set("spark.blip.model", str(tiny_model))
    session.conf.set("spark.blip.filter.recall", "0.9")
    session.read.parquet(planted[0]).createOrReplaceTempView("t")
    return session


@pytest.fixture(scope="module")
def least(planted):
    """A quarter of the rows match."""
    return float(planted[1].truth.quantile(0.75))


def test_fewer_rows_are_scored_and_all_that_come_pass(session, planted, least):
    truth = planted[1].set_index("id").truth
    rows = session.sql(f"SELECT id, {SCORE} AS s FROM t WHERE {SCORE} > {least}").collect()
    print(blip_udfs.last_filter(session), len(rows))
    matching = set(truth[truth > least].index)
    assert {row.id for row in rows} <= matching
    assert len(rows) == len({row.id for row in rows}) >= 0.9 * len(matching)
    assert [row.s for row in rows] == pytest.approx([truth[row.id] for row in rows], abs=1e-6)
