"""Images that Spark's file systems read in place of the workers: the same values, doors and messages; faults."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

import blip_udfs
from blip_udfs.files.carried import MAGIC, named
from blip_udfs.files.images import image_error
from blip_udfs.files.sources import ClosedError, ImageError, check_root, read_roots
from tests.http_server import serving
from tests.odd_images import SCENE_PNG
from tests.plans import evaluations, optimized
from tests.planted import noise, write

COUNT = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("served")
    for number in range(COUNT):
        write(root / f"{number}.jpg", noise(number))
    write(root / "broken.jpg", b"no image at all")
    return root


@pytest.fixture
def server(folder):
    with serving(folder) as server:
        yield server


@pytest.fixture
def images(spark, use_model, folder, server):
    """A temporary view: the same images by path and by URL, with the embedding of the path."""
    rows = [(number, str(folder / f"{number}.jpg"), server.url(f"{number}.jpg")) for number in range(COUNT)]
    spark.createDataFrame(rows, "n INT, path STRING, image STRING").createOrReplaceTempView("served")
    yield "served"
    spark.catalog.dropTempView("served")


@pytest.fixture
def reader(spark):
    def choose(who: str) -> None:
        spark.conf.set("spark.blip.read", who)

    yield choose
    spark.conf.unset("spark.blip.read")


def is_read_by_spark(df) -> bool:
    return "blip_file(" in optimized(df)


def test_what_spark_reads_has_the_same_values(spark, images, server):
    query = "SELECT n, blip_image_embed(path) AS by_worker, blip_image_embed(image) AS by_spark FROM served ORDER BY n"
    rows = spark.sql(query).collect()
    for row in rows:
        np.testing.assert_allclose(row.by_spark, row.by_worker, atol=1e-6)
    assert len({tuple(row.by_spark) for row in rows}) == COUNT and set(server.asked.values()) == {1}
    scores = spark.sql("SELECT blip_itm(path, 'a car') AS a, blip_itm(image, 'a car') AS b FROM served").collect()
    assert [row.a for row in scores] == pytest.approx([row.b for row in scores], abs=1e-6)


def test_who_reads_is_a_setting(spark, images, reader, folder):
    by_path, by_url = (f"SELECT blip_image_error({column}) FROM served WHERE n < 2" for column in ("path", "image"))
    assert [row[0] for row in spark.sql(by_url).collect()] == [None, None]
    reader("worker")
    assert not is_read_by_spark(spark.sql(by_url))
    (said, _) = (row[0] for row in spark.sql(by_url).collect())
    assert "expected a local path" in said and "with blip-udfs' jar and spark.blip.read = auto" in said
    reader("spark")
    assert is_read_by_spark(spark.sql(by_path))
    assert [row[0] for row in spark.sql(by_path).collect()] == [None, None]
    embedded = "SELECT blip_image_embed(path) AS e FROM served ORDER BY n"
    by_spark = [row.e for row in spark.sql(embedded).collect()]
    reader("auto")
    np.testing.assert_allclose(by_spark, [row.e for row in spark.sql(embedded).collect()], atol=1e-6)
    reader("nobody")
    with pytest.raises(Exception, match="spark.blip.read = 'nobody': expected one of auto, worker, spark"):
        spark.sql(by_path).collect()


def test_without_an_end_of_a_batch_the_worker_reads(spark, images):
    """Spark 3.5 counts no bytes of a batch."""
    query = "SELECT blip_image_error(image) FROM served"
    assert is_read_by_spark(spark.sql(query))
    spark.conf.set("spark.sql.execution.arrow.maxBytesPerBatch", "1g")
    try:
        assert not is_read_by_spark(spark.sql(query))
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "256")
        assert is_read_by_spark(spark.sql(query))
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxBytesPerBatch")
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


def test_the_other_rules_see_the_column(spark, images, server):
    """The cascade takes its candidates, and several calls on an image are one, whoever reads it."""
    spark.sql("SELECT *, blip_image_embed(path) AS embedding FROM served").createOrReplaceTempView("served_embedded")
    spark.conf.set("spark.blip.search.candidates", "5")
    try:
        query = "SELECT n, blip_itm(image, 'a bus') AS score FROM served_embedded ORDER BY score DESC LIMIT 3"
        found = spark.sql(query)
        rows, calls = evaluations(found)
        assert (len(rows), calls) == (3, 5) and is_read_by_spark(found)
    finally:
        spark.conf.unset("spark.blip.search.candidates")
        spark.catalog.dropTempView("served_embedded")
    server.asked.clear()
    both = spark.sql("SELECT blip_itm(image, 'a') AS a, blip_itm(image, 'b') AS b FROM served WHERE n < 7")
    rows, calls = evaluations(both, "blip_together")
    assert (len(rows), calls) == (7, 7) and set(server.asked.values()) == {1} and len(server.asked) == 7


def test_a_file_that_is_not_there_is_its_rows_reason(spark, images, server):
    missing, broken = server.url("none.jpg"), server.url("broken.jpg")
    rows = spark.sql(
        f"SELECT blip_image_error(image) AS why, try_blip_image_embed(image) AS none FROM VALUES ('{missing}'), "
        f"('{broken}'), (NULL) AS t(image)"
    ).collect()
    assert rows[0].why == f"{missing}: no such file" and server.asked["/none.jpg"] == 2
    assert rows[1].why.startswith(f"{broken}: expected JPEG, PNG, WebP, BMP, TIFF or GIF, got 15 bytes of another")
    assert [row.none for row in rows] == [None] * 3 and rows[2].why is None
    with pytest.raises(Exception, match="none.jpg: no such file"):
        spark.sql(f"SELECT blip_image_embed('{missing}')").collect()


@pytest.mark.slow
def test_faults_on_the_way(spark, images, server):
    """503 every tenth time: tried again. Cut in the middle: that row's reason, or tried again. No row is wrong."""
    server.faults = lambda number, path: "503" if number % 10 == 0 else None
    query = "SELECT n, blip_image_error(image) AS why FROM served"
    assert [row.why for row in spark.sql(query).collect()] == [None] * COUNT
    assert COUNT + 2 <= server.asked.total() <= COUNT + 4
    server.asked.clear()
    server.faults = lambda number, path: "cut" if path in ("/3.jpg", "/8.jpg") else None
    rows = spark.sql(f"{query.replace('AS why', 'AS why, try_blip_image_embed(image) AS e')} ORDER BY n").collect()
    assert [row.n for row in rows if row.why] == [row.n for row in rows if row.e is None] == [3, 8]
    assert all(server.url(f"{row.n}.jpg") in row.why for row in rows if row.why)
    server.faults = lambda number, path: "503" if path == "/5.jpg" else None
    server.asked.clear()
    (row,) = spark.sql("SELECT blip_image_error(image) AS why FROM served WHERE n = 5").collect()
    assert "cannot be read, tried 4 times: Server returned HTTP response code: 503" in row.why
    assert server.asked["/5.jpg"] == 4


def carried(spark, source: str, doors: dict[str, str]) -> bytes:
    """What Spark's reader hands a worker, with that environment."""
    jvm = spark._jvm
    variables = jvm.java.util.HashMap()
    for name, value in doors.items():
        variables.put(name, value)
    rules = jvm.org.apache.spark.sql.blip
    files = rules.ImageFiles(spark._jsc.hadoopConfiguration(), True, rules.Doors.of(variables))
    return bytes(files.carried(source, False))


def test_a_slow_read_ends(spark, server, folder):
    server.faults = lambda number, path: "slow"
    began = time.monotonic()
    url = server.url("1.jpg")
    said = image_error(carried(spark, url, {"BLIP_IMAGE_SECONDS": "1"}))
    assert said == f"{url}: cannot be read: not done within BLIP_IMAGE_SECONDS = 1"
    assert time.monotonic() - began < 20


@pytest.fixture
def world(tmp_path):
    inside = tmp_path / "images"
    inside.mkdir()
    for name in ("a b.png", "good.png"):
        (inside / name).write_bytes(SCENE_PNG)
    (inside / "empty.png").write_bytes(b"")
    (tmp_path / "secret.png").write_bytes(SCENE_PNG)
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "folder.png").mkdir()
    os.mkfifo(inside / "pipe.png")
    return tmp_path


ROOTS = {"BLIP_READ_ROOTS": "{tmp}/images:http://127.0.0.1:9/images"}
OTHER_PORT = {"BLIP_READ_ROOTS": "http://127.0.0.1:9/images:{tmp}/images"}
AT_DOORS = [
    ("{tmp}/images/good.png", ROOTS, None),
    ("file:{tmp}/images/good.png", ROOTS, None),
    ("file://{tmp}/images/a%20b.png", ROOTS, None),
    ("{tmp}/images/a b.png", {}, None),
    ("{tmp}/secret.png", ROOTS, "outside of what may be read here"),
    ("{tmp}/images/link.png", ROOTS, "outside of what may be read here"),
    ("{tmp}/images/../secret.png", ROOTS, "outside of what may be read here"),
    ("{tmp}/imagesX/good.png", ROOTS, "outside of what may be read here"),
    ("http://127.0.0.1:9/other/x.png", ROOTS, "outside of what may be read here"),
    ("http://127.0.0.1:9/images/../x.png", ROOTS, "outside of what may be read here"),
    ("http://127.0.0.1/other/x.png", ROOTS, "outside of what may be read here"),
    ("http://127.0.0.1/other/x.png", OTHER_PORT, "outside of what may be read here"),
    ("{tmp}/images/good.png", OTHER_PORT, None),
    ("http://127.0.0.1:99/images/x.png", OTHER_PORT, "outside of what may be read here"),
    ("{tmp}/images/none.png", {}, "no such file"),
    ("{tmp}/images/folder.png", {}, "cannot be read: Is a directory"),
    ("{tmp}/images/pipe.png", {}, "expected a regular file, got a FIFO"),
    ("{tmp}/images/empty.png", {}, "expected an image, got 0 bytes"),
    ("{tmp}/images/good.png", {"BLIP_MAX_IMAGE_BYTES": "50"}, "expected at most 50 bytes, got "),
    ("{tmp}/images/good.png", {"BLIP_MAX_IMAGE_PIXELS": "9"}, "has too many pixels: expected at most 9"),
    ("x" * 5000, {}, "expected a path, got a text of 5,000 characters"),
    ("{tmp}/images/\0.png", {}, "expected a path, got one with a zero byte"),
    ("{tmp}/secret.png", {"BLIP_READ_ROOTS": ""}, "no path is read here, for BLIP_READ_ROOTS names no folder"),
]


@pytest.mark.parametrize(("source", "doors", "said"), AT_DOORS)
def test_both_readers_have_the_same_doors(spark, world, monkeypatch, source, doors, said):
    source = source.replace("{tmp}", str(world))
    doors = {name: value.replace("{tmp}", str(world)) for name, value in doors.items()}
    for name, value in doors.items():
        monkeypatch.setenv(name, value)
    by_worker, by_spark = image_error(source), image_error(carried(spark, source, doors))
    assert by_worker == by_spark
    assert said is None and by_spark is None or said in by_spark
    if doors == {"BLIP_READ_ROOTS": ""}:
        with pytest.raises(ClosedError):
            named(carried(spark, source, doors))


@pytest.mark.parametrize("name", ["%2e%2e/x.png", "%2E%2e%2fx.png", "..%5cx.png", "%252e%252e/x.png", "%25252e./x.png"])
def test_no_encoding_leaves_a_root(spark, monkeypatch, name):
    uri = f"http://127.0.0.1:9/images/{name}"
    monkeypatch.setenv("BLIP_READ_ROOTS", "http://127.0.0.1:9/images")
    assert carried(spark, uri, {"BLIP_READ_ROOTS": "http://127.0.0.1:9/images"})[:9] == MAGIC + b"P"
    with pytest.raises(ImageError, match="outside of what may be read here"):
        check_root(uri)
    check_root("http://127.0.0.1:9/images/100%25.png")


@pytest.mark.parametrize("host", ["127.0.0.1:9", "[::1]:9"])
def test_a_root_on_a_port_opens_its_folder(spark, monkeypatch, host):
    doors = {"BLIP_READ_ROOTS": f"/nowhere:http://{host}/images:s3://bucket/a"}
    monkeypatch.setenv("BLIP_READ_ROOTS", doors["BLIP_READ_ROOTS"])
    assert read_roots() == ["/nowhere", f"http://{host}/images", "s3://bucket/a"]
    inside, outside = f"http://{host}/images/x.png", f"http://{host}/x.png"
    assert "outside of what may be read here" not in image_error(carried(spark, inside, doors))
    assert "outside of what may be read here" in image_error(carried(spark, outside, doors))
    check_root(inside)
    with pytest.raises(ImageError, match="outside of what may be read here"):
        check_root(outside)


def test_a_worker_trusts_no_other_reader(world, monkeypatch):
    """Bytes that claim to come from elsewhere than may be read are refused: an image can be written to begin so."""
    made = MAGIC + b"B" + len(str(world)).to_bytes(4, "big") + str(world).encode() + SCENE_PNG
    assert image_error(made) is None
    monkeypatch.setenv("BLIP_READ_ROOTS", str(world / "images"))
    assert "outside of what may be read here" in image_error(made)


def test_the_job_and_the_pictures(spark, images, server, folder, tiny_model):
    """A table of URLs is embedded as its files are; search and pictures work from it."""
    try:
        options = {"key": "n", "columns": "path", "images_per_trigger": 8, "skip_similar": 0.0}
        done = blip_udfs.embed(spark, "served", "served_embeddings", **options)
        assert (done.embedded, done.failed) == (COUNT, 0)
        assert blip_udfs.embed(spark, "served", "served_embeddings", **options).images == 0
        query = "SELECT embedding, blip_image_embed(path) AS by_worker FROM served_embeddings"
        for row in spark.sql(query).collect():
            np.testing.assert_allclose(row.embedding, row.by_worker, atol=1e-6)
        found = blip_udfs.search(spark.table("served_search"), "a car", k=3).orderBy("score", ascending=False)
        (title, cards) = blip_udfs.gallery(found).sections[0]
        assert [card.picture is not None for card in cards] == [True] * 3
        assert cards[0].source.startswith(server.url(""))
    finally:
        spark.sql("DROP VIEW IF EXISTS served_search")
        spark.sql("DROP TABLE IF EXISTS served_embeddings")
