"""A query's settings are those of its session when it is analyzed: in its plan, whatever runs it."""

import pytest

from blip_udfs import functions as BF
from tests.tiny_model import make

TEXT = "a truck at night"
SCORE = f"blip_itm(image, '{TEXT}')"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return [str(make(folder / name, seed)) for name, seed in (("one", 1), ("two", 2))]


@pytest.fixture
def session(spark):
    """A session of its own, so that its settings are nobody else's."""
    yield spark.newSession()
    spark.catalog.clearCache()


@pytest.fixture
def images(session, once_tree):
    session.sql(f"SELECT image FROM read_once('{once_tree}') ORDER BY image LIMIT 4").createOrReplaceTempView("t")
    return session


def scores(spark, query=f"SELECT {SCORE} AS s FROM t"):
    return sorted(row.s for row in spark.sql(query).collect())


def test_a_cached_answer_of_one_model_is_no_other_models(images, models):
    answers = []
    for model in models:
        images.conf.set("spark.blip.model", model)
        images.sql(f"SELECT {SCORE} AS s FROM t").cache()
        answers.append(scores(images))
    assert answers[0] != answers[1]
    images.conf.set("spark.blip.model", models[0])
    assert scores(images) == answers[0]
    plan = images.sql(f"SELECT {SCORE} AS s FROM t")._jdf.queryExecution().optimizedPlan().toString()
    assert "InMemoryRelation" in plan  # the same settings again: the cache is hit


def test_a_setting_set_to_its_default_is_as_none(images):
    images.sql(f"SELECT {SCORE} AS s FROM t").cache()
    images.conf.set("spark.blip.model", "demo")
    images.conf.set("spark.blip.itm.token", "enc")
    plan = images.sql(f"SELECT {SCORE} AS s FROM t")._jdf.queryExecution().optimizedPlan().toString()
    assert "InMemoryRelation" in plan


@pytest.mark.parametrize(
    "run",
    [
        lambda df: [row.s for row in df.rdd.collect()],
        lambda df: [row.s for row in df.toLocalIterator()],
        lambda df: [float(line.split(":")[1].rstrip("}")) for line in df.toJSON().collect()],
        lambda df: list(df.toPandas().s),
    ],
    ids=["rdd", "toLocalIterator", "toJSON", "toPandas"],
)
@pytest.mark.parametrize("door", ["sql", "BF"])
def test_every_way_of_running_a_plan_computes_with_its_model(images, models, run, door):
    images.conf.set("spark.blip.model", models[1])
    expected = scores(images)
    query = images.sql(f"SELECT {SCORE} AS s FROM t") if door == "sql" else None
    df = query if query is not None else images.table("t").select(BF.blip_itm("image", TEXT).alias("s"))
    assert sorted(run(df)) == pytest.approx(expected, abs=1e-12)


def test_the_settings_are_those_of_the_analysis(images, models):
    images.conf.set("spark.blip.model", models[0])
    expected, df = scores(images), images.sql(f"SELECT {SCORE} AS s FROM t")
    images.conf.set("spark.blip.model", models[1])
    assert sorted(row.s for row in df.collect()) == expected != scores(images)


def test_a_view_is_analyzed_with_the_settings_of_who_reads_it(images, models):
    images.sql(f"CREATE OR REPLACE TEMPORARY VIEW scored AS SELECT {SCORE} AS s, blip_model() AS m FROM t")
    found = {}
    for model in models:
        images.conf.set("spark.blip.model", model)
        found[model] = scores(images, "SELECT s FROM scored")
        assert found[model] == scores(images)
        assert {row.m for row in images.sql("SELECT m FROM scored").collect()} == {
            images.sql("SELECT blip_model()").first()[0]
        }
    assert found[models[0]] != found[models[1]]


def test_a_wrong_number_of_candidates_stops_only_what_needs_it(images):
    images.sql("SET spark.blip.search.candidates = abc")
    assert images.sql("SELECT 1").first()[0] == 1
    assert len(images.sql(f"SELECT blip_text_embed('{TEXT}')").first()[0]) == 64
    with pytest.raises(Exception, match="candidates = 'abc': expected a whole number of rows, 0 for all; SET"):
        images.sql(f"SELECT {SCORE} FROM t").collect()
    images.sql("RESET spark.blip.search.candidates")
    assert len(scores(images)) == 4


def test_a_function_of_the_users_that_has_our_name_is_left_alone(images):
    from pyspark.sql import functions as F

    def blip_itm(image, text):
        return image.str.len() * 1.0

    own = F.pandas_udf(blip_itm, "double")
    images.conf.set("spark.blip.search.candidates", "2")
    rows = images.table("t").select("image", own("image", F.lit(TEXT)).alias("s"), own("image", F.lit("b")).alias("b"))
    assert [row.s for row in rows.orderBy(F.desc("s")).limit(1).collect()] == [
        max(len(row.image) for row in images.table("t").collect())
    ]
    assert all(row.s == row.b == len(row.image) for row in rows.collect())


def test_help_says_arguments_types_returns_and_errors(capsys):
    help(BF.blip_itm)
    said = capsys.readouterr().out
    assert "blip_itm(image: 'Column | str', text: 'Column | str') -> 'Column'" in said
    assert "Returns DOUBLE: 0 to 1" in said and "Raises ImageError" in said and "image: BINARY or STRING" in said


def test_a_text_alone_names_a_column(images):
    captions = images.sql("SELECT 'a car' AS caption UNION ALL SELECT 'a bus'")
    vectors = [tuple(row[0]) for row in captions.select(BF.blip_text_embed("caption")).collect()]
    assert len(set(vectors)) == 2
