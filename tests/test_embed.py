"""The incremental embedding job: what it embeds, what it leaves alone, what it says."""

import os
import re
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blip_udfs import embed
from blip_udfs.files.once import ONCE
from blip_udfs.job import increment, store
from blip_udfs.job.embed import LISTING_TASKS, Job
from blip_udfs.job.tables import Tables, quoted
from blip_udfs.spark.scripts import run as run_script
from blip_udfs.spark.settings import Settings
from tests.embedded import by_image, check, expected
from tests.odd_images import ODD_IMAGES
from tests.plans import evaluations, nodes, optimized, tasks_of_stages
from tests.planted import START, noise, plant, write
from tests.tiny_model import make

PER_TRIGGER = 12


def run(spark, root, table, **options):
    return embed(spark, str(root), table, images_per_trigger=PER_TRIGGER, **options)


def rows_of(spark, table) -> dict[str, list]:
    return by_image(spark.table(table))


def searched(spark, table) -> set[str]:
    view = f"{table.removesuffix('_embeddings')}_search"
    return {row.image.removeprefix("file:") for row in spark.table(view).collect()}


def test_new_changed_and_deleted_images(spark, table, tiny_model, tmp_path):
    images = plant(tmp_path, sequences=3, frames=10)
    events = []
    first = run(spark, tmp_path, table, on_event=events.append)
    check(rows_of(spark, table), expected(tiny_model, images))
    assert (first.new, first.images, first.embedded, first.failed, first.deleted) == (60, 60, 60, 0, 0)
    triggers = [event["images"] for event in events if event["event"] == "trigger"]
    assert sum(triggers) == 60 and max(triggers) <= PER_TRIGGER
    assert [event["event"] for event in events if event["event"] not in ("trigger", "working")] == [
        "planned",
        "finished",
    ]
    row = rows_of(spark, table)[str(images[25])][0]
    assert (row.sequence_id, row.camera, row.frame_id) == ("000001", "cam01", str(START + 2500))
    assert (row.weather, row.length) == ("rainy", images[25].stat().st_size)
    assert row.modified.timestamp() == pytest.approx(images[25].stat().st_mtime, abs=1e-3)

    added = [tmp_path / "data" / "000003" / "cam01" / f"{START + 500 * frame}.jpg" for frame in range(20)]
    for number, image in enumerate(added):
        write(image, noise(1000 + number))
    for number, image in enumerate(images[:4]):
        write(image, noise(2000 + number), later=60)
    os.utime(images[4], (0, images[4].stat().st_mtime + 60))  # the same bytes at another time: it cannot know
    for image in images[-3:]:
        image.unlink()
    second = run(spark, tmp_path, table)
    assert (second.new, second.changed, second.deleted, second.done_before) == (20, 5, 3, 52)
    assert (second.images, second.embedded) == (25, 25)
    rows = rows_of(spark, table)
    assert len(rows) == 80 and sum(map(len, rows.values())) == 85  # what was stays until it is pruned
    assert searched(spark, table) == set(rows)
    assert spark.table(table.replace("embeddings", "search")).count() == 80  # of changed images only the newest

    third = run(spark, tmp_path, table, prune=True)
    assert (third.new, third.changed, third.deleted, third.images, third.pruned) == (0, 0, 3, 0, 8)
    check(rows_of(spark, table), expected(tiny_model, [*images[:-3], *added]))
    assert searched(spark, table) == {str(image) for image in [*images[:-3], *added]}
    fourth = run(spark, tmp_path, table, prune=True)
    assert (fourth.images, fourth.deleted, fourth.pruned) == (0, 0, 0)


def test_damaged_images_keep_their_rows(spark, table, tiny_model, tmp_path):
    """Bar 3: damaged in as many ways as there are odd images, at random places."""
    images = plant(tmp_path, sequences=4, frames=15)
    bad = [odd for odd in ODD_IMAGES if odd.error and "patch features" not in odd.error]
    assert len(bad) >= 12
    places = np.random.default_rng(1).choice(len(images), len(bad), replace=False)
    damaged = {str(images[place]): odd for place, odd in zip(places, bad, strict=True)}
    for image, odd in damaged.items():
        write(Path(image), odd.data)
    summary = run(spark, tmp_path, table)
    assert (summary.images, summary.failed, summary.embedded) == (120, len(bad), 120 - len(bad))
    rows = rows_of(spark, table)
    for image, odd in damaged.items():
        (row,) = rows.pop(image)
        assert row.embedding is None and re.search(odd.error, row.error), (odd.name, row.error)
    check(rows, expected(tiny_model, set(map(str, images)) - set(damaged)))
    assert searched(spark, table) == set(rows)


def test_failed_images_are_tried_again_when_asked(spark, table, tiny_model, tmp_path):
    images = plant(tmp_path, sequences=1, frames=5, cameras=("cam01",))
    good, stamp = images[2].read_bytes(), images[2].stat().st_mtime_ns
    write(images[2], b"x" * len(good))
    os.utime(images[2], ns=(stamp, stamp))
    run(spark, tmp_path, table)
    (failed,) = rows_of(spark, table)[str(images[2])]
    assert failed.embedding is None and "expected JPEG, PNG, WebP" in failed.error
    again = run(spark, tmp_path, table)
    assert (again.failed_before, again.done_before, again.images) == (1, 4, 0)
    retried = run(spark, tmp_path, table, retry_failed=True)
    assert (retried.images, retried.failed) == (1, 1)
    images[2].write_bytes(good)  # mended, as a storage that was away is: nothing that a listing shows has changed
    os.utime(images[2], ns=(stamp, stamp))
    mended = run(spark, tmp_path, table, retry_failed=True, prune=True)
    assert (mended.embedded, mended.pruned) == (1, 2)
    check(rows_of(spark, table), expected(tiny_model, images))


def test_a_dry_run_writes_nothing(spark, table, tmp_path):
    images = plant(tmp_path, sequences=2, frames=6)
    summary = run(spark, tmp_path, table, dry_run=True)
    assert (summary.new, summary.images) == (24, 0) and summary.expected_seconds > 0
    assert not spark.catalog.tableExists(table)
    run(spark, tmp_path, table)
    before = spark.table(table).collect()
    files = sorted(spark.table(table).inputFiles())
    write(images[0], b"broken", later=60)
    images[1].unlink()
    summary = run(spark, tmp_path, table, dry_run=True, prune=True)
    assert (summary.new, summary.changed, summary.deleted, summary.done_before) == (0, 1, 1, 22)
    assert sorted(spark.table(table).inputFiles()) == files
    assert sorted(spark.table(table).collect()) == sorted(before)


def test_many_images_are_compared_by_few_tasks(spark, use_model, tmp_path):
    """Spark would read 32 files a task, however short: 14 tasks here."""
    plant(tmp_path, sequences=4, frames=54)
    with tasks_of_stages(spark) as tasks:
        summary = embed(spark, str(tmp_path), "unwritten_embeddings", dry_run=True)
    assert summary.new == 432
    assert 0 < max(tasks) <= LISTING_TASKS * spark.sparkContext.defaultParallelism
    assert spark.conf.get("spark.sql.files.maxPartitionNum", None) is None


@pytest.mark.parametrize(
    ("where", "listed", "deleted", "other"),
    [("sequence_id >= '000001'", 12, 1, 0), ("sequence_id >= '000001' AND camera < 'cam09'", 18, 2, 6)],
)
def test_a_condition_on_the_sequence_alone_is_asked_before_listing(spark, tmp_path, where, listed, deleted, other):
    plant(tmp_path, sequences=3, frames=3)
    gone = [f"('file:{tmp_path}/data/{name}/cam01/1.jpg', 'tiny', '{name}', 1)" for name in ("000000", "000001")]
    stored = spark.sql(
        "SELECT image, model, sequence_id, version, TIMESTAMP'2026-01-01' AS modified, 1L AS length, "
        f"CAST(NULL AS STRING) AS error FROM VALUES {', '.join(gone)} AS t(image, model, sequence_id, version)"
    )
    images = increment.compare(spark, Tables(ONCE), str(tmp_path), stored, where, "tiny")
    found = {row[increment.STATUS]: row["count"] for row in images.groupBy(increment.STATUS).count().collect()}
    assert found == {"new": 12, "deleted": deleted} | ({"other": other} if other else {})
    images.collect()
    scans = [node for node in nodes(images._jdf.queryExecution().executedPlan()) if "binaryFile" in node.nodeName()]
    scans = [scan for scan in scans if "OnceImages" in scan.toString()]  # of JSON there are others
    assert [scan.metrics().apply("numFiles").value() for scan in scans] == [listed]


def test_what_a_killed_write_of_a_plan_has_left_is_not_planned(spark, table, tiny_model, tmp_path):
    """Hadoop commits with a write what an earlier one's tasks have left under _temporary."""
    images = plant(tmp_path / "tree", sequences=1, frames=3)
    kept = tmp_path / "of the first plan"

    def keep(event):
        if event["event"] == "planned":
            shutil.copytree(folder_of(spark, table) / "plan", kept)

    embed(spark, str(tmp_path / "tree"), table, on_event=keep)
    left = folder_of(spark, table) / "plan" / "_temporary" / "0" / "task_202611270000_0001_m_000000"
    left.mkdir(parents=True)
    for file in kept.glob("part-*.parquet"):
        shutil.copy(file, left / f"part-00009-another-{file.name}")
    assert list(left.iterdir())
    write(images[0].with_name(f"{START + 500 * 50}.jpg"), noise(50))
    again = embed(spark, str(tmp_path / "tree"), table)
    assert again.images == again.new == 1 and spark.table(table).count() == len(images) + 1


def folder_of(spark, table) -> Path:
    model = spark.sql("SELECT blip_model()").first()[0]
    return Path(increment.job_folder(spark, table, model).removeprefix("file:"))


def test_a_condition_by_chance_embeds_no_image_twice(spark, table, tiny_model, tmp_path):
    """Asked of the source and of the table apart it gave two answers, and a stored image was new."""
    plant(tmp_path, sequences=3, frames=4)
    for seed in range(3):
        run(spark, tmp_path, table, where=f"rand({seed}) < 0.5")
    rows = spark.table(table)
    assert 0 < rows.count() == rows.select("image").distinct().count()


def test_where_and_the_view_serve_a_search(spark, table, tiny_model, tmp_path):
    images = plant(tmp_path, sequences=3, frames=6)
    rainy = [image for image in images if "/000001/" in str(image)]
    summary = run(spark, tmp_path, table, where="weather = 'rainy' AND camera = 'cam01'")
    assert (summary.new, summary.images) == (6, 6)
    assert set(rows_of(spark, table)) == set(map(str, rainy[:6]))
    assert run(spark, tmp_path, table).images == 30
    write(images[0], noise(77), later=60)
    run(spark, tmp_path, table)  # now the view has to leave a row out
    spark.conf.set("spark.blip.search.candidates", "5")
    try:
        query = f"SELECT frame_id, blip_itm(image, 'a car') AS score FROM {table.replace('embeddings', 'search')} "
        scored, calls = evaluations(spark.sql(query + "WHERE weather = 'sunny' ORDER BY score DESC LIMIT 3"))
    finally:
        spark.conf.unset("spark.blip.search.candidates")
    assert (len(scored), calls) == (3, 5)


def test_another_model(spark, table, tiny_model, tmp_path):
    """Its rows stand beside the first one's; the view shows those of the session's model."""
    images = plant(tmp_path, sequences=2, frames=4)
    run(spark, tmp_path, table)
    other = make(tmp_path / "other", seed=1)
    spark.conf.set("spark.blip.model", str(other))
    assert searched(spark, table) == set()
    run(spark, tmp_path, table, where="sequence_id = '000000'")
    assert len(searched(spark, table)) == 8
    with pytest.raises(
        ValueError, match="rows of other models stay until other@.* has one of every image of .*: 8 have"
    ):
        run(spark, tmp_path, table, prune_models=True, where="sequence_id = '000000'")
    assert spark.table(table).count() == 24
    done = run(spark, tmp_path, table, prune_models=True)
    assert (done.images, done.pruned) == (8, 16)
    check(rows_of(spark, table), expected(other, images))


def test_similar_frames_take_their_neighbours_embedding(spark, table, tiny_model, tmp_path):
    """Grey levels 100, 102, 104, 150, 151: with T = 3 the second and third follow the first, the last the fourth."""
    images = plant(tmp_path, sequences=1, frames=6, cameras=("cam01",))
    for image, level in zip(images, (100, 102, 104, 150, 151), strict=False):
        out = BytesIO()
        Image.new("RGB", (40, 30), (level,) * 3).save(out, "PNG")
        write(image, out.getvalue())
    write(images[5], b"broken")
    summary = run(spark, tmp_path, table, skip_similar=3.0)
    assert (summary.images, summary.embedded, summary.failed, summary.similar) == (6, 5, 1, 3)
    rows = [rows_of(spark, table)[str(image)][0] for image in images]
    first, fourth = (f"file:{images[place]}" for place in (0, 3))
    assert [row.similar_to for row in rows] == [None, first, first, None, fourth, None]
    own = expected(tiny_model, images[:5])
    for row, image in zip(rows, (0, 0, 0, 3, 3), strict=False):
        np.testing.assert_allclose(row.embedding, own[str(images[image])], atol=1e-6)
    assert rows[5].embedding is None and "6 bytes" in rows[5].error
    assert not np.allclose(own[str(images[0])], own[str(images[3])], atol=1e-3)


def test_each_image_is_embedded_once_by_one_worker(spark, use_model, tmp_path):
    plant(tmp_path, sequences=1, frames=6)
    words = (str(tmp_path), "none_embeddings", None, False, None, 12, "m", Settings.of_session(spark), print)
    job = Job(spark, Tables(ONCE), *words)
    with job.compared() as images:
        rows, calls = evaluations(job.embeddings(job.pending(images), 2), "embedded_or_why_not")
    assert (len(rows), calls) == (12, 12)


def test_a_killed_run_is_finished_first(spark, table, tiny_model, tmp_path, monkeypatch):
    """The job stops between the files of a trigger and its commit; the next run repeats that trigger in its place."""
    images = plant(tmp_path, sequences=2, frames=10)
    written = Job.trigger

    def killed(self, rows, number):
        written(self, rows, number)
        if number == 1:
            raise RuntimeError("killed here")

    monkeypatch.setattr(Job, "trigger", killed)
    with pytest.raises(Exception, match="killed here"):
        run(spark, tmp_path, table)
    monkeypatch.setattr(Job, "trigger", written)
    assert spark.table(table).count() == 2 * PER_TRIGGER
    events = []
    done = run(spark, tmp_path, table, on_event=events.append)
    check(rows_of(spark, table), expected(tiny_model, images))
    resumed, planned = (event for event in events if event["event"] in ("resumed", "planned"))
    assert (resumed["pending"], planned["pending"]) == (16, 0)
    assert done.images == 16 + PER_TRIGGER  # one trigger's work was done again


def test_a_table_at_a_location_is_found_by_another_catalog(spark, table, tiny_model, tmp_path):
    images = plant(tmp_path / "once", sequences=2, frames=3)
    run(spark, tmp_path / "once", table, location=str(tmp_path / "driver's"))
    spark.sql(f"DROP TABLE {table}")
    assert run(spark, tmp_path / "once", table, location=str(tmp_path / "driver's")).images == 0
    check(rows_of(spark, table), expected(tiny_model, images))


def test_names_as_sql_writes_them():
    assert store.view_of("lake.once_embeddings") == "lake.once_search"
    assert store.view_of("`a lake`.`my.embeddings`") == "`a lake`.`my.embeddings_search`"
    assert store.view_of("`a lake`.`my_embeddings`") == "`a lake`.`my_search`"
    assert [store.PART.findall(name)[-1] for name in ("lake.found", "`a`.`my.found`", "found")] == [
        "found", "`my.found`", "found",
    ]  # fmt: skip
    assert [quoted(name) for name in ("gps", "when it was", "größe")] == ["gps", "`when it was`", "`größe`"]


def test_the_sql_that_it_stands_for(spark, table, tiny_model, tmp_path):
    """sql/4_increment.sql and the job leave each other nothing to do."""
    images = plant(tmp_path, sequences=2, frames=3)
    script = {"root": str(tmp_path), "table": table}
    assert len(list(run_script(spark, "4_increment.sql", **script))) == 3
    check(rows_of(spark, table), expected(tiny_model, images))
    write(images[0], noise(50), later=60)
    write(images[1], b"broken", later=60)
    done = run(spark, tmp_path, table)
    assert (done.changed, done.images, done.failed, done.done_before) == (2, 2, 1, 10)
    write(images[2], noise(51), later=60)
    write(images[3], b"broken", later=60)
    list(run_script(spark, "4_increment.sql", **script))
    rows = rows_of(spark, table)
    assert [len(rows[str(image)]) for image in images[:5]] == [2, 2, 2, 2, 1]
    assert [rows[str(image)][-1].version for image in images[:5]] == [2, 2, 2, 2, 1]
    assert "6 bytes" in rows[str(images[3])][-1].error
    done = run(spark, tmp_path, table)
    assert (done.images, done.failed_before, done.done_before) == (0, 2, 10)
    assert {row.image for row in spark.table("once_search").collect()} == {
        row.image for row in spark.table(table.replace("embeddings", "search")).collect()
    }
    spark.sql("DROP VIEW once_search")


def test_a_connect_client_is_told_where_to_run_it():
    client = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()
    with pytest.raises(ValueError, match="expected a classic session, got a Connect client; run it where the driver"):
        embed(client, "/data/ONCE")


def test_what_it_refuses(spark, table, tmp_path):
    with pytest.raises(ValueError, match=f"no folder {tmp_path}/data: expected an ONCE tree"):
        run(spark, tmp_path, table)
    spark.sql(f"DROP TABLE IF EXISTS {table}")
    images = plant(tmp_path, sequences=1, frames=2, cameras=("cam01",))
    spark.sql(f"CREATE TABLE {table} (image STRING) USING parquet")
    with pytest.raises(
        ValueError, match=f"table {table}: expected the columns frame_id, .*, it has image; name another"
    ):
        run(spark, tmp_path, table)
    spark.sql(f"DROP TABLE {table}")
    run(spark, tmp_path, table)
    for image in images:
        image.unlink()
    with pytest.raises(ValueError, match="has no images, so that all rows would be removed: is its disk mounted?"):
        run(spark, tmp_path, table, prune=True)
    assert spark.table(table).count() == 2


def test_the_models_name_is_asked_once_per_query(spark, use_model, tmp_path):
    plan = optimized(spark.sql("SELECT id FROM range(9) WHERE blip_model() = 'x'"))
    assert "scalar-subquery" in plan
    assert evaluations(spark.sql("SELECT id FROM range(9) WHERE blip_model() = 'x'"), "blip_model") == ([], 0)
