"""Scores of drawn images, resampled to a large table -> how the promise of a share of all matches is kept.

A row of the table is an image drawn with replacement; noise is added to its similarity (normal, a tenth of the standard
deviation that the sentence's similarities have) and to the logit of its ITM score (normal, 0.5), so that rows differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blip_udfs.blip.recall import BINS, HALF, Promise, Seen, bound, first_rates, plan

NOISE = 0.1
LOGIT_NOISE = 0.5


@dataclass(frozen=True)
class Outcome:
    """Of one run: the first bin that is kept (None: all rows are scored), rows that ITM scored, labels among them, the
    share of all matches that lie in kept bins, and that of matches that find_all gives."""

    bound: int | None
    scored: int
    labels: int
    kept: float
    recall: float


def binned(similarity: np.ndarray) -> np.ndarray:
    return np.clip(np.floor((similarity + 1) * HALF), 0, BINS - 1).astype(int)


def resampled(
    similarity: np.ndarray, logit: np.ndarray, rows: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(images,) similarities, and match logits less those of no match -> the same of `rows` rows."""
    of = rng.integers(0, len(similarity), rows)
    noise = rng.normal(0, NOISE * similarity.std(), rows), rng.normal(0, LOGIT_NOISE, rows)
    return similarity[of] + noise[0], logit[of] + noise[1]


@dataclass(frozen=True)
class Table:
    """Of each bin that has rows: how many, and how many of them match."""

    rows: np.ndarray
    matches: np.ndarray

    @classmethod
    def of(cls, bins: np.ndarray, matches: np.ndarray) -> Table:
        """`bins` int (rows,), `matches` bool (rows,)."""
        rows = np.bincount(bins)
        return cls(rows[rows > 0], np.bincount(bins[matches], minlength=len(rows))[rows > 0])


def outcome(table: Table, promise: Promise, seed: int) -> Outcome:
    """What find_all does with this seed. Each row is drawn by itself: so those of a bin are, by their number."""
    rng = np.random.default_rng(seed)
    first = drawn(rng, table, first_rates(table.rows))
    seen = Seen(table.rows, first.rows, first.matches)
    chosen = plan(seen, promise)
    none = np.zeros(len(table.rows))
    left = Table(table.rows - first.rows, table.matches - first.matches)
    second = Table(none, none) if chosen is None else drawn(rng, left, chosen.rates)
    cut = None if chosen is None else bound(seen, promise, chosen, second.matches)
    above = np.arange(len(table.rows)) >= (cut or 0)
    labels, total = first.rows + second.rows, max(1, table.matches.sum())
    kept = table.matches[above].sum()
    below = (first.matches + second.matches)[~above].sum()
    scored = table.rows[above].sum() + labels[~above].sum()
    return Outcome(cut, int(scored), int(labels.sum()), float(kept / total), float((kept + below) / total))


def drawn(rng: np.random.Generator, table: Table, rates: np.ndarray) -> Table:
    matches = rng.binomial(table.matches, rates)
    return Table(matches + rng.binomial(table.rows - table.matches, rates), matches)


def oracle(table: Table, recall: float) -> int:
    """The rows from the highest bound on that keeps the share, known from all labels."""
    rows, kept = table.rows[::-1].cumsum(), table.matches[::-1].cumsum()
    return int(rows[np.searchsorted(kept, recall * table.matches.sum())])
