"""What one process has found out -> what later ones on this machine need not find out: small notes in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def folder() -> Path:
    """As the XDG base directory specification has it. Raises RuntimeError where nobody has a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "blip-udfs"


def read(kind: str, of: str) -> str | None:
    """The note of this kind about `of`; None where there is none, or none that can be read."""
    try:
        return file(kind, of).read_text(encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError):
        return None


def write(kind: str, of: str, text: str) -> None:
    """Leaves a note in the place of an earlier one, whole or not at all; where none can be left, nothing."""
    try:
        path = file(kind, of)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as new:
            new.write(text)
    except (OSError, RuntimeError):
        return
    try:
        Path(new.name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(new.name).unlink()


def file(kind: str, of: str) -> Path:
    return folder() / kind / hashlib.sha256(of.encode("utf-8", "surrogateescape")).hexdigest()


def once(kind: str, of: str, make: Callable[[], str]) -> str:
    """The note of this kind about `of`; where there is none yet, `make` says it, while other processes that want it
    wait; where none can be kept, each makes its own."""
    if (known := read(kind, of)) is not None:
        return known
    with alone(kind, of):
        known = read(kind, of)  # somebody else's, made meanwhile
        if known is None:
            known = make()
            write(kind, of, known)
        return known


@contextlib.contextmanager
def alone(kind: str, of: str) -> Iterator[None]:
    """One process of this machine at a time; nothing is waited for where the folder cannot be written."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, RuntimeError, ImportError):
            import fcntl  # not on Windows

            path = file(kind, of)
            path.parent.mkdir(parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context(path.with_suffix(".lock").open("w")), fcntl.LOCK_EX)
        yield
