"""Ordinary queries give the same plans with the extension's rules, without them and without each, and the extension's
own queries the same rows."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.plans import optimized

EXCLUDED = "spark.sql.optimizer.excludedRules"
PACKAGE = "org.apache.spark.sql.blip."
QUERIES = (
    "SELECT * FROM numbers WHERE id % 7 = 3",
    "SELECT id, name FROM numbers ORDER BY name DESC, id LIMIT 5",
    "SELECT id FROM numbers ORDER BY score DESC LIMIT 5",
    "SELECT id FROM numbers ORDER BY score DESC LIMIT 5 OFFSET 3",
    "SELECT name, count(*), sum(score) FROM numbers GROUP BY name HAVING count(*) > 3 ORDER BY name",
    "SELECT name, max(score) AS best FROM numbers GROUP BY name ORDER BY best DESC LIMIT 2",
    "SELECT DISTINCT name FROM numbers ORDER BY name",
    "SELECT a.id, b.id FROM numbers a JOIN numbers b ON a.id = b.id + 1 ORDER BY a.id LIMIT 4",
    "SELECT a.id FROM numbers a LEFT JOIN few f ON a.id = f.id WHERE f.id IS NULL ORDER BY a.id LIMIT 4",
    "SELECT id FROM numbers WHERE id IN (SELECT id FROM few) ORDER BY id",
    "SELECT id FROM numbers n WHERE EXISTS (SELECT 1 FROM few f WHERE f.id = n.id) ORDER BY id",
    "SELECT id, (SELECT max(id) FROM few) AS most FROM numbers ORDER BY id LIMIT 2",
    "SELECT id, (SELECT count(*) FROM few f WHERE f.id < n.id) AS below FROM numbers n ORDER BY id LIMIT 9",
    "SELECT id, row_number() OVER (PARTITION BY name ORDER BY score DESC) AS r FROM numbers ORDER BY id LIMIT 5",
    "SELECT id, sum(score) OVER (ORDER BY id ROWS 2 PRECEDING) AS s FROM numbers ORDER BY id LIMIT 5",
    "WITH c AS (SELECT id, score FROM numbers WHERE id < 50) SELECT * FROM c ORDER BY score DESC LIMIT 3",
    "SELECT id FROM numbers UNION ALL SELECT id FROM few ORDER BY id LIMIT 6",
    "SELECT id FROM numbers EXCEPT SELECT id FROM few ORDER BY id LIMIT 3",
    "SELECT id FROM numbers INTERSECT SELECT id FROM few ORDER BY id",
    "SELECT explode(array(1, 2, 3)) AS e, id FROM few ORDER BY id, e",
    "SELECT name, collect_list(id) FROM (SELECT * FROM numbers ORDER BY id LIMIT 9) GROUP BY name ORDER BY name",
    "SELECT * FROM (SELECT name, id FROM numbers WHERE id < 9) PIVOT (count(id) FOR name IN ('n0', 'n1'))",
    "SELECT name, sum(id) FROM numbers GROUP BY ROLLUP (name) ORDER BY name",
    "SELECT vector_inner_product(v, array(1F, 2F)) AS s FROM vectors ORDER BY s DESC LIMIT 2",
    "SELECT id FROM vectors ORDER BY vector_cosine_similarity(v, array(1F, 2F)) DESC LIMIT 2",
    "SELECT CASE WHEN id > 3 THEN 'many' ELSE 'few' END AS c, count(*) FROM few GROUP BY 1 ORDER BY 1",
    "SELECT upper(name), length(name), score * 2 FROM numbers WHERE name LIKE 'n%' ORDER BY id LIMIT 3",
    "SELECT f.id, l.id FROM few f, LATERAL (SELECT min(id) AS id FROM numbers n WHERE n.id > f.id) l ORDER BY 1",
    "SELECT transform(v, x -> x + 1) FROM vectors ORDER BY id LIMIT 1",
    "SELECT id, from_json(concat('{\"a\": ', id, '}'), 'a INT').a AS a FROM few ORDER BY id",
    "SELECT count(*) FROM numbers TABLESAMPLE (10 PERCENT) REPEATABLE (3)",
)


# each shows what at least one rule does; all of the rows are candidates
OWN_QUERIES = (
    "SELECT id, blip_text_embed('a car')[0] AS first, blip_model() AS model FROM few",
    "SELECT frame_id, camera, blip_itm(image, 'a truck at night') AS score FROM embedded ORDER BY score DESC LIMIT 5",
    "SELECT frame_id, camera, blip_itm(image, 'a bus') AS score, blip_image_embed(image)[3] AS fourth FROM embedded",
    "SELECT frame_id, camera, blip_itm(image, 'a bus') AS score FROM embedded ORDER BY score DESC, frame_id, camera",
    "SELECT camera, max(blip_itm(image, 'a bus')) AS best FROM embedded GROUP BY camera ORDER BY camera",
    "SELECT frame_id, camera FROM embedded WHERE blip_itm(image, 'a bus') > 0.1 ORDER BY frame_id, camera",
)


@pytest.fixture(scope="module", autouse=True)
def relations(spark):
    numbers = "SELECT id, concat('n', id % 4) AS name, double(id * 37 % 211) AS score FROM range(200)"
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW numbers AS {numbers}")
    spark.sql("CREATE OR REPLACE TEMPORARY VIEW few AS SELECT id * 3 AS id FROM range(4)")
    vectors = "SELECT id, array(float(id), float(3 - id)) AS v FROM range(5)"
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW vectors AS {vectors}")
    spark.conf.set("spark.blip.search.candidates", 2)
    yield
    spark.conf.unset("spark.blip.search.candidates")


@pytest.fixture(scope="module")
def rules(spark) -> list[str]:
    """The extension's rules in the optimizer, as Spark has them: a new one is among them by itself. Those of its
    analyzer, which no setting excludes, are not."""
    batches = spark._jsparkSession.sessionState().optimizer().batches()
    of_batches = (batches.apply(index).rules() for index in range(batches.size()))
    names = [rules.apply(index).ruleName() for rules in of_batches for index in range(rules.size())]
    return sorted({name for name in names if name.startswith(PACKAGE)})


@contextmanager
def without(spark, *rules: str) -> Iterator[None]:
    spark.conf.set(EXCLUDED, ",".join(rules))
    try:
        yield
    finally:
        spark.conf.unset(EXCLUDED)


def test_rules_are_found(rules):
    assert {f"{PACKAGE}{name}" for name in ("TextOnce", "Cascade", "Together")} <= set(rules)


@pytest.mark.parametrize("query", QUERIES)
def test_an_ordinary_query(spark, rules, query):
    plan, rows = optimized(spark.sql(query)), spark.sql(query).collect()
    with without(spark, *rules):
        assert (optimized(spark.sql(query)), spark.sql(query).collect()) == (plan, rows)
    for rule in rules:
        with without(spark, rule):
            assert optimized(spark.sql(query)) == plan, rule


@pytest.fixture
def embedded(spark, use_model, once_tree):
    query = f"SELECT *, blip_image_embed(image) AS embedding, blip_model() AS model FROM read_once('{once_tree}')"
    spark.sql(f"{query} WHERE sequence_id < '000003'").localCheckpoint().createOrReplaceTempView("embedded")
    spark.conf.set("spark.blip.search.candidates", 24)
    spark.conf.set("spark.blip.filter.recall", "0.9")
    yield
    spark.conf.set("spark.blip.search.candidates", 2)
    spark.conf.unset("spark.blip.filter.recall")


def test_each_rule_leaves_rows_as_they_are_and_changes_a_plan_here(spark, rules, embedded):
    """The second is that the name excludes the rule: else all of this would compare a thing with itself."""
    expected = {query: (optimized(spark.sql(query)), spark.sql(query).collect()) for query in OWN_QUERIES}
    for rule in rules:
        changed = []
        with without(spark, rule):
            for query, (plan, rows) in expected.items():
                changed.append(optimized(spark.sql(query)) != plan)
                assert_same(spark.sql(query).collect(), rows, f"{query} without {rule}")
        assert any(changed), f"{rule}: expected a query in OWN_QUERIES whose plan it changes; add one"


def assert_same(got: list, expected: list, which: str) -> None:
    """Numbers to 1e-5: what is merged may run in other batches."""
    assert len(got) == len(expected) > 0, which
    for one, other in zip(got, expected, strict=True):
        assert [type(value) for value in one] == [type(value) for value in other], which
        assert list(one) == pytest.approx(list(other), abs=1e-5), which
