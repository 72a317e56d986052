"""A ranked row -> what is shown of it: picture, file, score, facts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

TIMES = ("since", "until", "lasts", "mean_score")  # of an interval
SKY, FRAME = ("weather", "period", "region"), ("sequence_id", "frame_id", "camera")  # facts, by their line


@dataclass(frozen=True)
class Card:
    """One row: its picture (JPEG, None if it does not decode), file, score and the facts shown beside it; other rows
    that are judged with it, itself among them where they are `beside` it, each with a label."""

    picture: bytes | None
    source: str | None
    score: float | None
    facts: tuple[tuple[str, str], ...]
    problem: str = ""
    beside: tuple[tuple[str, Card], ...] = ()  # the cameras of a moment; what comes first, and what then
    strip: tuple[tuple[str, Card], ...] = ()  # the frames of an interval

    @property
    def ids(self) -> dict[str, str]:
        """What tells the row from others, as a list of what was chosen has it; of a moment all its cameras."""
        facts = {name: value for name, value in self.facts if name in FRAME + TIMES[:2]}
        for each in FRAME[1:]:
            values = [value for _, card in self.beside for name, value in card.facts if name == each]
            facts |= {each: " ".join(dict.fromkeys(values))} if values else {}
        score = {} if self.score is None else {"score": repr(self.score)}
        return facts | score | ({"image": self.source} if self.source else {})

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
