"""`--skip-similar` on drives of 2 Hz: how many images take an earlier frame's embedding, what a search then loses."""

from pathlib import Path

import numpy as np
import pytest

from blip_udfs import embed
from blip_udfs.blip.model import load
from blip_udfs.draw.captions import is_true
from blip_udfs.draw.tree import draw_tree
from blip_udfs.measure.evaluate import Scorer, nearest, scenes
from blip_udfs.measure.quality import facts_of, precision_at_top, sentences_with_answers

pytestmark = pytest.mark.endurance

THRESHOLDS = (2, 4, 8, 12, 20)
SENTENCES, CANDIDATES, TOP = 7, 64, 10  # so many sentences of each kind


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("similar") / "once"
    draw_tree(root, sequences=40, frames=20, cameras=["cam01", "cam03"], size=(480, 256), seed=23)
    return root


def embedded(spark, tree: Path, images: list[str], threshold: int | None) -> tuple[np.ndarray, float]:
    """float32 (images, D) as the job with this threshold stores them, and the share that is an earlier frame's."""
    table = f"similar{threshold}_embeddings"
    summary = embed(spark, str(tree), table, skip_similar=threshold)
    stored = {row.image: row.embedding for row in spark.table(table).select("image", "embedding").collect()}
    spark.sql(f"DROP VIEW similar{threshold}_search")
    spark.sql(f"DROP TABLE {table}")
    return np.array([stored[image] for image in images], np.float32), summary.similar / summary.embedded


def test_what_skipping_similar_frames_saves_and_costs(spark, tree, tmp_path):
    rows = scenes(spark, str(tree))
    images, facts = [row["image"] for row in rows], [facts_of(row) for row in rows]
    kinds = sentences_with_answers(facts, SENTENCES, seed=1, held_out=False).values()
    sentences = list({sentence.text: sentence for kind in kinds for sentence in kind}.values())
    texts = [sentence.text for sentence in sentences]
    truth = np.array([[is_true(sentence, fact) for sentence in sentences] for fact in facts])  # (images, sentences)
    numbered = spark.createDataFrame(list(enumerate(images)), "image_id INT, image STRING")
    match = Scorer(numbered, texts, str(tmp_path)).itm(np.ones_like(truth))[..., 1]
    vectors = load("demo").embed_texts(texts)

    def ranked(threshold: int | None) -> tuple[float, np.ndarray, np.ndarray]:
        embeddings, share = embedded(spark, tree, images, threshold)
        itc = embeddings @ vectors.T
        return share, itc, np.where(nearest(itc.T, CANDIDATES).T, match + itc, -np.inf)

    print(f"{len(images)} images, {len(texts)} sentences; found: of the {TOP} best without skipping")
    print("| T | similar | ITC: precision@10 | found | cascade: precision@10 | found |")
    _, *whole = ranked(None)
    measured: dict[int, list[float]] = {}
    for threshold in THRESHOLDS:
        share, *scores = ranked(threshold)
        measured[threshold] = [share]
        for own, all_own in zip(scores, whole, strict=True):
            found = (best(own) & best(all_own)).sum(0).mean() / TOP
            measured[threshold] += [precision_at_top(own, truth).mean(), found]
        print(f"| {threshold} | {' | '.join(f'{figure:.3f}' for figure in measured[threshold])} |")
    shares = [figures[0] for figures in measured.values()]
    assert shares[0] > 0 and shares == sorted(shares)
    *_, precision, found = measured[2]
    without = precision_at_top(whole[1], truth).mean()
    print(f"cascade without skipping: precision@10 {without:.3f}")
    assert precision > without - 0.02 and found > 0.9


def best(scores: np.ndarray) -> np.ndarray:
    """bool (images, sentences): the TOP images of each sentence."""
    return nearest(scores.T, TOP).T
