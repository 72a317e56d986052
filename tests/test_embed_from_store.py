"""Images in an S3 store, read by the workers, and behind http, read by Spark: the local run's values; what a bad day
costs the job."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pytest
from pyarrow import parquet

import blip_udfs
from tests import http_server, object_store
from tests.as_local import check_embeddings, check_search_and_pictures
from tests.killed import Run
from tests.planted import noise, write

pytestmark = pytest.mark.slow

COUNT, PER_TRIGGER = 300, 100
CUT_ONCE = {"4.jpg", "17.jpg", "31.jpg"}
Fault = Callable[[int, str], str | None]


class S3:
    """The worker's own retries mend a body that was cut."""

    reread = True

    def __init__(self, store: object_store.Store) -> None:
        self.store, self.start = store, f"s3://{object_store.BUCKET}/drive/"

    def put(self, name: str, data: bytes) -> str:
        return self.store.put(f"drive/{name}", data)

    def asked(self) -> Counter[str]:
        """How often each image was read."""
        gets = {path: times for (method, path), times in self.store.paths.items() if method == "GET"}
        return Counter({path.rpartition("/")[2]: times for path, times in gets.items()})

    def fail(self, fault: Fault) -> None:
        self.store.faults = lambda method, number, path: (
            fault(number, path.rpartition("/")[2]) if method == "GET" else None
        )

    def quiet(self) -> None:
        self.store.quiet()


class Http:
    """Java takes a body that was cut for the whole: the image's decoder says so."""

    reread = False

    def __init__(self, server: http_server.Server) -> None:
        self.server, self.start = server, server.url("")

    def put(self, name: str, data: bytes) -> str:
        write(self.server.folder / name, data)
        return self.server.url(name)

    def asked(self) -> Counter[str]:
        return Counter({path.lstrip("/"): times for path, times in self.server.asked.items()})

    def fail(self, fault: Fault) -> None:
        self.server.faults = lambda number, path: fault(number, path.lstrip("/"))

    def quiet(self) -> None:
        self.server.asked.clear()
        self.fail(lambda number, name: None)


@contextmanager
def s3(folder) -> Iterator[S3]:
    with object_store.serving() as store:
        yield S3(store)


@contextmanager
def http(folder) -> Iterator[Http]:
    with http_server.serving(folder) as server:
        yield Http(server)


@pytest.fixture(scope="module", params=[s3, http], ids=["s3", "http"])
def place(request, spark, tmp_path_factory):
    """Where the images of the view `stored` lie, which names them by URI and by local path."""
    folder, rows = tmp_path_factory.mktemp("local"), []
    with request.param(tmp_path_factory.mktemp("served")) as place:
        for number in range(COUNT):
            write(folder / f"{number}.jpg", noise(number))
            rows.append((number, str(folder / f"{number}.jpg"), place.put(f"{number}.jpg", noise(number))))
        spark.createDataFrame(rows, "n INT, path STRING, image STRING").createOrReplaceTempView("stored")
        yield place
        spark.catalog.dropTempView("stored")


@pytest.fixture
def table(spark, use_model, place):
    place.quiet()
    yield "stored_embeddings"
    place.quiet()
    spark.sql("DROP VIEW IF EXISTS stored_search")
    spark.sql("DROP TABLE IF EXISTS stored_embeddings")


def run(spark, table, **options):
    return blip_udfs.embed(spark, "stored", table, key="n", columns="path", images_per_trigger=PER_TRIGGER, **options)


def test_embed_search_and_pictures(spark, place, table):
    done = run(spark, table)
    assert (done.embedded, done.failed) == (COUNT, 0)
    assert place.asked() == dict.fromkeys((f"{number}.jpg" for number in range(COUNT)), 1)
    check_embeddings(spark, table, COUNT)
    assert run(spark, table).images == 0
    check_search_and_pictures(spark, table, place.start)


def test_faults_on_the_way(spark, place, table):
    """A 503 every tenth time, three images cut in the middle once and one always: asked again, else the row's reason;
    every image has one row, and the next run mends those that failed."""

    def fault(number: int, name: str) -> str | None:
        if name == "5.jpg" or name in CUT_ONCE and place.asked()[name] == 1:
            return "cut"
        return "503" if number % 10 == 0 else None

    place.fail(fault)
    done = run(spark, table)
    failed = {"5.jpg"} if place.reread else {"5.jpg", *CUT_ONCE}
    assert (done.images, done.embedded, done.failed) == (COUNT, COUNT - len(failed), len(failed))
    rows = spark.table(table).select("n", "image", "error").collect()
    assert sorted(row.n for row in rows) == list(range(COUNT))
    assert {row.image for row in rows if row.error} == {place.start + name for name in failed}
    assert all(row.image in row.error for row in rows if row.error)
    again = sum(place.asked().values()) - COUNT
    print(f"{place.start}: {again} requests more than {COUNT} images, {len(failed)} failed, {len(rows)} rows")
    assert COUNT // 10 <= again <= COUNT // 10 + 45  # at most 31 times the one that is always cut
    place.quiet()
    mended = run(spark, table, retry_failed=True, prune=True)
    assert (mended.failed_before, mended.embedded, mended.pruned) == (len(failed), len(failed), len(failed))
    assert set(place.asked()) == failed
    check_embeddings(spark, table, COUNT)


@pytest.mark.endurance
def test_a_read_that_stops_is_its_rows_reason(spark, tiny_model, tmp_path, monkeypatch):
    """The command, whose environment bounds a read: the job goes on past a server that says no more."""
    monkeypatch.setenv("BLIP_IMAGE_SECONDS", "5")
    with http(tmp_path / "served") as place:
        urls = [place.put(f"{number}.jpg", noise(number)) for number in range(12)]
        place.fail(lambda number, name: "slow" if name == "3.jpg" else None)
        parquet.write_table(pa.table({"n": list(range(12)), "image": urls}), tmp_path / "urls.parquet")
        source = ["--from", f"parquet.`{tmp_path}/urls.parquet`", "--key", "n", "--table", "far_embeddings"]
        job = Run(tmp_path, *source, "--model", str(tiny_model), "--master", "local[2]")
        assert job.process.wait(300) == 0, (tmp_path / "output").read_text()[-3000:]
        assert place.asked() == dict.fromkeys((f"{number}.jpg" for number in range(12)), 1)
    rows = spark.read.parquet(str(tmp_path / "warehouse" / "tables" / "far_embeddings")).collect()
    assert sorted(row.n for row in rows) == list(range(12))
    (failed,) = (row for row in rows if row.error)
    assert failed.error == f"{urls[3]}: cannot be read: not done within BLIP_IMAGE_SECONDS = 5"
    assert all(row.embedding for row in rows if row.n != 3)
