"""A bound keeps the promised share of matches whatever similarities say, and saves rows where they say much."""

import json

import numpy as np
import pytest

from blip_udfs.blip.recall import BINS, Promise, Seen, bound, first_rates, plan, step, wealth
from blip_udfs.measure.bench_promise import kept, line
from blip_udfs.measure.promise import Outcome, Table, binned, oracle, outcome, resampled

ROWS = 20_000


def table(share: float, distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Matches' similarities lie `distance` standard deviations above those of the others."""
    rng = np.random.default_rng(seed)
    matches = rng.random(ROWS) < share
    return binned(0.05 * rng.normal(np.where(matches, distance, 0))), matches


def runs(bins, matches, promise, count=40) -> list[Outcome]:
    table = Table.of(bins, matches)
    return [outcome(table, promise, seed) for seed in range(count)]


def broken(outcomes: list[Outcome], recall: float) -> int:
    return sum(each.kept < recall for each in outcomes)


@pytest.mark.parametrize(("share", "distance"), [(0.05, 3), (0.2, 2), (0.35, 3)])
def test_fewer_rows_are_scored_and_the_promise_is_kept(share, distance):
    bins, matches = table(share, distance)
    outcomes = runs(bins, matches, Promise(0.9, 0.95))
    assert broken(outcomes, 0.9) <= 2
    assert oracle(Table.of(bins, matches), 0.9) < np.median([each.scored for each in outcomes]) < 0.65 * ROWS


@pytest.mark.parametrize("name", ["shuffled", "hidden in the tail", "all in the tail", "one similarity", "no match"])
def test_similarity_that_misleads_keeps_it_too(name):
    rng = np.random.default_rng(3)
    bins, matches = table(0.2, 2)
    if name == "shuffled":
        bins = rng.permutation(bins)
    elif name == "hidden in the tail":  # as many as the promise can just not lose
        tail = np.argsort(bins)[: ROWS // 2]
        matches[rng.choice(tail, int(0.13 * matches.sum()), replace=False)] = True
    elif name == "all in the tail":
        bins = bins.max() - bins
    elif name == "one similarity":
        bins = np.full_like(bins, 4000)
    else:
        matches[:] = False
    outcomes = runs(bins, matches, Promise(0.9, 0.95))
    if name in ("one similarity", "no match"):
        assert all(each.bound is None and each.scored == ROWS for each in outcomes)
    else:
        assert broken(outcomes, 0.9) <= 2
        assert np.median([each.scored for each in outcomes]) > 0.8 * ROWS or name == "hidden in the tail"


def test_duplicates_are_rows():
    bins, matches = table(0.2, 3)
    bins, matches = np.repeat(bins[:400], 50), np.repeat(matches[:400], 50)
    assert broken(runs(bins, matches, Promise(0.9, 0.95)), 0.9) <= 2


def test_the_wealth_of_a_bound_that_breaks_the_promise_is_expected_to_be_less_than_one():
    """The proof itself, at the edge, with a stake far too high for it: by 4,000 second samples."""
    rng = np.random.default_rng(0)
    rows, hidden = np.array([1000.0, 1000.0, 1000.0]), np.array([40, 10, 440])  # 40 of 490 below: just over a tenth of
    promise = Promise(0.92, 0.95)  # what is kept
    seen = Seen(rows, np.array([100.0, 100.0, 100.0]), np.array([4.0, 1.0, 44.0]))
    rates = np.array([0.3, 0.5, 0.2])
    worth = [
        np.exp(wealth(seen, promise, rates, rng.binomial(hidden - [4, 1, 44], rates).astype(float), 1, 0.12))
        for _ in range(4000)
    ]
    assert hidden[0] > promise.odds * hidden[1:].sum()
    assert np.mean(worth) < 1 + 4 * np.std(worth) / np.sqrt(len(worth))
    assert np.mean(np.array(worth) >= 20) <= 0.05


def test_a_bin_that_may_not_be_drawn_proves_nothing():
    seen = Seen(np.array([10.0, 10.0]), np.zeros(2), np.zeros(2))
    assert wealth(seen, Promise(0.9, 0.95), np.array([0.0, 1.0]), np.array([0.0, 10.0]), 1, 0.5) == -np.inf


def test_the_first_sample_is_dense_where_similarity_is_high():
    bins, _ = table(0.1, 2)
    rows = np.bincount(bins)
    rates = first_rates(rows)
    used = rates[rows > 0]
    assert (np.diff(used) >= 0).all()
    assert 0.7 * ROWS / 10 < (rates * rows).sum() <= ROWS / 10  # of the highest there are no more


def test_a_promise_of_all_has_no_bound():
    rows = np.full(100, 100.0)
    assert plan(Seen(rows, np.full(100, 10.0), np.zeros(100)), Promise(1.0, 0.95)) is None


def test_a_larger_table_has_the_images_own_joint_distribution():
    rng = np.random.default_rng(1)
    similarity = rng.normal(0.3, 0.05, 500)
    logit = 40 * (similarity - 0.3) + rng.normal(0, 1, 500)
    more, logits = resampled(similarity, logit, 50_000, rng)
    assert np.corrcoef(more, logits)[0, 1] == pytest.approx(np.corrcoef(similarity, logit)[0, 1], abs=0.05)
    assert (logits > 0).mean() == pytest.approx((logit > 0).mean(), abs=0.03)


def test_figures_of_sentences():
    """One that half of the rows match is left out; of the other the promise is kept, and rows are saved."""
    rng = np.random.default_rng(0)
    matches = rng.random(500) < 0.2
    near, logit = 0.3 + 0.05 * rng.normal(4 * matches), np.where(matches, 4.0, -4.0)
    figures = kept(near, logit, 0.9, ROWS, 10, 0)
    assert figures.matching == pytest.approx(0.2, abs=0.04) and figures.kept >= 9
    assert figures.least <= figures.scored < 0.5
    assert kept(near, rng.normal(0, 9, 500), 0.9, ROWS, 1, 0) is None
    assert line(0.9, [figures]).startswith(f"recall 0.9: 1 sentences, kept in {figures.kept} runs or more, median 0.")


def test_what_the_optimizer_asks_is_answered_alike():
    """Step by step, as JSON: the rates of both samples, then the bound."""
    bins, matches = table(0.2, 3)
    rows, rng = np.bincount(bins, minlength=BINS).astype(float), np.random.default_rng(5)
    asked = {"recall": 0.9, "confidence": 0.95, "rows": pairs(rows)}
    assert answered(asked) == pytest.approx(first_rates(rows) * (rows > 0))
    first = rng.random(ROWS) < first_rates(rows)[bins]
    labelled, matched = (np.bincount(bins[each], minlength=BINS).astype(float) for each in (first, first & matches))
    seen, promise = Seen(rows, labelled, matched), Promise(0.9, 0.95)
    chosen = plan(seen, promise)
    asked["seen"] = [[at, labelled[at], matched[at]] for at in np.nonzero(labelled)[0].tolist()]
    assert answered(asked) == pytest.approx(chosen.rates * (rows > 0))
    second = ~first & (rng.random(ROWS) < chosen.rates[bins]) & matches
    found = np.bincount(bins[second], minlength=BINS).astype(float)
    cut = bound(seen, promise, chosen, found)
    assert json.loads(step(json.dumps(asked | {"found": pairs(found)}))) == {"bound": cut} and cut
    nothing = {"seen": [[at, count, 0] for at, count in pairs(labelled)]}
    assert json.loads(step(json.dumps(asked | nothing))) == {}  # no match was seen


def pairs(counts: np.ndarray) -> list[list]:
    return [[at, counts[at]] for at in np.nonzero(counts)[0].tolist()]


def answered(asked: dict) -> np.ndarray:
    rates = np.zeros(BINS)
    for at, each in json.loads(step(json.dumps(asked)))["rates"]:
        rates[at] = each
    return rates
