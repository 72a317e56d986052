"""A ranked row -> what is shown of it: picture, file, score, facts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

SKY, FRAME = ("weather", "period", "region"), ("sequence_id", "frame_id", "camera")  # facts, by their line


@dataclass(frozen=True)
class Card:
    """One row: its picture (JPEG, None if it does not decode), file, score and the facts shown beside it."""

    picture: bytes | None
    source: str | None
    score: float | None
    facts: tuple[tuple[str, str], ...]
    problem: str = ""

    @property
    def link(self) -> str | None:
        """The file itself, where the row names a local one."""
        if self.source is None:
            return None
        path = Path(unquote(urlparse(self.source).path) if self.source.startswith("file:") else self.source)
        return path.as_uri() if path.is_absolute() and path.is_file() else None

    @property
    def name(self) -> str:
        return ", ".join(value for _, value in self.facts)

    def line(self, names: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.facts if name in names]

    @property
    def score_text(self) -> str:
        return "" if self.score is None else f"{self.score:.4f}"
