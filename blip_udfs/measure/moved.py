"""Scenes as other cameras would have taken them -> how much of what a model recognises in ONCE's own pictures it
recognises there: `blip-udfs evaluate --moved`."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blip_udfs.draw import wordings as W
from blip_udfs.draw.captions import Condition, Facts, Thing
from blip_udfs.draw.moved import CHANGES, Move, taken
from blip_udfs.draw.tree import scene
from blip_udfs.draw.world import COLORS, DIMENSIONS, PEOPLE, PERIODS, ROADS, SIDES, WEATHERS, drive
from blip_udfs.measure.evaluate import Scorer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SEED = 5150  # of drives that training never saw
CAMERAS, FRAMES = ("cam01", "cam03"), 30
AS_DRAWN = "as drawn"


@dataclass(frozen=True)
class Question:
    """What is asked of an image: is this true? Its rivals are the questions of the same `group`."""

    about: str
    group: str
    text: str
    condition: Condition


@dataclass(frozen=True)
class Recognition:
    """Of an attribute: how often it is asked for as drawn, and in what share it is recognised, as drawn and under each
    change."""

    about: str
    trials: int
    shares: dict[str, float]


def questions() -> list[Question]:
    """One sentence for each value of road, weather, period, class, colour of a class and side of a class."""
    out = [Question("road", "road", W.ROAD_NAMES[each][0][0], Condition("road", each)) for each in ROADS]
    for about, values, said in (("weather", WEATHERS, W.WEATHERS), ("period", PERIODS, W.PERIODS)):
        out += [Question(about, about, f"a scene {said[each][0][0]}", Condition(about, each)) for each in values]
    for kind in DIMENSIONS:
        noun = W.CLASSES[kind][0][0]
        out.append(Question("class", "class", f"a {noun}", Condition("thing", Thing(kind))))
        form = (W.DRESSED if kind in PEOPLE else W.PAINTED)[0][0]
        out += [
            Question(
                "colour",
                f"colour of {kind}",
                f"a {form.format(color=color, noun=noun)}",
                Condition("thing", Thing(kind, color)),
            )
            for color in COLORS
        ]
        out += [
            Question(
                "side",
                f"side of {kind}",
                f"a {noun} {W.SIDES[side][0][0]}",
                Condition("thing", Thing(kind, None, side)),
            )
            for side in SIDES
        ]
    return out


def drawings(count: int, folder: Path, name: str, move: Move) -> list[tuple[Path, Facts]]:
    """Scenes, a drive each: their pictures as files and what can be seen in them."""
    with multiprocessing.get_context("spawn").Pool() as pool:
        return pool.map(drawing, [(number, name, move, folder) for number in range(count)], chunksize=8)


def drawing(job: tuple[int, str, Move, Path]) -> tuple[Path, Facts]:
    number, name, move, folder = job
    one, rng = drive(SEED, number), random.Random(f"{SEED}/{number}/view")
    view = taken(one, rng.randrange(FRAMES), rng.choice(CAMERAS), move)
    path = folder / f"{name.replace('/', ' ')}, {number:04d}.png"  # after its JPEG nothing more is lost
    view.image.save(path, compress_level=1)
    return path, Facts.of(scene(one, view), one.weather, one.period, one.region)


def recognised(scores: np.ndarray, facts: list[Facts], asked: list[Question]) -> dict[str, tuple[int, int]]:
    """Of each attribute in how many (image, true question) the answer is surer than to every false rival, and how many
    those are. scores (images, questions)."""
    truth = np.array([[question.condition.holds(fact) for question in asked] for fact in facts])
    groups = np.array([question.group for question in asked])
    out: dict[str, tuple[int, int]] = {}
    for about in dict.fromkeys(question.about for question in asked):
        right = trials = 0
        for group in sorted({question.group for question in asked if question.about == about}):
            own = groups == group
            best_false = np.where(truth[:, own], -np.inf, scores[:, own]).max(1, keepdims=True)  # (images, 1)
            tried = truth[:, own] & np.isfinite(best_false)
            right += int((tried & (scores[:, own] > best_false)).sum())
            trials += int(tried.sum())
        out[about] = right, trials
    return out


def recognition(spark: SparkSession, count: int = 300, changes: dict[str, Move] = CHANGES) -> list[Recognition]:
    """The session's model, asked by `blip_itm` of `count` scenes as drawn and under each change."""
    asked, found = questions(), {}
    for name, move in {AS_DRAWN: Move(), **changes}.items():  # each by itself: a few hundred images at once
        with tempfile.TemporaryDirectory() as folder:
            drawn = drawings(count, Path(folder), name, move)
            paths = [str(path) for path, _ in drawn]
            images = spark.createDataFrame(list(enumerate(paths)), "image_id INT, image STRING")
            logits = Scorer(images, [each.text for each in asked], folder).itm(np.ones((count, len(asked)), bool))
        scores = logits[..., 1] - logits[..., 0]  # in the order of blip_itm
        found[name] = recognised(scores, [fact for _, fact in drawn], asked)
    return [
        Recognition(
            about,
            found[AS_DRAWN][about][1],
            {name: round(right / max(1, trials), 3) for name, each in found.items() for right, trials in [each[about]]},
        )
        for about in found[AS_DRAWN]
    ]
