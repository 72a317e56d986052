"""Iceberg, and Delta where its jars are given, on Spark 3.5, by `make lakes`: tables of embeddings as of Parquet."""

import random
import subprocess

import numpy as np
import pytest

import blip_udfs
from blip_udfs.job.embed import Job
from tests.embedded import by_image, check, expected
from tests.killed import COMMAND, Run
from tests.plans import evaluations, nodes
from tests.planted import START, noise, plant, write

pytestmark = pytest.mark.lakes

PLACES = {"iceberg": "lake.drive", "delta": "spark_catalog.drive"}
PER_TRIGGER = 10
OF_ICEBERG = pytest.mark.parametrize("lake", ["iceberg"], indirect=True)
N, K = 10, 3
TEXT = "a truck at night"
SCORED = f"SELECT frame_id, camera, blip_itm(image, '{TEXT}') AS score FROM {{}} ORDER BY score DESC LIMIT {K}"
NEAREST = f"SELECT * FROM {{}} ORDER BY blip_similarity(embedding, blip_text_embed('{TEXT}')) DESC LIMIT {N}"
FOUND = f"SELECT frame_id, camera FROM blip_search({{}}, '{TEXT}', {K}, {N}) ORDER BY score DESC"


@pytest.fixture(scope="module", params=PLACES)
def lake(request, spark):
    """The format."""
    extensions = spark.conf.get("spark.sql.extensions")
    if request.param not in extensions:
        assert request.param == "delta", f"expected `make lakes`, which sets Iceberg up, got {extensions}"
        pytest.skip("NO DELTA: LAKE_JARS names no jars of it")
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {PLACES[request.param]}")
    return request.param


@pytest.fixture
def table(spark, use_model, lake, request):
    name = f"{PLACES[lake]}.{request.node.name.split('[')[0]}_embeddings"
    yield name
    spark.sql(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake") / "once"
    plant(root, sequences=2, frames=10)
    return root


@pytest.fixture(scope="module")
def embedded(spark, lake, tree, tiny_model):
    """A table by CTAS, and the same rows as Parquet."""
    spark.conf.set("spark.blip.model", str(tiny_model))
    name = f"{PLACES[lake]}.embedded"
    spark.sql(
        f"CREATE TABLE {name} USING {lake} PARTITIONED BY (sequence_id) AS SELECT frame_id, camera, weather, image, "
        f"blip_image_embed(image) AS embedding, blip_model() AS model, sequence_id FROM read_once('{tree}')"
    )
    spark.table(name).write.mode("overwrite").saveAsTable("spark_catalog.default.embedded_parquet")
    yield name
    spark.sql(f"DROP TABLE {name}")
    spark.conf.unset("spark.blip.model")


@pytest.fixture
def candidates(spark):
    spark.conf.set("spark.blip.search.candidates", N)
    yield
    spark.conf.unset("spark.blip.search.candidates")


def run(spark, root, table, lake, **options):
    return blip_udfs.embed(spark, str(root), table, images_per_trigger=PER_TRIGGER, table_format=lake, **options)


def rows_of(spark, table) -> dict[str, list]:
    return by_image(spark.table(table))


def images_of(root):
    return sorted(root.glob("data/*/*/*.jpg"))


def by_hand(spark, table) -> list:
    """The best by the protocol, in two steps that the optimizer leaves alone."""
    spark.conf.set("spark.blip.search.candidates", "0")
    return spark.sql(SCORED.format(f"({NEAREST.format(table)})")).collect()


def test_ctas(spark, embedded, tiny_model, tree):
    rows = {row.image.removeprefix("file:"): row.embedding for row in spark.table(embedded).collect()}
    wanted = expected(tiny_model, images_of(tree))
    assert set(rows) == set(wanted) and spark.table(embedded).count() == len(wanted)
    for image, embedding in rows.items():
        np.testing.assert_allclose(embedding, wanted[image], atol=1e-6)


def test_the_cascade(spark, use_model, embedded, candidates):
    query = spark.sql(SCORED.format(embedded))
    rows, scored = evaluations(query)
    names = [type_of(node) for node in nodes(query._jdf.queryExecution().executedPlan())]
    assert (scored, names.count("TakeOrderedAndProjectExec")) == (N, 2)
    assert "BatchScanExec" in names or "delta" in embedded
    check_ranked(rows, by_hand(spark, embedded))


def check_ranked(rows: list, wanted: list) -> None:
    """The same images in the same order; scores to 1e-6, for products of float32 round by the shape of their batch."""
    assert [row[:-1] for row in rows] == [row[:-1] for row in wanted] and len(rows) == K
    assert [row.score for row in rows] == pytest.approx([row.score for row in wanted], abs=1e-6)


def type_of(node) -> str:
    return node.getClass().getSimpleName()


def test_blip_search(spark, use_model, embedded, candidates):
    places = [f"'{embedded}'", f"TABLE({embedded})", "'embedded_parquet'"]
    found, as_table, parquet = (spark.sql(FOUND.format(place)).collect() for place in places)
    assert found == as_table == parquet and len(found) == K


def test_new_changed_and_deleted_images(spark, lake, table, tiny_model, tmp_path):
    """Each trigger is a commit; a search sees no old version, no row is left of what --prune removes."""
    images = plant(tmp_path, sequences=2, frames=10)
    first = run(spark, tmp_path, table, lake)
    assert (first.new, first.images, first.embedded, first.failed) == (40, 40, 40, 0)
    check(rows_of(spark, table), expected(tiny_model, images))
    assert lake != "iceberg" or spark.table(f"{table}.snapshots").count() >= 40 // PER_TRIGGER
    assert run(spark, tmp_path, table, lake).images == 0
    write(images[0], noise(900), later=9.0)
    images[1].unlink()
    added = images[0].with_name(f"{START + 500 * 77}.jpg")
    write(added, noise(901))
    second = run(spark, tmp_path, table, lake)
    assert (second.new, second.changed, second.deleted, second.done_before) == (1, 1, 1, 38)
    rows = rows_of(spark, table)
    assert [row.version for row in rows[str(images[0])]] == [1, 2] and len(rows) == 41
    current = spark.table("test_new_changed_and_deleted_images_search").collect()
    assert len(current) == 41 == len({row.image for row in current})
    assert run(spark, tmp_path, table, lake, prune=True).pruned == 2
    check(rows_of(spark, table), expected(tiny_model, [*images[:1], *images[2:], added]))


class KilledError(Exception):
    """In place of a process that ends."""


def killed_after_commit(spark, monkeypatch, root, table, lake, triggers):
    """A run that ends when its last of so many triggers is in the table and Spark does not know it yet."""
    done = []

    def trigger(job, images, number, real=Job.trigger):
        real(job, images, number)
        done.append(number)
        if len(done) == triggers:
            raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Job, "trigger", trigger)
        with pytest.raises(Exception, match="KilledError"):
            run(spark, root, table, lake)


def test_a_kill_between_commit_and_checkpoint(spark, monkeypatch, lake, table, tiny_model, tree):
    killed_after_commit(spark, monkeypatch, tree, table, lake, triggers=2)
    assert run(spark, tree, table, lake).images == 40 - PER_TRIGGER
    check(rows_of(spark, table), expected(tiny_model, images_of(tree)))


@OF_ICEBERG
def test_partitions_that_change(spark, monkeypatch, lake, table, tiny_model, tmp_path):
    """The trigger that is repeated lies in places of before; rows of both are found, searched and removed."""
    images = plant(tmp_path, sequences=2, frames=10)
    killed_after_commit(spark, monkeypatch, tmp_path, table, lake, triggers=2)
    spark.sql(f"ALTER TABLE {table} ADD PARTITION FIELD camera")
    run(spark, tmp_path, table, lake)
    check(rows_of(spark, table), expected(tiny_model, images))
    assert {row.spec_id for row in spark.table(f"{table}.files").select("spec_id").collect()} == {0, 1}
    images.pop().unlink()
    images.pop(0).unlink()
    assert run(spark, tmp_path, table, lake, prune=True).pruned == 2
    check(rows_of(spark, table), expected(tiny_model, images))
    spark.sql(f"ALTER TABLE {table} DROP PARTITION FIELD batch")
    with pytest.raises(ValueError, match="partitioned by batch among others, .* it is by sequence_id, camera; "):
        run(spark, tmp_path, table, lake)
    spark.sql(f"ALTER TABLE {table} ADD PARTITION FIELD batch")
    assert run(spark, tmp_path, table, lake).images == 0


@OF_ICEBERG
def test_what_was_is_searched(spark, lake, table, candidates, tmp_path):
    """A branch, and the table as it was: rows, cascade and blip_search as before the next run."""
    images = plant(tmp_path, sequences=2, frames=10)
    run(spark, tmp_path, table, lake)
    spark.sql(f"ALTER TABLE {table} CREATE BRANCH first")
    (snapshot,) = spark.sql(f"SELECT snapshot_id FROM {table}.refs WHERE name = 'first'").first()
    before = [spark.sql(query.format(place)).collect() for query, place in ((SCORED, table), (FOUND, f"'{table}'"))]
    rows = sorted(spark.table(table).select("image", "embedding").collect())
    for number, image in enumerate(images):
        write(image, noise(500 + number), later=9.0)
    assert run(spark, tmp_path, table, lake, prune=True).pruned == 40
    changed = spark.sql(SCORED.format(table)).collect()
    assert [row.score for row in changed] != pytest.approx([row.score for row in before[0]], abs=1e-6)
    for number, image in enumerate(images):
        write(image, noise(number + 1))
    for was in (f"{table} VERSION AS OF 'first'", f"{table} VERSION AS OF {snapshot}", f"{table}.branch_first"):
        assert sorted(spark.sql(f"SELECT image, embedding FROM {was}").collect()) == rows
        found, scored = evaluations(spark.sql(SCORED.format(was)))
        check_ranked(found, before[0])
        assert scored == N
        spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW was AS SELECT * FROM {was}")
        assert spark.sql(FOUND.format("'was'")).collect() == before[1]


IMAGES = 80
WORDS = ["--format", "iceberg", "--table", "lake.drive.once_embeddings", "--images-per-trigger", "20"]


@pytest.fixture(scope="module")
def undisturbed(spark, tmp_path_factory, tiny_model):
    """A larger tree, and its embeddings."""
    root = tmp_path_factory.mktemp("killed") / "once"
    images = plant(root, sequences=4, frames=IMAGES // 8)
    return root, expected(tiny_model, images)


@OF_ICEBERG
@pytest.mark.parametrize("seed", range(3))
def test_killed_and_run_again_until_done(spark, lake, seed, undisturbed, tiny_model, tmp_path):
    """The command, its driver killed at random."""
    (root, wanted), chance = undisturbed, random.Random(seed)
    lake = ["--conf", f"spark.sql.catalog.lake.warehouse={tmp_path}/lake"]
    words = [*WORDS, *lake, "--source", str(root), "--model", str(tiny_model), "--master", "local[2]"]
    killed = Run(tmp_path, *words)
    assert killed.after(chance.randint(1, 3), chance.uniform(0, 1)), (tmp_path / "output").read_text()[-3000:]
    killed.kill_driver()
    last = Run(tmp_path, *words)
    assert last.process.wait() == 0, (tmp_path / "output").read_text()[-3000:]
    check(by_image(spark.read.format("iceberg").load(f"{tmp_path}/lake/drive/once_embeddings")), wanted)
    embedded = sum(event["images"] for event in last.events() if event["event"] == "trigger")
    print(f"seed {seed}: {embedded - IMAGES} images embedded twice")
    assert embedded - IMAGES <= 20
    if seed == 0:
        searched = [COMMAND, "search", *lake, "--model", str(tiny_model), "--warehouse", str(tmp_path / "warehouse")]
        done = subprocess.run([*searched, "--table", WORDS[3], "-k", "3", TEXT], capture_output=True, text=True)
        assert f"{WORDS[3]} · tiny@" in done.stdout, done.stdout + done.stderr
        assert [f"│ {rank} │" in done.stdout for rank in (1, 2, 3, 4)] == [True, True, True, False]
