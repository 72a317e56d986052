"""Embeddings of any table with a column of images: of paths or bytes, by key and stamp, in exact counts."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from blip_udfs import embed
from blip_udfs.blip.model import load
from blip_udfs.cli import main
from blip_udfs.files.images import pixels
from blip_udfs.job.embed import Job
from tests.planted import noise, write

BEGIN = datetime(2026, 3, 1, 12)
DDL = "vehicle STRING, camera STRING, captured_at TIMESTAMP, gps STRUCT<lat: DOUBLE, lon: DOUBLE>, path STRING"
KEY = "vehicle,camera,captured_at"
SIZES = [
    pytest.param(1, id="200"),
    pytest.param(10, id="2000", marks=pytest.mark.endurance),
]


@pytest.fixture
def fleet(spark, use_model):
    spark.sql("CREATE DATABASE fleet")
    yield "fleet.images"
    spark.sql("DROP DATABASE fleet CASCADE")


def recorded(root: Path, number: int) -> tuple:
    """A row of the fleet's table: ten vehicles with two cameras each."""
    vehicle, camera, second = f"car {number % 10}", f"cam{number // 10 % 2}", number // 20
    place = (48.0 + number / 1000, 11.0)
    return vehicle, camera, BEGIN + timedelta(seconds=second), place, str(root / vehicle / camera / f"{second}.jpg")


def store(spark, rows: list[tuple], ddl: str = DDL) -> None:
    spark.createDataFrame(rows, ddl).write.mode("overwrite").saveAsTable("fleet.images")


def run(spark, source="fleet.images", **options):
    options = {"key": KEY, "image": "path", "images_per_trigger": 300} | options
    return embed(spark, source, "fleet.embeddings", **options)


def embedded(spark) -> dict[tuple, list]:
    """The table's rows by key, the oldest first."""
    found: dict[tuple, list] = {}
    for row in sorted(spark.table("fleet.embeddings").collect(), key=lambda row: row.version):
        found.setdefault((row.vehicle, row.camera, row.captured_at), []).append(row)
    return found


def check(found: dict[tuple, list], rows: list[tuple], folder: Path, damaged: set[int]) -> None:
    """Each row once, with the embedding of its file, or the reason where it is damaged."""
    model = load(str(folder))
    assert set(found) == {row[:3] for row in rows} and {len(each) for each in found.values()} == {1}
    for number, row in enumerate(rows):
        (stored,) = found[row[:3]]
        assert (stored.image, tuple(stored.gps)) == (row[4], row[3])
        if number in damaged:
            assert stored.embedding is None and "of another format" in stored.error
        else:
            wanted = model.embed_images(pixels(row[4], model.image_size)[None])[0]
            np.testing.assert_allclose(stored.embedding, wanted, atol=1e-6)


@pytest.mark.parametrize("tens", SIZES)
def test_a_fleets_table_is_kept_up_to_date(spark, fleet, tiny_model, tmp_path, tens):
    """Bar 3: of 2,000 rows 100 damaged; then 200 added, 20 changed, 10 deleted. In the suite a tenth of it."""
    count, broken, added, changed, deleted = (each * tens for each in (200, 10, 20, 2, 1))
    rows = [recorded(tmp_path, number) for number in range(count + added)]
    damaged = set(range(5, 20 * broken, 20))
    for number, row in enumerate(rows):
        write(Path(row[4]), b"no image at all" if number in damaged else noise(number))
    store(spark, rows[:count])
    options = {"partition_by": "vehicle", "columns": "gps"}
    first = run(spark, **options)
    assert (first.new, first.images, first.embedded, first.failed) == (count, count, count - broken, broken)
    check(embedded(spark), rows[:count], tiny_model, damaged)
    assert spark.table("fleet.embeddings").columns == [
        *("camera", "captured_at", "gps", "image", "modified", "length", "embedding", "model", "error", "similar_to"),
        *("version", "vehicle", "batch"),
    ]

    for number in range(1, 20 * changed, 20):
        write(Path(rows[number][4]), noise(10_000 + number), later=60)
    gone = set(range(0, 20 * deleted, 20))
    left = [row for number, row in enumerate(rows) if number not in gone]
    store(spark, left)
    second = run(spark, **options)
    kept = count - changed - deleted
    assert (second.new, second.changed, second.deleted, second.failed_before) == (added, changed, deleted, broken)
    assert (second.done_before, second.images) == (kept - broken, added + changed)
    assert spark.table("fleet.embeddings_search").count() == count + added - broken
    third = run(spark, **options, prune=True)
    assert (third.images, third.deleted, third.pruned) == (0, deleted, deleted + changed)
    check(embedded(spark), left, tiny_model, {left.index(rows[number]) for number in damaged})
    found = spark.sql(
        "SELECT vehicle, gps.lat, blip_itm(image, 'a car') AS score FROM fleet.embeddings_search "
        "ORDER BY score DESC LIMIT 3"
    ).collect()
    assert len(found) == 3 and found[0].score >= found[2].score


@pytest.mark.slow
def test_images_as_bytes(spark, fleet, tiny_model, tmp_path):
    """Told apart by a digest of their bytes; what the plan and the table keep are the bytes."""
    ddl = DDL.replace("path STRING", "frame BINARY")
    rows = [(*recorded(tmp_path, number)[:4], noise(number)) for number in range(30)]
    rows[7] = (*rows[7][:4], b"no image at all")
    rows[9] = (*rows[9][:4], None)
    store(spark, rows, ddl)
    options = {"image": "frame", "columns": "gps", "images_per_trigger": 8}
    first = run(spark, **options)
    assert (first.new, first.embedded, first.failed) == (30, 28, 2)
    found = embedded(spark)
    assert found[rows[9][:3]][0].error == "expected an image, got NULL"
    model = load(str(tiny_model))
    for row in (rows[0], rows[29]):
        (stored,) = found[row[:3]]
        assert bytes(stored.image) == row[4] and len(stored.digest) == 64
        wanted = model.embed_images(pixels(row[4], model.image_size)[None])[0]
        np.testing.assert_allclose(stored.embedding, wanted, atol=1e-6)
    rows[3] = (*rows[3][:4], noise(999))
    store(spark, rows[1:], ddl)
    second = run(spark, **options, prune=True)
    assert (second.new, second.changed, second.deleted, second.images, second.pruned) == (0, 1, 1, 1, 2)
    assert bytes(embedded(spark)[rows[3][:3]][0].image) == noise(999)


@pytest.mark.slow
def test_columns_of_any_name_and_the_path_as_key(spark, fleet, tmp_path):
    """The job's own on the way and a source's columns of the same names are apart."""
    rows = [(str(tmp_path / f"{number}.jpg"), f"s{number}", number, 7, 7, 7, 7) for number in range(4)]
    for number, row in enumerate(rows):
        write(Path(row[0]), noise(number))
    names = ("path", "status", "stamp", "newest", "outcome", "first", "length")
    store(spark, rows, ", ".join(f"{name} {'STRING' if name in names[:2] else 'INT'}" for name in names))
    options = {"key": "path", "columns": "status,newest,outcome,first", "skip_similar": 0.0}
    assert run(spark, **options).embedded == 4
    assert run(spark, **options, prune=True).images == 0
    found = spark.table("fleet.embeddings").collect()
    assert sorted((row.path, row.status, row.newest) for row in found) == [(row[0], row[1], 7) for row in rows]
    assert all(row.path == row.image and row.embedding and row.length > 7 for row in found)

    stamped = {"key": "status", "stamp": "stamp", "image": "IMAGE"}
    source = spark.table("fleet.images").withColumnRenamed("path", "IMAGE")
    spark.sql("DROP TABLE fleet.embeddings")
    assert run(spark, source, **stamped).embedded == 4
    again = run(spark, source.withColumn("stamp", source.stamp + 1), **stamped, prune=True)
    assert (again.changed, again.embedded, again.pruned) == (4, 4, 4)


@pytest.mark.slow
def test_the_users_own_stamp_decides(spark, fleet, tmp_path):
    """Another file is no reason, another stamp is; a DataFrame is a source too, and no column partitions the table."""
    rows = [(*recorded(tmp_path, number), 1) for number in range(6)]
    for number, row in enumerate(rows):
        write(Path(row[4]), noise(number))
    images = spark.createDataFrame(rows, f"{DDL}, etag INT")
    options = {"key": ["vehicle", "Camera", "captured_at"], "stamp": "etag"}
    assert run(spark, images, **options).embedded == 6
    write(Path(rows[0][4]), noise(77), later=60)
    assert run(spark, images, **options).images == 0
    etag = "CASE WHEN vehicle = 'car 1' THEN 2 WHEN vehicle = 'car 2' THEN NULL ELSE 1 END AS etag"
    changed = images.selectExpr(*images.columns[:-1], etag)
    again = run(spark, changed, **options, where="vehicle < 'car 4'", prune=True)
    assert (again.changed, again.images, again.done_before, again.pruned) == (2, 2, 2, 2)
    assert spark.table("fleet.embeddings").columns[-3:] == ["similar_to", "version", "batch"]
    assert "etag" not in spark.table("fleet.embeddings_search").columns


@pytest.mark.slow
def test_a_killed_run_and_similar_frames(spark, fleet, tmp_path, monkeypatch):
    """As for trees: the next run repeats the killed trigger in its place; a frame follows the one before by the key."""
    rows = [recorded(tmp_path, number) for number in range(40)]
    for number, row in enumerate(rows):
        write(Path(row[4]), noise(number % 20))  # so that a camera's second frame is its first again
    store(spark, rows)
    written = Job.trigger

    def killed(self, images, number):
        written(self, images, number)
        raise RuntimeError("killed here")

    monkeypatch.setattr(Job, "trigger", killed)
    options = {"images_per_trigger": 16, "skip_similar": 1.0}
    with pytest.raises(Exception, match="killed here"):
        run(spark, **options)
    monkeypatch.setattr(Job, "trigger", written)
    assert spark.table("fleet.embeddings").count() == 16
    done = run(spark, **options)
    assert (done.images, done.new, done.done_before) == (40, 0, 40)
    stored = {row.image: row for row in spark.table("fleet.embeddings").collect()}
    assert len(stored) == 40
    for first, second in zip(rows[:20], rows[20:], strict=True):
        if stored[second[4]].similar_to:
            assert stored[second[4]].similar_to == first[4]
            assert stored[second[4]].embedding == stored[first[4]].embedding
    assert done.similar > 0


@pytest.mark.slow
def test_a_file_that_comes_later_has_changed(spark, fleet, tmp_path):
    rows = [recorded(tmp_path, number) for number in range(4)]
    for number, row in enumerate(rows[:3]):
        write(Path(row[4]), noise(number))
    store(spark, rows)
    first = run(spark)
    assert (first.embedded, first.failed) == (3, 1)
    assert "no such file" in embedded(spark)[rows[3][:3]][0].error
    assert run(spark).images == 0
    write(Path(rows[3][4]), noise(3))
    Path(rows[0][4]).unlink()
    second = run(spark)
    assert (second.changed, second.embedded, second.failed) == (2, 1, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": ()}, "key: expected the columns by which each row is told from all others, got none"),
        (
            {"key": "vehicle,when"},
            "key: fleet.images has no column when; it has vehicle, camera, captured_at, gps",
        ),
        ({"key": "vehicle"}, "key: fleet.images has 2 rows of vehicle = car 0; name more columns"),
        (
            {"image": "gps"},
            "image: expected a column of STRING (paths) or BINARY, gps is struct<lat:double",
        ),
        (
            {"partition_by": "captured_at"},
            "partition_by: expected STRING, INT, BIGINT or DATE, captured_at is",
        ),
        ({"columns": "path,error"}, "columns: fleet.images has no column error"),
        ({"key": f"{KEY},batch"}, "fleet.images: the job makes a column batch of its own; rename it, as by a view"),
        ({"partition_by": "town"}, "fleet.images: 1 rows have NULL in vehicle or camera or captured_at or town"),
    ],
)
def test_what_it_refuses(spark, fleet, tmp_path, options, said):
    rows = [(*recorded(tmp_path, 10 * number), number, "Ulm" if number else None) for number in range(2)]
    store(spark, rows, f"{DDL}, batch INT, town STRING")
    source = spark.table("fleet.images") if not options.get("key", KEY) else "fleet.images"
    with pytest.raises(ValueError, match=re.escape(said)):
        run(spark, source, **options)


def test_on_the_command_line():
    for words in (
        [],
        ["--from", "fleet.images"],
        ["--source", "/data", "--from", "fleet.images", "--key", "id"],
        ["--source", "/data", "--key", "id"],
    ):
        done = CliRunner().invoke(main, ["embed", *words])
        assert done.exit_code == 2 and "expected --source TREE, or --from TABLE with --key COLUMNS" in done.output


@pytest.mark.endurance
def test_the_command_finds_the_warehouses_table(spark, tiny_model, tmp_path):
    """In processes of their own: `blip-udfs sql` makes the fleet's table, `blip-udfs embed --from` embeds it."""
    import subprocess
    import sys

    rows = [recorded(tmp_path, number) for number in range(6)]
    for number, row in enumerate(rows):
        write(Path(row[4]), noise(number))
    values = ", ".join(f"('{row[0]}', '{row[1]}', TIMESTAMP'{row[2]}', '{row[4]}')" for row in rows)
    of_rows = f"SELECT * FROM VALUES {values} AS t(vehicle, camera, captured_at, path)"
    made = f"CREATE DATABASE fleet; CREATE TABLE fleet.images USING parquet AS {of_rows}"
    command, kept = str(Path(sys.executable).parent / "blip-udfs"), ["--warehouse", str(tmp_path / "warehouse")]
    asked = ["--from", "fleet.images", "--image", "path", "--key", KEY, "--table", "fleet.embeddings"]
    for words in (["sql", *kept, "-e", made], ["embed", *kept, *asked, "--model", str(tiny_model)]):
        done = subprocess.run([command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    assert "Images: 6 new, 0 changed, 0 failed before, 0 done, 0 deleted." in done.stdout
    query = "SELECT count(embedding) FROM fleet.embeddings"
    counted = subprocess.run([command, "sql", *kept, "-e", query], capture_output=True, text=True, check=True)
    assert counted.stdout.split()[-1] == "6"
