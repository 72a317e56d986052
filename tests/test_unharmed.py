"""Ordinary queries give the same plans and rows with the extension's rules and without them."""

import pytest

from tests.plans import optimized

RULES = "org.apache.spark.sql.blip.TextOnce,org.apache.spark.sql.blip.Cascade"
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


@pytest.mark.parametrize("query", QUERIES)
def test_an_ordinary_query(spark, query):
    with_rules = optimized(spark.sql(query)), spark.sql(query).collect()
    spark.conf.set("spark.sql.optimizer.excludedRules", RULES)
    try:
        without = optimized(spark.sql(query)), spark.sql(query).collect()
    finally:
        spark.conf.unset("spark.sql.optimizer.excludedRules")
    assert with_rules == without


def test_the_rules_can_be_excluded_by_these_names(spark):
    """Else the comparison above would compare a thing with itself."""
    query = "SELECT blip_text_embed('a') FROM few"
    assert "LocalRelation [argument]" in optimized(spark.sql(query))
    spark.conf.set("spark.sql.optimizer.excludedRules", RULES)
    assert "LocalRelation [argument]" not in optimized(spark.sql(query))
    spark.conf.unset("spark.sql.optimizer.excludedRules")
