"""Rows by similarity, and the ITM labels of a sample -> the similarity below which no row need be scored.

Rows lie in bins by similarity, bin 0 the least similar. Kept are the matches in the bins from a bound on; a share
`recall` of all matches must be among them. A sample is labelled in two steps: a first one that shows where matches are,
and a second one, drawn by what the first showed, that proves a bound. In both each row is drawn by itself, with the
rate of its bin, so that of the matches of a bin a binomial number is seen, whatever the labels are.

The proof is a bet against the claim that too many matches lie below a bound. With odds k = (1 - recall) / recall and a
stake c, a match seen above the bound, drawn with rate p, multiplies the wealth by 1 + k c / p, one below by 1 - c / p.
Of A matches above and T below not yet labelled, the expected product is at most exp(c (k A - T)), and those that the
first sample has found add exp(c (k a - t)) with certainty. If the claim holds, T + t > k (A + a), the wealth is
expected to be at most 1, and comes to 1 / (1 - confidence) with a probability of at most 1 - confidence (Markov).
Nothing is assumed of similarities or labels. Waudby-Smith and Ramdas (arXiv 2010.09686) bet so on means; here it is the
matches that are bet on, so that the rows that do not match cost nothing.

Bounds are tried from the lowest up, each at the full confidence, until one is not proven: of those that break the
promise the lowest is the first to be tried, and all others lie above it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

HALF = 4096  # bins of similarities from 0 to 1, and as many of those from -1 to 0
BINS = 2 * HALF + 1
FIRST = 2000  # rows of the first sample
FIRST_SHARE = 0.1  # of the table at most
HALVINGS = 10  # strata of the first sample, each half as many rows as the one below it
CUTS = 40  # bounds that are tried
MARGIN = 1.5  # wealth beyond what proves, in natural logarithms, that the second sample is to win
WORTH = 0.98  # of the table: where more would be scored, all are
STEPS = 20  # stakes that are weighed, each with half as many prices of a label
STAKES = np.geomspace(0.5, 2.0, 5)  # around the one that promises most, for the first sample may be wrong
CERTAIN = 60  # labels of a stratum that count as much as what the curve says of it

_X = 1 - np.geomspace(1 - 1e-3, 0.03, 400)  # c / p
_GAIN = np.log1p(-_X) + _X / (1 - _X)  # what a higher rate gains for a match, in stakes


@dataclass(frozen=True)
class Seen:
    """Of each bin: its rows, how many have a label by the first sample, and how many of these match."""

    rows: np.ndarray
    labelled: np.ndarray
    matches: np.ndarray


@dataclass(frozen=True)
class Promise:
    """At least `recall` of the matches are kept, with a probability of `confidence`."""

    recall: float
    confidence: float

    @property
    def odds(self) -> float:
        return (1 - self.recall) / self.recall

    @property
    def proof(self) -> float:
        """The logarithm of the wealth that proves a bound."""
        return float(-np.log(1 - self.confidence))


@dataclass(frozen=True)
class Plan:
    """The second sample: the rate of each bin, the bounds to be tried from the lowest up, the best stake of each."""

    rates: np.ndarray
    cuts: np.ndarray
    stakes: np.ndarray


def strata(rows: np.ndarray) -> np.ndarray:
    """Of each bin the stratum: 0 the less similar half of the rows, 1 that of the rest, and so on."""
    above = rows.sum() - rows.cumsum() + rows / 2  # rows above a bin's middle
    share = np.maximum(above, 0.5) / max(1, rows.sum())
    return np.clip(np.floor(-np.log2(share)).astype(int), 0, HALVINGS - 1)


def first_rates(rows: np.ndarray) -> np.ndarray:
    """(bins,) -> (bins,): the rates of the first sample, about as many rows of each stratum."""
    total = rows.sum()
    of_each = np.bincount(strata(rows), rows, HALVINGS)
    wanted = min(FIRST, FIRST_SHARE * total) / max(1, (of_each > 0).sum())
    return np.minimum(1.0, wanted / np.maximum(1, of_each))[strata(rows)]


def plan(seen: Seen, promise: Promise) -> Plan | None:
    """None where to prove a bound is expected to take as many labels as it saves."""
    cuts, cell = cells(seen.rows)
    if len(cuts) == 0 or promise.odds <= 0 or not seen.labelled.any():
        return None
    return _Design(seen, promise, cuts, cell).best()


def bound(seen: Seen, promise: Promise, chosen: Plan, found: np.ndarray) -> int | None:
    """The first bin that is kept, None where no bound is proven. `found` (bins,): matches in the second sample."""
    last = None
    for cut, stake in zip(chosen.cuts, chosen.stakes, strict=True):
        if wealth(seen, promise, chosen.rates, found, int(cut), stake) < promise.proof:
            break
        last = int(cut)
    return last


def wealth(seen: Seen, promise: Promise, rates: np.ndarray, found: np.ndarray, cut: int, stake: float) -> float:
    """The logarithm of the mean wealth of the stakes around `stake`, when bins below `cut` are not kept."""
    below, open_ = np.arange(len(rates)) < cut, seen.rows > seen.labelled
    if (below & open_ & (rates <= 0)).any():
        return -np.inf
    most = 0.97 * rates[below & open_].min(initial=1.0)
    stakes = np.minimum(STAKES * stake, most)  # (S,)
    known = promise.odds * seen.matches[~below].sum() - seen.matches[below].sum()
    rate = np.where(rates > 0, rates, 1.0)
    gain = np.where(below, -1.0, promise.odds)[:, None] * stakes / rate[:, None]  # (bins, S)
    logs = stakes * known + found @ np.log1p(np.maximum(gain, -0.99))
    return float(np.logaddexp.reduce(logs) - np.log(len(stakes)))


def cells(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bounds to be tried, ascending, closer together to the top; of each bin the cell between two of them."""
    total = rows.sum()
    shares = np.concatenate(
        [np.linspace(0, 0.9, CUTS * 3 // 4, endpoint=False), 1 - np.geomspace(0.1, 0.002, CUTS // 4)]
    )
    cuts = np.unique(np.searchsorted(rows.cumsum(), shares[1:] * total, side="right"))
    filled = np.nonzero(rows)[0]
    cuts = cuts[(cuts > filled[0]) & (cuts <= filled[-1])] if len(filled) else cuts[:0]
    return cuts, np.searchsorted(cuts, np.arange(len(rows)), side="right")


def densities(seen: Seen) -> np.ndarray:
    """(bins,): the share of matches to expect: a curve through the first sample's strata, corrected by each."""
    of = strata(seen.rows)
    labelled, matches = (np.bincount(of, each, HALVINGS) for each in (seen.labelled, seen.matches))
    middle = np.bincount(of, seen.labelled * np.arange(len(of)), HALVINGS) / np.maximum(1, labelled)
    fitted = labelled > 0
    x, scale = (np.arange(len(of)) - middle[fitted].mean()), max(1e-9, middle[fitted].std())
    curve = logistic((middle[fitted] - middle[fitted].mean()) / scale, matches[fitted], labelled[fitted])
    by_curve = np.bincount(of, seen.labelled * curve(x / scale), HALVINGS) / np.maximum(1, labelled)
    seen_there = (matches + CERTAIN * by_curve) / (labelled + CERTAIN)
    return np.clip(curve(x / scale) * (seen_there / np.maximum(by_curve, 1e-12))[of], 1e-7, 1.0)


def logistic(x: np.ndarray, matches: np.ndarray, labelled: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The curve of shares over x, logistic in a parabola, by Newton's method with a weak prior."""
    terms = np.stack([np.ones_like(x), x, x * x], 1)
    prior, weights = np.diag([0.01, 0.1, 3.0]), np.zeros(3)
    for _ in range(30):
        share = 1 / (1 + np.exp(-np.clip(terms @ weights, -30, 30)))
        slope = terms.T @ (matches - labelled * share) - prior @ weights
        bend = (terms * (labelled * share * (1 - share))[:, None]).T @ terms + prior
        weights = weights + np.clip(np.linalg.solve(bend, slope), -2, 2)
    a, b, c = weights
    return lambda at: 1 / (1 + np.exp(-np.clip(a + b * at + c * at * at, -30, 30)))


class _Design:
    """What the first sample makes expect of the second."""

    def __init__(self, seen: Seen, promise: Promise, cuts: np.ndarray, cell: np.ndarray) -> None:
        self.promise, self.cuts, self.cell = promise, cuts, cell
        size = len(cuts) + 1
        density = densities(seen)
        self.rows = np.bincount(cell, seen.rows, size)
        self.open = np.bincount(cell, seen.rows - seen.labelled, size)
        self.known = np.bincount(cell, seen.matches, size)
        self.hidden = np.bincount(cell, (seen.rows - seen.labelled) * density, size)  # expected matches
        self.density = self.hidden / np.maximum(self.open, 1e-9)

    def best(self) -> Plan | None:
        """The least rows over bounds, stakes and prices of a label."""
        best, cost = None, WORTH * self.rows.sum()
        stakes = np.full(len(self.cuts), np.nan)
        for at in range(len(self.cuts)):
            wealth, labels, stake, rates = self.offers(at + 1)
            enough = wealth >= self.promise.proof + MARGIN
            if not enough.any():
                continue
            cheapest = np.where(enough, labels, np.inf).argmin()
            stakes[at] = stake[cheapest]
            total = self.rows[at + 1 :].sum() + labels[cheapest]
            if total < cost:
                best, cost = rates[cheapest], total
        return None if best is None else self.planned(best)

    def offers(self, cut: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Stakes and prices -> expected wealth, labels below the cell `cut`, the stake, rates of the cells."""
        odds, total = self.promise.odds, self.hidden.sum() + self.known.sum()
        least = min(0.5, self.promise.proof / (odds * total))  # with less the proof would not come, were none below
        stake = np.repeat(np.geomspace(least, 0.9, STEPS), STEPS // 2)  # (O,)
        price = np.tile(np.geomspace(1e-4, 10, STEPS // 2), STEPS) * self.density[:cut].mean()
        share = np.interp(price[:, None] / np.maximum(self.density, 1e-12), _GAIN, _X)  # (O, cells): c / p
        rates = np.minimum(1.0, stake[:, None] / share)
        share = np.minimum(stake[:, None] / rates, 0.97)
        gain = rates * np.where(np.arange(len(self.rows)) < cut, np.log1p(-share), np.log1p(odds * share))
        known = odds * self.known[cut:].sum() - self.known[:cut].sum()
        return stake * known + gain @ self.hidden, rates[:, :cut] @ self.open[:cut], stake, rates

    def planned(self, rates: np.ndarray) -> Plan:
        """With the stake of each bound that wins most by these rates."""
        stakes = np.array([self.stake(cut, rates) for cut in range(1, len(self.rows))])
        return Plan(rates[self.cell], self.cuts, stakes)

    def stake(self, cut: int, rates: np.ndarray) -> float:
        tried = rates[:cut].min() * np.geomspace(0.01, 0.97, 60)  # (T,)
        share = tried[:, None] / rates
        below = np.arange(len(rates)) < cut
        odds = self.promise.odds
        logs = np.where(below, np.log1p(-np.where(below, share, 0)), np.log1p(odds * share))
        known = odds * self.known[cut:].sum() - self.known[:cut].sum()
        return float(tried[(tried * known + (logs * rates) @ self.hidden).argmax()])


def step(request: str) -> str:
    """What the optimizer asks between its samples, JSON: `recall`, `confidence`, `rows` [bin, rows]; after the first
    sample `seen` [bin, labelled, matches]; after the second `found` [bin, matches]. Gives `rates` [bin, rate] of the
    next sample, or `bound`, the first bin that is kept; {} where every row is to be scored."""
    said = json.loads(request)
    (rows,) = of_bins(said["rows"], 1)
    if "seen" not in said:
        return rated(first_rates(rows), rows)
    seen, promise = Seen(rows, *of_bins(said["seen"], 2)), Promise(said["recall"], said["confidence"])
    chosen = plan(seen, promise)
    if chosen is None:
        return "{}"
    if "found" not in said:
        return rated(chosen.rates, rows)
    first = bound(seen, promise, chosen, of_bins(said["found"], 1)[0])
    return json.dumps({} if first is None else {"bound": first})


def of_bins(counts: list[list[int]], columns: int) -> np.ndarray:
    """[bin, count, ...] -> float (columns, bins)."""
    out = np.zeros((columns, BINS))
    for at, *each in counts:
        out[:, at] = each
    return out


def rated(rates: np.ndarray, rows: np.ndarray) -> str:
    return json.dumps({"rates": [[int(at), float(rates[at])] for at in np.nonzero(rows)[0]]})
