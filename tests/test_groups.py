"""The best of each group under plain SQL: exactly N rows of each are scored, and they are the protocol's in numpy."""

import re

import numpy as np
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import Window
from pyspark.sql import functions as F

from blip_udfs import functions as BF
from blip_udfs.blip.model import load
from tests.heard import heard
from tests.plans import evaluations, optimized, tasks_of_stages
from tests.protocol import allowed, nearest_of_each

TEXT = "a truck at night"
SCORE = f"blip_itm(image, '{TEXT}')"
FRAME = "struct(frame_id, camera)"
OVER = f"OVER (PARTITION BY sequence_id ORDER BY {SCORE} DESC)"
RANKED = f"SELECT *, ROW_NUMBER() {OVER} AS r FROM grouped"
KEY = "sequence_id, frame_id, camera"
N, K = 3, 2


@pytest.fixture(scope="module")
def table(spark, tiny_model, once_tree):
    """grouped: six drives of eight images, of which some are no candidates; its rows with their scores, by the model
    called directly."""
    from blip_udfs import read_once
    from blip_udfs.files.images import pixels

    spark.conf.set("spark.blip.model", str(tiny_model))
    columns = ["sequence_id", "frame_id", "camera", "weather", "image"]
    made = BF.blip_image_embed("image").alias("embedding"), BF.blip_model().alias("model"), F.lit(1).alias("version")
    rows = read_once(spark, str(once_tree)).select(*columns, *made)
    odd = rows.orderBy("sequence_id", "frame_id", "camera").collect()
    made = []
    for index, row in enumerate(row.asDict() for row in odd):
        drive = int(row["sequence_id"])
        if drive == 1 and index % 8 < 6:  # two candidates are left
            row["model"] = "other@0123456789ab"
        if drive == 2 and index % 8 < 5:  # three come before those that cannot be compared
            row["embedding"] = [None, [float("nan")] * 16, [1.0], [0.0] * 16, None][index % 8]
        made.append(row | {"error": None})
        if drive == 3:  # images of two versions
            made.append(row | {"version": 2, "error": None, "embedding": [-each for each in row["embedding"]]})
        if drive == 4 and index % 8 < 7:  # one image is left
            made[-1] |= {"embedding": None, "error": "broken"}
    vectors = "embedding ARRAY<FLOAT>, model STRING, version INT, error STRING"
    schema = f"{', '.join(f'{name} STRING' for name in columns)}, {vectors}"
    spark.createDataFrame(made, schema).repartition(3, "frame_id").write.mode("overwrite").saveAsTable("grouped")
    spark.sql("CREATE OR REPLACE TEMPORARY VIEW drives AS SELECT DISTINCT sequence_id, weather AS sky FROM grouped")
    spark.conf.unset("spark.blip.model")
    model = load(str(tiny_model))
    images = np.stack([pixels(row["image"].removeprefix("file:"), model.image_size) for row in made])
    logits = model.itm_logits(model.features(images), [TEXT] * len(made))
    scores = model.match_probability(logits)
    yield [row | {"score": float(score)} for row, score in zip(made, scores, strict=True)]
    spark.sql("DROP TABLE grouped")


@pytest.fixture(scope="module")
def text(tiny_model):
    return load(str(tiny_model)).embed_texts([TEXT])[0]


@pytest.fixture(autouse=True)
def cascade(spark, use_model, table):
    spark.conf.set("spark.blip.search.candidates", N)
    yield
    spark.conf.unset("spark.blip.search.candidates")


@pytest.fixture
def chosen(table, text, tiny_model):
    """The candidates of each group, the best first."""

    def of(*group, keep=anything, count=N):
        ours = load(str(tiny_model)).label
        rows = allowed([row for row in table if keep(row)], ours, table)
        each = nearest_of_each(rows, text, count, *group).items()
        return {key: sorted(rows, key=lambda row: -row["score"]) for key, rows in each}

    return of


def keys(rows):
    return sorted((row["sequence_id"], row["frame_id"], row["camera"]) for row in rows)


def wet(row):
    return row["weather"] != "sunny"


def anything(row):
    return True


SEQUENCE = ("sequence_id",)
PARTS = "(SELECT * FROM grouped WHERE camera = 'cam01' UNION ALL SELECT * FROM grouped WHERE camera = 'cam03')"
COUNTED = "(SELECT *, count(*) OVER (PARTITION BY weather) AS n FROM grouped)"
NEWEST = "version = (SELECT max(version) FROM grouped g WHERE g.image = grouped.image)"


def by(rank: str, source: str = "grouped") -> str:
    return f"(SELECT *, {rank} FROM {source})"


def keyed(rest: str) -> str:
    return f"SELECT {KEY} FROM {rest}"


OVER_S = OVER.replace(SCORE, "s")
BY_RANK = {  # query, what is not the best two of each sequence: k, groups, rows chosen from, rows shown
    "in a subquery": (keyed(f"({RANKED}) WHERE r <= 2"), {}),
    "in a common table expression": (f"WITH w AS ({RANKED}) {keyed('w WHERE r < 3')}", {}),
    "in a view": (keyed("ranked_frames WHERE r = 1"), {"k": 1}),
    "RANK": (keyed(f"{by(f'RANK() {OVER} AS r')} WHERE 2 >= r"), {}),
    "DENSE_RANK": (keyed(f"{by(f'DENSE_RANK() {OVER} AS r')} WHERE r BETWEEN 1 AND 2"), {}),
    "two ranks": (keyed(f"{by(f'RANK() {OVER} AS a, ROW_NUMBER() {OVER} AS b')} WHERE a <= 3 AND b IN (1, 2)"), {}),
    "scores of a subquery": (
        keyed(f"{by(f'ROW_NUMBER() {OVER_S} AS r', by(f'{SCORE} AS s'))} WHERE r <= 2 AND s > 0"),
        {},
    ),
    "as many as candidates": (keyed(f"({RANKED}) WHERE r <= 3"), {"k": 3}),
    "a WHERE": (keyed(f"({RANKED} WHERE weather <> 'sunny') WHERE r <= 2"), {"keep": wet}),
    "a WHERE above": (keyed(f"({RANKED}) WHERE r <= 2 AND weather <> 'sunny'"), {"show": wet}),
    "a join above": (
        keyed(f"({RANKED}) JOIN drives USING (sequence_id) WHERE r <= 2 AND sky <> 'sunny'"),
        {"show": wet},
    ),
    "a join below": (
        keyed(f"({RANKED} JOIN drives USING (sequence_id) WHERE sky <> 'sunny') WHERE r <= 2"),
        {"keep": wet},
    ),
    "more sort keys": (keyed(f"({RANKED.replace('DESC', 'DESC, frame_id')}) WHERE r <= 2"), {}),
    "two columns": (
        keyed(f"({RANKED.replace('BY sequence_id', 'BY camera, weather')}) WHERE r <= 2"),
        {"group": ("camera", "weather")},
    ),
    "an expression": (
        keyed(f"({RANKED.replace('BY sequence_id', 'BY upper(camera)')}) WHERE r <= 2"),
        {"group": ("camera",)},
    ),
    "no group": (keyed(f"({RANKED.replace('PARTITION BY sequence_id ', '')}) WHERE r <= 2"), {"group": ()}),
    "a union": (
        keyed(f"{by(f'ROW_NUMBER() {OVER_S} AS r', by(f'{SCORE} AS s', PARTS))} WHERE r <= 2"),
        {},
    ),
    "a window below": (keyed(f"({RANKED.replace('grouped', COUNTED)}) WHERE r <= 2 AND n > 0"), {}),
    "in IN": (keyed(f"grouped WHERE ({KEY}) IN ({keyed(f'({RANKED}) WHERE r <= 2')}) AND {NEWEST}"), {}),
}


@pytest.fixture(scope="module", autouse=True)
def view(spark, table):
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW ranked_frames AS {RANKED}")
    yield
    spark.catalog.dropTempView("ranked_frames")


@pytest.mark.parametrize("name", BY_RANK)
def test_the_best_k_of_each_group(spark, chosen, name):
    query, other = BY_RANK[name]
    groups = chosen(*other.get("group", SEQUENCE), keep=other.get("keep", anything))
    rows, scored = evaluations(spark.sql(query))
    assert scored == sum(map(len, groups.values()))
    best = [row for rows in groups.values() for row in rows[: other.get("k", K)]]
    assert keys(rows) == keys(filter(other.get("show", anything), best))


def test_qualify_where_spark_has_it(spark, chosen):
    query = keyed(f"grouped QUALIFY ROW_NUMBER() {OVER} <= 2")
    if tuple(map(int, spark.version.split(".")[:2])) < (4, 2):
        with pytest.raises(PySparkException, match="PARSE_SYNTAX_ERROR"):
            spark.sql(query)
        return
    groups = chosen(*SEQUENCE)
    rows, scored = evaluations(spark.sql(query))
    assert scored == sum(map(len, groups.values()))
    assert keys(rows) == keys(row for best in groups.values() for row in best[:K])


BEST = {
    "max": f"SELECT sequence_id, max({SCORE}) AS best FROM grouped GROUP BY sequence_id",
    "max_by": f"SELECT sequence_id, max_by({FRAME}, {SCORE}) AS frame FROM grouped GROUP BY sequence_id",
    "both": f"SELECT sequence_id, max({SCORE}) AS best, max_by({FRAME}, {SCORE}) AS frame FROM grouped GROUP BY 1",
    "scores of a subquery": f"SELECT sequence_id, max(s) AS best, max_by({FRAME}, s) AS frame "
    f"FROM (SELECT *, {SCORE} AS s FROM grouped) GROUP BY ALL ORDER BY best DESC LIMIT 10",
    "HAVING": f"SELECT sequence_id, max({SCORE}) AS best FROM grouped GROUP BY sequence_id HAVING best > 0",
    "a correlated subquery": "SELECT * FROM (SELECT sequence_id, "
    f"(SELECT max({SCORE}) FROM grouped g WHERE g.sequence_id = d.sequence_id) AS best FROM drives d) WHERE best > 0",
    "tried": f"SELECT sequence_id, max(try_{SCORE}) AS best FROM grouped GROUP BY sequence_id",
    "no group": f"SELECT max({SCORE}) AS best, max_by({FRAME}, {SCORE}) AS frame FROM grouped",
}


@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize("name", BEST)
def test_the_best_by_aggregates(spark, chosen, name, adaptive):
    spark.conf.set("spark.sql.adaptive.enabled", adaptive)
    groups = chosen(*(() if name == "no group" else SEQUENCE))
    rows, scored = evaluations(spark.sql(BEST[name]), "try_blip_itm" if name == "tried" else "blip_itm")
    spark.conf.unset("spark.sql.adaptive.enabled")
    assert scored == sum(map(len, groups.values()))
    assert len(rows) == len(groups)
    for row in rows:
        best = groups[(row.sequence_id,) if "sequence_id" in row else ()][0]
        if "best" in row:
            assert row.best == pytest.approx(best["score"], abs=1e-6)
        if "frame" in row:
            assert tuple(row.frame) == (best["frame_id"], best["camera"])


def test_grouping_sets_have_candidates_each(spark, chosen):
    rows, scored = evaluations(spark.sql(f"SELECT weather, camera, max({SCORE}) AS best FROM grouped "
                                         "GROUP BY ROLLUP (weather, camera)"))  # fmt: skip
    sets = [chosen("weather", "camera"), chosen("weather"), chosen()]
    assert scored == sum(len(best) for groups in sets for best in groups.values())
    expected = {(*key, None, None)[:2]: best[0]["score"] for groups in sets for key, best in groups.items()}
    assert {(row.weather, row.camera): row.best for row in rows} == pytest.approx(expected, abs=1e-6)


def test_dataframes(spark, chosen):
    over = Window.partitionBy("sequence_id").orderBy(BF.blip_itm("image", TEXT).desc())
    ranked = spark.table("grouped").withColumn("r", F.row_number().over(over)).where("r <= 2")
    grouped = (
        spark.table("grouped").groupBy("sequence_id").agg(F.max_by("image", BF.blip_itm("image", TEXT)).alias("i"))
    )
    groups = chosen(*SEQUENCE)
    for df, k in ((ranked, 2), (grouped, 1)):
        rows, scored = evaluations(df)
        assert scored == sum(map(len, groups.values()))
        assert sorted(row["image" if k == 2 else "i"] for row in rows) == sorted(
            row["image"] for best in groups.values() for row in best[:k]
        )


def test_a_limit_above(spark, chosen):
    best = sorted((best[0] for best in chosen(*SEQUENCE).values()), key=lambda row: -row["score"])[:K]
    query = f"SELECT *, {SCORE} AS s FROM ({RANKED}) WHERE r = 1 ORDER BY s DESC LIMIT 2"
    rows, scored = evaluations(spark.sql(query))
    assert [(row.frame_id, row.camera) for row in rows] == [(row["frame_id"], row["camera"]) for row in best]


def test_more_candidates_than_a_group_has(spark, chosen):
    spark.conf.set("spark.blip.search.candidates", 2000)  # more than Spark's own limit of a window's groups
    rows, scored = evaluations(spark.sql(f"SELECT {KEY} FROM ({RANKED}) WHERE r <= 2"))
    groups = chosen(*SEQUENCE, count=2000)
    assert scored == sum(map(len, groups.values()))
    assert keys(rows) == keys(row for best in groups.values() for row in best[:2])


def test_what_is_beside_a_maximum_is_of_all_rows(spark, table):
    query = f"SELECT sequence_id, max({SCORE}) AS best, count(*) AS n FROM grouped GROUP BY sequence_id"
    rows, scored = evaluations(spark.sql(query))
    assert scored == len(table)
    for row in rows:
        of = [each["score"] for each in table if each["sequence_id"] == row.sequence_id]
        assert (row.best, row.n) == (pytest.approx(max(of), abs=1e-6), len(of))


def test_the_groups_of_a_stream_are_never_whole(spark, table):
    stored = spark.table("grouped")
    rows = spark.readStream.schema(stored.schema).parquet(stored.inputFiles()[0].rpartition("/")[0])
    best = rows.groupBy("sequence_id").agg(F.max(BF.blip_itm("image", TEXT)).alias("best"))
    with heard(spark) as lines:
        stream = (
            best.writeStream.outputMode("complete").format("memory").queryName("streamed").trigger(availableNow=True)
        )
        stream.start().awaitTermination()
    assert lines()[0].endswith("every row is scored: it reads a stream, whose groups are never whole")
    found = {row.sequence_id: row.best for row in spark.table("streamed").collect()}
    expected = {
        sequence: max(row["score"] for row in table if row["sequence_id"] == sequence)
        for sequence in {row["sequence_id"] for row in table}
    }
    assert found == pytest.approx(expected, abs=1e-6)


def test_rows_of_another_model_alone_are_an_error(spark, table, tmp_path, tiny_model):
    spark.sql("CREATE OR REPLACE TEMPORARY VIEW others AS SELECT * FROM grouped WHERE model LIKE 'other@%'")
    message = (
        f"no row has an embedding of the session's model {load(str(tiny_model)).label}; they were made by "
        "other@0123456789ab: SET spark.blip.model to that one, or embed the images again"
    )
    for query in (BEST["max"], f"SELECT {KEY} FROM ({RANKED}) WHERE r <= 2"):
        with pytest.raises(Exception, match=re.escape(message)):  # 3.5 has no class of its own for it
            spark.sql(query.replace("grouped", "others")).collect()
    assert spark.sql(f"{BEST['max'].replace('GROUP', 'WHERE frame_id IS NULL GROUP')}").collect() == []


def test_itm_runs_on_all_cores(spark, table):
    with tasks_of_stages(spark) as tasks:
        spark.sql(BEST["max"]).collect()
    assert tasks.count(2) >= 1 and "Repartition 2, true" in optimized(spark.sql(BEST["max"]))
