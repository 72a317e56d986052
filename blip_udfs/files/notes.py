"""What one process has found out -> what later ones on this machine need not find out: small notes in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
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
