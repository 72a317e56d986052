"""Parquet and ORC as sources of the second kind (DSv2), metadata in a JDBC catalog: served as tables of the first."""

import pytest

from tests.plans import evaluations, nodes, optimized

TEXT = "a truck at night"
SCORE = f"blip_itm(image, '{TEXT}')"
N, K = 10, 3
SERVED = {
    "plain": (f"SELECT frame_id, camera, {SCORE} AS s FROM {{}} ORDER BY s DESC LIMIT 3", N),
    "where": (f"SELECT frame_id, camera FROM {{}} WHERE camera = 'cam01' ORDER BY {SCORE} DESC LIMIT 3", N),
    "joined below": (
        f"SELECT frame_id, camera, name FROM {{}} JOIN {{drives}} USING (sequence_id) WHERE even "
        f"ORDER BY {SCORE} DESC LIMIT 3",
        N,
    ),
    "joined above": (
        f"SELECT frame_id, name, s FROM (SELECT frame_id, sequence_id, {SCORE} AS s FROM {{}} ORDER BY s DESC LIMIT 3) "
        "JOIN {drives} USING (sequence_id) ORDER BY s DESC",
        N,
    ),
    "those that are in": (
        f"SELECT frame_id, camera FROM {{}} WHERE sequence_id IN (SELECT sequence_id FROM {{drives}} WHERE even) "
        f"ORDER BY {SCORE} DESC LIMIT 3",
        N,
    ),
    "the best of each": (
        f"SELECT camera, frame_id FROM {{}} QUALIFY row_number() OVER (PARTITION BY camera ORDER BY {SCORE} DESC) = 1 "
        "ORDER BY camera",
        2 * N,
    ),
    "blip_search": (
        f"SELECT frame_id, camera, score FROM blip_search('{{}}', '{TEXT}', 3, {N}) ORDER BY score DESC",
        N,
    ),
}
DERBY = {
    "": "org.apache.spark.sql.execution.datasources.v2.jdbc.JDBCTableCatalog",
    ".url": "jdbc:derby:memory:drives;create=true",
    ".driver": "org.apache.derby.jdbc.EmbeddedDriver",
}


@pytest.fixture(scope="module")
def sources(spark, once_tree, tiny_model, tmp_path_factory):
    """The same rows three times: a table of the first kind, and files that Spark reads by its newer API."""
    folder = tmp_path_factory.mktemp("v2")
    spark.conf.set("spark.blip.model", str(tiny_model))
    spark.sql(
        "CREATE TABLE of_v1 USING parquet AS SELECT frame_id, camera, image, blip_image_embed(image) AS embedding, "
        f"blip_model() AS model, sequence_id FROM read_once('{once_tree}')"
    )
    before = spark.conf.get("spark.sql.sources.useV1SourceList")
    spark.conf.set("spark.sql.sources.useV1SourceList", "")
    for kind in ("parquet", "orc"):
        spark.table("of_v1").write.format(kind).save(f"{folder}/{kind}")
        spark.read.format(kind).load(f"{folder}/{kind}").createOrReplaceTempView(f"{kind}_of_v2")
    yield
    spark.conf.set("spark.sql.sources.useV1SourceList", before)
    spark.conf.unset("spark.blip.model")
    spark.sql("DROP TABLE of_v1")


@pytest.fixture(scope="module")
def drives(spark, sources):
    """A view of the first kind and a table in a database, with the same rows."""
    query = "SELECT DISTINCT sequence_id, 'drive ' || sequence_id AS name, int(sequence_id) % 2 = 0 AS even FROM of_v1"
    spark.sql(query).localCheckpoint().createOrReplaceTempView("drives_of_v1")
    for end, value in DERBY.items():
        spark.conf.set(f"spark.sql.catalog.derby{end}", value)
    spark.sql("CREATE TABLE derby.APP.drives (sequence_id STRING, name STRING, even BOOLEAN)")
    spark.sql("INSERT INTO derby.APP.drives SELECT * FROM drives_of_v1")
    yield {"of_v1": "drives_of_v1", "parquet_of_v2": "derby.APP.drives", "orc_of_v2": "derby.APP.drives"}
    spark.sql("DROP TABLE derby.APP.drives")


@pytest.fixture
def candidates(spark, use_model):
    spark.conf.set("spark.blip.search.candidates", N)
    yield
    spark.conf.unset("spark.blip.search.candidates")


def scans(df) -> set[str]:
    names = (node.getClass().getSimpleName() for node in nodes(df._jdf.queryExecution().executedPlan()))
    return {name for name in names if "Scan" in name}


@pytest.mark.parametrize("name", SERVED)
def test_the_cascade_serves_them(spark, drives, candidates, name):
    query, wanted = SERVED[name]
    found = {}
    for source, metadata in drives.items():
        df = spark.sql(query.format(source, drives=metadata))
        function = "try_blip_itm_logit" if name == "blip_search" else "blip_itm"
        rows, scored = evaluations(df, function)
        found[source] = ([tuple(row) for row in rows], scored)
        assert ("BatchScanExec" in scans(df)) == ("v2" in source)
    assert found["of_v1"] == found["parquet_of_v2"] == found["orc_of_v2"]
    assert found["of_v1"][1] == wanted and found["of_v1"][0]


@pytest.mark.parametrize("source", ["parquet_of_v2", "orc_of_v2"])
def test_a_text_once_and_several_calls_together(spark, drives, use_model, source):
    nearest = "SELECT frame_id, camera, name, blip_similarity(embedding, blip_text_embed('a bus')) AS s FROM {} JOIN {}"
    both = "SELECT frame_id, camera, name, blip_itm(image, 'a bus'), blip_itm(image, 'a car') FROM {} JOIN {}"
    for query, function, calls in ((nearest, "blip_text_embed", 0), (both, "blip_together", 48)):
        query += " USING (sequence_id) ORDER BY 1, 2"
        first = spark.sql(query.format("of_v1", drives["of_v1"])).collect()
        df = spark.sql(query.format(source, drives[source]))
        rows, counted = evaluations(df, function)
        assert rows == first and len(rows) == 48 and counted == calls
    once = optimized(spark.sql(f"{nearest} USING (sequence_id)".format(source, drives[source])))
    assert once.count("LocalRelation [argument]") == 1
