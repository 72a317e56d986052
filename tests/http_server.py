"""A folder's files by http on loopback, from a server that has bad days."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    """Serves a folder from loopback; `faults` gives by a request's number and path what goes wrong with it."""

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.asked, self.faults = folder, Counter(), lambda number, path: None
        self.lock, self.ending = threading.Lock(), threading.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *words) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked[self.path] += 1
            fault = self.server.faults(self.server.asked.total(), self.path)
        file = self.server.folder / self.path.lstrip("/")
        if fault == "503" or not file.is_file():
            return self.send_error(503 if fault else 404)
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        if fault == "slow":
            self.server.ending.wait(30)
        if fault is None:
            self.wfile.write(data[len(data) // 2 :])
        return None


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
