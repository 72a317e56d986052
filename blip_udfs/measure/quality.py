"""A drawn tree that training never saw -> precision@10 by kind of sentence; blip_itm of true and of false pairs."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blip_udfs.draw.captions import Condition, Facts, Sentence, is_true, true_sentence
from blip_udfs.measure.evaluate import Scorer, nearest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TOP = 10
CANDIDATES = 256
TRIES = 60_000


def attributes(number: int) -> Callable[[Sentence], bool]:
    return lambda sentence: sentence.attributes == number and not kinds_of(sentence) & {"relation", "pair"}


def kinds_of(sentence: Sentence) -> set[str]:
    abouts = [condition.about for condition in sentence.conditions]
    return {*abouts, *(["pair"] if abouts.count("thing") > 1 else [])}


def only_thing(test: Callable[[Any], bool]) -> Callable[[Sentence], bool]:
    def of(sentence: Sentence) -> bool:
        (first, *others) = sentence.conditions
        return first.about == "thing" and not others and test(first.value)

    return of


def coloured_pair(sentence: Sentence) -> bool:
    """Whose colour is whose: a red car and a blue bus, which a blue car and a red bus are not."""
    return "pair" in kinds_of(sentence) and all(c.value.color for c in sentence.conditions if c.about == "thing")


def relation(name: str) -> Callable[[Sentence], bool]:
    def of(sentence: Sentence) -> bool:
        first: Condition = sentence.conditions[0]
        return first.about == "relation" and first.value[1] == name

    return of


GROUPS: dict[str, Callable[[Sentence], bool]] = {
    "one attribute": attributes(1),
    "two attributes": attributes(2),
    "three attributes": attributes(3),
    "colour of a thing": only_thing(lambda thing: thing.color and not thing.side and not thing.distance),
    "side of a thing": only_thing(lambda thing: thing.side and not thing.color and not thing.distance),
    "pair of things": lambda sentence: "pair" in kinds_of(sentence),
    "pair of things, a colour each": coloured_pair,
    "left of, right of": relation("left of"),
    "behind, in front of": relation("behind"),
}


@dataclass(frozen=True)
class Precision:
    """Mean precision@10 of a group's sentences: by ITC alone, by the cascade, by ITM of all images."""

    group: str
    sentences: int
    itc: float
    cascade: float
    full: float


@dataclass(frozen=True)
class Calibration:
    """blip_itm of true pairs and of false ones; the threshold with the best F1, and what it gives; the same of what
    `search` calls the score of one sentence, match logit + ITC."""

    true: np.ndarray
    false: np.ndarray
    threshold: float
    precision: float
    recall: float
    min_score: float
    of_min_score: tuple[float, float]  # precision and recall


def facts_of(row: dict[str, Any]) -> Facts:
    """Of a row of evaluate.scenes."""
    return Facts.of(row["scene"], row["weather"], row["period"], row["region"])


def sentences_with_answers(facts: list[Facts], per_group: int, seed: int, held_out: bool) -> dict[str, list[Sentence]]:
    """Of each group up to `per_group` different sentences that are true of ten images or more, but not of most."""
    rng, seen = random.Random(seed), set()
    groups: dict[str, list[Sentence]] = {name: [] for name in GROUPS}
    for _ in range(TRIES):
        sentence = true_sentence(rng.choice(facts), rng, held_out)
        wanting = [name for name, fits in GROUPS.items() if len(groups[name]) < per_group and fits(sentence)]
        if not wanting or sentence.text in seen:
            continue
        seen.add(sentence.text)
        if TOP <= sum(is_true(sentence, fact) for fact in facts) <= len(facts) / 2:
            for name in wanting:
                groups[name].append(sentence)
        if all(len(found) == per_group for found in groups.values()):
            break
    return groups


def precision(
    spark: SparkSession, rows: list[dict[str, Any]], per_group: int = 20, seed: int = 1
) -> tuple[list[Precision], Calibration]:
    """Both for sentences in training's wordings and in held-out ones; `rows` as evaluate.scenes gives them."""
    facts = [facts_of(row) for row in rows]
    groups: dict[str, list[Sentence]] = {}
    for suffix, held_out in (("", False), (", held-out wording", True)):
        found = sentences_with_answers(facts, per_group, seed, held_out)
        groups |= {name + suffix: sentences for name, sentences in found.items() if sentences}
    every = [sentence for sentences in groups.values() for sentence in sentences]
    truth = np.array([[is_true(sentence, fact) for sentence in every] for fact in facts])  # (images, sentences)
    images = spark.createDataFrame(list(enumerate(row["image"] for row in rows)), "image_id INT, image STRING")
    with tempfile.TemporaryDirectory() as folder:
        scorer = Scorer(images, [sentence.text for sentence in every], folder)
        logits = scorer.itm(np.ones_like(truth))  # (images, sentences, 2)
        match = logits[..., 1] + scorer.itc
        cascade = np.where(nearest(scorer.itc.T, CANDIDATES).T, match, -np.inf)
        shares = [precision_at_top(scores, truth) for scores in (scorer.itc, cascade, match)]  # each (sentences,)
    table, start = [], 0
    for name, sentences in groups.items():
        own = slice(start, start + len(sentences))
        start += len(sentences)
        table.append(Precision(name, len(sentences), *(round(float(share[own].mean()), 3) for share in shares)))
    return table, calibration(logits, match, truth)


def precision_at_top(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(images, sentences) -> of each sentence, the share of its ten best images of which it is true."""
    best = np.argsort(-scores, axis=0, kind="stable")[:TOP]
    return np.take_along_axis(truth, best, 0).mean(0)


def calibration(logits: np.ndarray, match: np.ndarray, truth: np.ndarray) -> Calibration:
    """Of logits (images, sentences, 2), match logit + ITC (images, sentences) and what is true of what."""
    no, yes = logits.astype(np.float64)[..., 0], logits.astype(np.float64)[..., 1]
    scores = 1 / (1 + np.exp(no - yes))
    tenths = np.arange(np.floor(match[truth].min() * 10) - 1, np.ceil(match[truth].max() * 10)) / 10
    of_min_score = best_f1(match, truth, tenths)
    return Calibration(
        scores[truth],
        scores[~truth],
        *best_f1(scores, truth, np.arange(0.05, 1.0, 0.05)),
        of_min_score[0],
        of_min_score[1:],
    )


def best_f1(scores: np.ndarray, truth: np.ndarray, thresholds: np.ndarray) -> tuple[float, float, float]:
    """The threshold above which the scores have the best F1, their precision and recall."""
    chosen = [(scores > threshold) for threshold in thresholds]
    precisions = np.array([(truth & each).sum() / max(1, each.sum()) for each in chosen])
    recalls = np.array([(truth & each).sum() / truth.sum() for each in chosen])
    best = int((2 * precisions * recalls / np.maximum(1e-9, precisions + recalls)).argmax())
    threshold, precision, recall = (round(float(of[best]), 3) for of in (thresholds, precisions, recalls))
    return threshold, precision, recall


def plot(found: Calibration, file: Path) -> Path:
    """The histogram of both, each as shares of its own pairs. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.5, 3.4), layout="constrained")
    bins = np.linspace(0, 1, 41).tolist()
    for values, label, color in ((found.false, "false pairs", "#c0504d"), (found.true, "true pairs", "#2e75b6")):
        axes.hist(values, bins, weights=np.full(len(values), 1 / len(values)), label=label, color=color, alpha=0.65)
    axes.axvline(found.threshold, color="black", linestyle="--", label=f"threshold {found.threshold}")
    axes.set(xlabel="blip_itm", ylabel="share of pairs", yscale="log")
    axes.legend()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return file
