"""Images in an S3 store that a worker reads by Arrow, on a good and on a bad day."""

import time

import pytest

from blip_udfs.files import sources
from blip_udfs.files.images import image_error
from tests.object_store import BUCKET, ENVIRONMENT, serving
from tests.planted import noise

COUNT = 40


@pytest.fixture(scope="module")
def running():
    with serving() as store:
        for number in range(COUNT):
            store.put(f"drive/{number}.jpg", noise(number))
        yield store


@pytest.fixture
def store(running, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    sources.file_system.cache_clear()
    running.quiet()
    yield running
    running.quiet()


def uri(number: int) -> str:
    return f"s3a://{BUCKET}/drive/{number}.jpg"


def test_the_files_bytes_by_one_request_each(store):
    assert [sources.read(uri(number)) for number in range(COUNT)] == [noise(number) for number in range(COUNT)]
    assert store.asked["GET"] == COUNT
    assert [sources.stamp(uri(number))[1] for number in range(3)] == [len(noise(number)) for number in range(3)]


def test_faults_that_pass(store):
    """A 503 every tenth read, and three images cut in the middle the first time: the library asks again."""
    cut = {f"/{BUCKET}/drive/{number}.jpg" for number in (4, 17, 31)}

    def fault(method, number, path):
        if method != "GET":
            return None
        return "503" if number % 10 == 0 else "cut" if path in cut and store.paths[method, path] == 1 else None

    store.faults = fault
    assert [sources.read(uri(number)) for number in range(COUNT)] == [noise(number) for number in range(COUNT)]
    assert COUNT + 5 <= store.asked["GET"] <= COUNT + 8


@pytest.mark.parametrize(("fault", "said"), [("503", "HTTP status 503"), ("cut", "Transferred a partial file")])
def test_a_fault_that_stays_is_the_images_reason(store, fault, said):
    store.faults = lambda method, number, path: fault if method == "GET" and path.endswith("/5.jpg") else None
    began = time.monotonic()
    error = image_error(uri(5))
    assert error.startswith(f"{uri(5)}: cannot be read: ") and said in error
    assert image_error(uri(6)) is None and time.monotonic() - began < 60


def test_a_read_that_stops_is_begun_again(store):
    """The library leaves a connection that sends nothing for three seconds."""
    store.faults = lambda method, number, path: "slow" if method == "GET" and number == 1 else None
    began = time.monotonic()
    assert image_error(uri(7)) is None
    assert store.asked["GET"] == 2 and time.monotonic() - began < 50


def test_what_is_not_there(store):
    for source in (f"s3://{BUCKET}/none.jpg", "s3://another/none.jpg"):
        assert image_error(source) == f"{source}: no such file" and sources.stamp(source) is None
