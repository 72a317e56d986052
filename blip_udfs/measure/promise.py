"""Scores of drawn images, resampled to a large table -> how the promise of a share of all matches is kept.

A row of the table is an image drawn with replacement; noise is added to its similarity (normal, a tenth of the standard
deviation that the sentence's similarities have) and to the logit of its ITM score (normal, 0.5), so that rows differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blip_udfs.blip.recall import Plan, Promise, Seen, bound, first_rates, plan

BINS = 8193  # as many as the optimizer makes of similarities from -1 to 1
NOISE = 0.1
LOGIT_NOISE = 0.5


@dataclass(frozen=True)
class Outcome:
    """Of one run: the first bin that is kept (None: all rows are scored), rows that ITM scored, labels among them, the
    share of all matches that lie in kept bins, and that of matches that the query gives."""

    bound: int | None
    scored: int
    labels: int
    kept: float
    recall: float


def binned(similarity: np.ndarray) -> np.ndarray:
    return np.clip(np.floor((similarity + 1) * (BINS // 2)), 0, BINS - 1).astype(int)


def resampled(
    similarity: np.ndarray, logit: np.ndarray, rows: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(images,) similarities, and match logits less those of no match -> the same of `rows` rows."""
    of = rng.integers(0, len(similarity), rows)
    noise = rng.normal(0, NOISE * similarity.std(), rows), rng.normal(0, LOGIT_NOISE, rows)
    return similarity[of] + noise[0], logit[of] + noise[1]


def outcome(bins: np.ndarray, matches: np.ndarray, promise: Promise, seed: int) -> Outcome:
    """`bins` int (rows,), `matches` bool (rows,): what the query does with this seed."""
    rng, size = np.random.default_rng(seed), int(bins.max()) + 1
    rows = np.bincount(bins, minlength=size)
    first = rng.random(len(bins)) < first_rates(rows)[bins]
    seen = Seen(rows, *(np.bincount(bins[each], minlength=size) for each in (first, first & matches)))
    chosen = plan(seen, promise)
    labels = first if chosen is None else first | (rng.random(len(bins)) < chosen.rates[bins])
    cut = None if chosen is None else proven(seen, promise, chosen, bins[labels & ~first & matches])
    kept = np.ones(len(bins), bool) if cut is None else bins >= cut
    total = max(1, matches.sum())
    scored = kept | labels
    shares = (float((each & matches).sum() / total) for each in (kept, scored))
    return Outcome(cut, int(scored.sum()), int(labels.sum()), *shares)


def proven(seen: Seen, promise: Promise, chosen: Plan, found: np.ndarray) -> int | None:
    return bound(seen, promise, chosen, np.bincount(found, minlength=len(seen.rows)))


def oracle(bins: np.ndarray, matches: np.ndarray, recall: float) -> int:
    """The rows from the highest bound on that keeps the share, known from all labels."""
    rows, kept = (np.bincount(each)[::-1].cumsum() for each in (bins, bins[matches]))
    rows = rows[len(rows) - len(kept) :] if len(kept) < len(rows) else rows
    return int(rows[np.searchsorted(kept, recall * matches.sum())])
