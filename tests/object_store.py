"""An S3 store on loopback, by moto's server, behind a proxy that does what storage does on a bad day.

The workers' environment is that of the JVM, which starts once: AWS_ENDPOINT_URL names the proxy's port before that, and
the port is kept from the time this module is imported.
"""

from __future__ import annotations

import http.client
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUCKET = "fleet"
HOP = ("connection", "date", "server", "transfer-encoding")  # what a proxy says for itself


class Store(ThreadingHTTPServer):
    """`faults` gives by method, the number of its request among all of that method, and path what goes wrong: 503, cut
    (in the middle of the body), slow (not a byte more in the middle of it)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.backend, self.asked, self.paths = ("", 0), Counter[str](), Counter[tuple[str, str]]()
        self.faults: Callable[[str, int, str], str | None] = lambda method, number, path: None
        self.lock, self.ending = threading.Lock(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, key: str, data: bytes) -> str:
        """The URI of an object, written behind the proxy."""
        self.send(f"/{BUCKET}/{key}", data)
        return f"s3://{BUCKET}/{key}"

    def send(self, path: str, data: bytes = b"") -> None:
        host, port = self.backend
        headers = {"Content-Type": "image/jpeg", "Authorization": "AWS of:tests"}  # else a form, of whoever it is
        request = urllib.request.Request(f"http://{host}:{port}{path}", data, headers, method="PUT")
        urllib.request.urlopen(request).close()

    def quiet(self) -> None:
        """Without faults, counted from zero."""
        self.faults = lambda method, number, path: None
        self.asked.clear()
        self.paths.clear()


class Handler(BaseHTTPRequestHandler):
    server: Store
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        """Nothing on stderr."""

    def forward(self) -> None:
        with self.server.lock:
            self.server.asked[self.command] += 1
            self.server.paths[self.command, self.path] += 1
            fault = self.server.faults(self.command, self.server.asked[self.command], self.path)
        if fault == "503":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        status, headers, data = self.answer()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        middle = len(data) if fault is None else len(data) // 2
        self.wfile.write(data[:middle])
        self.wfile.flush()
        if fault == "slow":
            self.server.ending.wait(60)
        self.close_connection = fault is not None
        return None

    do_GET = do_HEAD = forward  # noqa: N815 - names of http.server

    def answer(self) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.server.backend)
        connection.request(self.command, self.path, headers=dict(self.headers))
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return (
            response.status,
            [(name, value) for name, value in response.getheaders() if name.lower() not in HOP],
            data,
        )


STORE = Store()
ENVIRONMENT = {
    "AWS_ENDPOINT_URL": STORE.url,
    "AWS_ACCESS_KEY_ID": "of",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",  # no machine of Amazon's is asked who we are
}


@contextmanager
def serving() -> Iterator[Store]:
    from moto.server import ThreadedMotoServer

    backend = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    backend.start()
    STORE.backend = backend.get_host_and_port()
    STORE.ending.clear()
    threading.Thread(target=STORE.serve_forever, daemon=True).start()
    STORE.send(f"/{BUCKET}")
    try:
        yield STORE
    finally:
        STORE.ending.set()
        STORE.shutdown()
        backend.stop()
