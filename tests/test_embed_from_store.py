"""Images in an S3 store that workers read by Arrow: the local run's values; what a bad day costs."""

import time

import pytest

import blip_udfs
from blip_udfs.files import sources
from blip_udfs.files.images import image_error
from tests.as_local import check_embeddings, check_search_and_pictures
from tests.object_store import BUCKET, serving
from tests.planted import noise, write

pytestmark = pytest.mark.slow

COUNT = 300
PER_TRIGGER = 100


@pytest.fixture(scope="module")
def running():
    with serving() as store:
        yield store


@pytest.fixture
def store(running):
    running.quiet()
    yield running
    running.quiet()


@pytest.fixture(scope="module")
def images(spark, running, tmp_path_factory):
    """A view: the same images by path and by URI."""
    folder, rows = tmp_path_factory.mktemp("stored"), []
    for number in range(COUNT):
        write(folder / f"{number}.jpg", noise(number))
        rows.append((number, str(folder / f"{number}.jpg"), running.put(f"drive/{number}.jpg", noise(number))))
    spark.createDataFrame(rows, "n INT, path STRING, image STRING").createOrReplaceTempView("stored")
    yield "stored"
    spark.catalog.dropTempView("stored")


@pytest.fixture
def table(spark, use_model, images, request):
    name = f"{request.node.name}_embeddings"
    yield name
    spark.sql(f"DROP VIEW IF EXISTS {name.removesuffix('_embeddings')}_search")
    spark.sql(f"DROP TABLE IF EXISTS {name}")


def run(spark, table, source="stored", **options):
    return blip_udfs.embed(spark, source, table, key="n", columns="path", images_per_trigger=PER_TRIGGER, **options)


def number_of(path: str) -> int:
    return int(path.rpartition("/")[2].removesuffix(".jpg"))


def test_embed_search_and_pictures(spark, store, table):
    done = run(spark, table)
    assert (done.embedded, done.failed) == (COUNT, 0)
    check_embeddings(spark, table, COUNT)
    assert {
        number_of(path): times for (method, path), times in store.paths.items() if method == "GET"
    } == dict.fromkeys(range(COUNT), 1)
    assert run(spark, table).images == 0
    store.put("drive/3.jpg", noise(903))  # of another length, or later
    again = run(spark, table, prune=True)
    assert (again.changed, again.embedded, again.pruned) == (1, 1, 1)
    store.put("drive/3.jpg", noise(3))
    check_search_and_pictures(spark, table, f"s3://{BUCKET}/drive/")


def test_faults_that_pass(spark, store, table):
    """A 503 every tenth read, and three images cut in the middle the first time: the library asks again."""
    cut = {f"/{BUCKET}/drive/{number}.jpg" for number in (4, 17, 31)}

    def fault(method, number, path):
        if method != "GET":
            return None
        return "503" if number % 10 == 0 else "cut" if path in cut and store.paths[method, path] == 1 else None

    store.faults = fault
    done = run(spark, table)
    assert (done.images, done.embedded, done.failed) == (COUNT, COUNT, 0)
    check_embeddings(spark, table, COUNT)
    retries = store.asked["GET"] - COUNT
    assert 3 + COUNT // 10 <= retries <= 3 + COUNT // 10 + 2


def test_faults_that_stay(spark, store, table):
    """The row's reason, and the others as if nothing were; tried again once the store is well."""
    bad = {f"/{BUCKET}/drive/{number}.jpg": fault for number, fault in ((5, "cut"), (6, "503"))}
    store.faults = lambda method, number, path: bad.get(path) if method == "GET" else None
    began = time.monotonic()
    done = run(spark, table)
    assert (done.images, done.embedded, done.failed) == (COUNT, COUNT - 2, 2)
    assert time.monotonic() - began < 90
    reasons = {row.n: row.error for row in spark.table(table).where("error IS NOT NULL").collect()}
    assert set(reasons) == {5, 6} and "HTTP status 503" in reasons[6] and "Transferred a partial file" in reasons[5]
    assert all(said.startswith(f"s3://{BUCKET}/drive/{n}.jpg: cannot be read: ") for n, said in reasons.items())
    store.quiet()
    again = run(spark, table, retry_failed=True, prune=True)
    assert (again.failed_before, again.embedded, again.pruned) == (2, 2, 2)
    check_embeddings(spark, table, COUNT)


def test_a_slow_read_is_asked_again(store):
    """The library gives up on a connection that sends nothing for three seconds."""
    store.put("slow.jpg", noise(1))
    store.faults = lambda method, number, path: "slow" if method == "GET" and number == 1 else None
    began = time.monotonic()
    assert image_error(f"s3a://{BUCKET}/slow.jpg") is None
    assert time.monotonic() - began < 30 and store.asked["GET"] == 2


def test_what_is_not_there(store):
    for source in (f"s3://{BUCKET}/none.jpg", "s3://another/none.jpg"):
        assert image_error(source) == f"{source}: no such file" and sources.stamp(source) is None
