"""Retrieval figures against ones computed by hand, and the whole protocol against plain numpy."""

import json

import numpy as np
import pytest

from blip_udfs.blip.model import load
from blip_udfs.files.images import pixels
from blip_udfs.measure import evaluate, quality
from blip_udfs.measure.report import calibration_line

INF = float("inf")


def test_ranks_by_hand():
    scores = np.array([[0.9, 0.8, 0.1], [0.5, 0.5, 0.2], [-INF, 0.3, 0.2], [0.1, 0.2, 0.3]])
    truth = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1]], bool)
    # second best; tied with a false one, which counts as better; no candidate; best of two true ones
    assert evaluate.first_true(scores, truth).tolist() == [2, 2, INF, 1]


def test_recalls_by_hand():
    """3 images, 6 texts, two of each image."""
    truth = np.kron(np.eye(3, dtype=bool), np.ones((1, 2), bool))
    scores = np.array(
        [
            [0.9, 0.1, 0.2, 0.3, 0.0, 0.0],  # its first text is best
            [0.8, 0.7, 0.7, 0.1, 0.6, 0.5],  # 0.7 behind 0.8 and the tied 0.7: rank 3
            [0.6, 0.5, 0.4, 0.3, 0.2, 0.1],  # rank 5
        ]
    )
    # of the texts only the first and the third have their own image first
    got = evaluate.recalls(scores, scores, truth)
    assert got == {"TR@1": 33.33, "TR@5": 100.0, "TR@10": 100.0, "IR@1": 33.33, "IR@5": 100.0, "IR@10": 100.0}


def test_nearest_takes_the_first_of_equal_ones():
    assert evaluate.nearest(np.array([[0.5, 0.7, 0.5, 0.5]]), 2).tolist() == [[True, True, False, False]]
    assert evaluate.nearest(np.array([[0.5, 0.7]]), 5).all()


def test_chance_by_hand():
    got = evaluate.chance(np.eye(20, dtype=bool))
    assert got == {"TR@1": 5.0, "TR@5": 25.0, "TR@10": 50.0, "IR@1": 5.0, "IR@5": 25.0, "IR@10": 50.0}


@pytest.fixture(scope="module")
def drawn(spark, once_tree):
    return evaluate.drawn(spark, str(once_tree), count=12, seed=3)


def by_hand(model, data):
    """ITC and match + ITC of all pairs (images, texts), from the model called directly."""
    images = [row["image"] for row in data.images.orderBy("image_id").collect()]
    features = model.features(np.stack([pixels(image, model.image_size) for image in images]))
    half = features.astype(np.float16).astype(np.float32)  # as they are stored
    itc = model.embed_features(half) @ model.embed_texts(data.texts).T
    match = np.stack([model.itm_logits_of_many(one, data.texts)[:, 1] for one in half])
    return itc, match + itc


@pytest.mark.slow
def test_scores_are_the_models_and_figures_are_of_the_scores(spark, use_model, drawn, tmp_path):
    itc, match = by_hand(load(str(use_model)), drawn)
    scorer = evaluate.Scorer(drawn.images, drawn.texts, str(tmp_path))
    wanted = np.random.default_rng(0).random(itc.shape) < 0.5
    logits = scorer.itm(wanted)
    assert np.isneginf(logits[~wanted]).all()
    np.testing.assert_allclose(scorer.itc, itc, atol=1e-5)
    np.testing.assert_allclose(logits[wanted][:, 1], (match - itc)[wanted], atol=1e-4)

    itc = scorer.itc  # a random model's scores are so near that rounding decides of ranks
    match = scorer.itm(np.ones_like(wanted))[..., 1] + itc
    by_image, by_text = evaluate.nearest(itc, 3), evaluate.nearest(itc.T, 3).T
    among = [np.where(chosen, match, -INF) for chosen in (by_image, by_text)]
    rows = evaluate.evaluate(drawn, candidates=(3,))
    assert [row.method for row in rows] == ["ITC", "cascade, 3 candidates", "ITM of all pairs"]
    assert [row.pairs for row in rows] == [0, (by_image | by_text).sum(), itc.size]
    assert [row.figures for row in rows] == [
        evaluate.recalls(itc, itc, drawn.truth),
        evaluate.recalls(*among, drawn.truth),
        evaluate.recalls(match, match, drawn.truth),
    ]


def test_karpathys_json(spark, once_tree, tmp_path):
    files = sorted((once_tree / "data").rglob("*.jpg"))[:3]
    images = [
        {
            "filepath": str(file.parent.relative_to(once_tree)),
            "filename": file.name,
            "split": "val" if index == 2 else "test",
            "sentences": [{"raw": f"text {index}"}, {"raw": "another"}],
        }
        for index, file in enumerate(files)
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"images": images}))
    data = evaluate.karpathy(spark, tmp_path / "dataset.json", str(once_tree))
    assert [row["image"] for row in data.images.orderBy("image_id").collect()] == [str(file) for file in files[:2]]
    assert data.texts == ["text 0", "another", "text 1", "another"]
    assert data.truth.tolist() == [[True, True, False, False], [False, False, True, True]]
    with pytest.raises(ValueError, match="expected images of split 'train', it has test, val"):
        evaluate.karpathy(spark, tmp_path / "dataset.json", str(once_tree), "train")


def test_precision_and_calibration_by_hand():
    truth = np.zeros((12, 2), bool)
    truth[:5, 0] = truth[2:, 1] = True
    scores = np.stack([np.arange(12, 0, -1.0), np.arange(12.0)], 1)  # best first; best last
    assert quality.precision_at_top(scores, truth).tolist() == [0.5, 1.0]
    wide = np.where(truth, 2.0, -2.0)
    match = np.where(truth, 4.0, 1.0)
    match[0, 0], match[0, 1], match[11, 0] = 2.0, 3.1, 2.6  # a true one below two false ones
    found = quality.calibration(np.stack([-wide, wide], -1), match, truth)
    assert (found.precision, found.recall) == (1.0, 1.0)
    assert (found.min_score, found.of_min_score) == (3.1, (1.0, 0.933))
    assert "`--min-score 3.1`, of the score that a search for one sentence gives, keeps 93%" in calibration_line(found)
    assert found.true.min() > 0.98 and found.false.max() < 0.02


def test_sentences_have_ten_answers_and_belong_to_their_group(spark, once_tree):
    facts = [quality.facts_of(row) for row in evaluate.scenes(spark, str(once_tree))]
    groups = quality.sentences_with_answers(facts, per_group=3, seed=0, held_out=False)
    assert set(groups) == set(quality.GROUPS) and groups["one attribute"]
    for name, sentences in groups.items():
        for sentence in sentences:
            assert quality.GROUPS[name](sentence)
            assert sum(quality.is_true(sentence, fact) for fact in facts) >= 10
