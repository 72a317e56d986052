"""Our numbers against the original BLIP code's, and against transformers' forward pass on random models."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import random_blip

ORIGINAL = Path(__file__).with_name("blip_reference")
TEXTS = ["a car driving on an intersection", "truck", "a bus at night in the rain on the highway " * 9]
EMBEDDING, LOGIT = 1e-5, 1e-4  # the tolerances that a user is promised


def near(ours: np.ndarray, reference: np.ndarray, tolerance: float) -> None:
    assert ours.shape == reference.shape
    assert abs(ours - reference).max() <= tolerance


@pytest.fixture(scope="module")
def golden():
    return {key: np.array(value) if key not in ("images", "texts") else value for key, value in golden_json().items()}


def golden_json() -> dict:
    return json.loads((ORIGINAL / "golden.json").read_text())


@pytest.fixture(scope="module")
def folder(golden, tmp_path_factory):
    from blip_udfs.blip.convert import convert

    folder = tmp_path_factory.mktemp("original") / "converted"
    convert(ORIGINAL / "model_tiny_retrieval.pth", folder, ORIGINAL / "config.json", ORIGINAL / "vocab.txt")
    return folder


@pytest.fixture(scope="module")
def converted(folder):
    from blip_udfs.blip.model import load

    return load(str(folder))


@pytest.fixture(scope="module")
def golden_pixels(golden, converted):
    from blip_udfs.files.images import pixels

    return np.stack([pixels(str(ORIGINAL / name), converted.image_size) for name in golden["images"]])


def test_token_ids_equal_the_originals(golden, converted):
    ids, mask = converted.token_ids(golden["texts"])
    padded = np.zeros_like(golden["input_ids"])
    padded[:, : ids.shape[1]] = ids
    assert (padded == golden["input_ids"]).all()
    assert (mask == (ids != 0)).all()


def test_sql_gives_the_originals_numbers(spark, golden, folder):
    rows = [(index, str(ORIGINAL / name)) for index, name in enumerate(golden["images"])]
    spark.createDataFrame(rows, "id INT, image STRING").createOrReplaceTempView("originals")
    sentences = spark.createDataFrame(list(enumerate(golden["texts"])), "text_id INT, text STRING")
    sentences.createOrReplaceTempView("sentences")
    pairs = "FROM originals CROSS JOIN sentences ORDER BY text_id, id"
    spark.conf.set("spark.blip.model", str(folder))
    try:
        images = [row[0] for row in spark.sql("SELECT blip_image_embed(image) FROM originals ORDER BY id").collect()]
        texts = [row[0] for row in spark.sql("SELECT blip_text_embed(text) FROM sentences ORDER BY text_id").collect()]
        near(np.array(images), golden["image_embed"], EMBEDDING)
        near(np.array(texts), golden["text_embed"], EMBEDDING)
        for token in ("cls", "enc"):
            spark.conf.set("spark.blip.itm.token", token)
            found = spark.sql(f"SELECT blip_itm_logit(image, text), blip_itm(image, text) {pairs}").collect()
            expected = golden[f"itm_logits_{token}"].reshape(-1, 2)
            near(np.array([row[0] for row in found]), expected[:, 1], LOGIT)
            no, yes = expected.T
            near(np.array([row[1] for row in found]), 1 / (1 + np.exp(no - yes)), LOGIT)
    finally:
        spark.conf.unset("spark.blip.model")
        spark.conf.unset("spark.blip.itm.token")


def test_embeddings_and_itc_equal_the_originals(golden, converted, golden_pixels):
    images, texts = converted.embed_images(golden_pixels), converted.embed_texts(golden["texts"])
    near(images, golden["image_embed"], EMBEDDING)
    near(texts, golden["text_embed"], EMBEDDING)
    near(texts @ images.T, golden["itc"], EMBEDDING)


@pytest.mark.parametrize("token", ["cls", "enc"])
def test_itm_logits_equal_the_originals(golden, converted, golden_pixels, token):
    expected = golden[f"itm_logits_{token}"]  # (text, image, 2)
    features = converted.features(golden_pixels)
    for text, row in zip(golden["texts"], expected, strict=True):
        near(converted.itm_logits(features, [text] * 4, token), row, LOGIT)
    for image, column in enumerate(expected.transpose(1, 0, 2)):
        near(converted.itm_logits_of_many(features[image], golden["texts"], token), column, LOGIT)


def test_match_probabilities_equal_the_originals(golden, converted):
    logits = golden["itm_logits_cls"]
    near(converted.match_probability(logits.reshape(-1, 2)).reshape(4, 4), golden["itm_prob_cls"], 1e-6)


SIZES = {  # of the published models at 384 px: the vision encoder is what differs
    "base": ({}, {}),
    "large": (
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
        {"encoder_hidden_size": 1024},
    ),
}


@pytest.fixture(scope="module", params=["base", pytest.param("large", marks=pytest.mark.endurance)])
def published(request, tmp_path_factory):
    from blip_udfs.blip.model import load

    vision, text = SIZES[request.param]
    text = {"num_attention_heads": 12, "vocab_size": 30524} | text
    folder = tmp_path_factory.mktemp("published") / request.param
    random_blip.write(folder, 0, {"image_size": 384} | vision, text, embed_dim=256)
    return load(str(folder)), random_blip.Reference(folder)


@pytest.mark.slow
def test_published_sizes_equal_transformers(published):
    ours, reference = published
    pixels = np.random.default_rng(0).integers(0, 256, (2, 384, 384, 3), dtype=np.uint8)
    features = reference.features(pixels)  # (2, 577, 768 | 1024)
    images = reference.model.vision_proj(features[:, 0]).detach().numpy()
    near(ours.embed_images(pixels), images / np.linalg.norm(images, axis=1, keepdims=True), EMBEDDING)
    near(ours.embed_texts(TEXTS), reference.embed_texts(TEXTS), EMBEDDING)
    own = ours.features(pixels)
    near(own, features.numpy(), LOGIT)
    near(ours.embed_features(own), ours.embed_images(pixels), EMBEDDING)
    for token in ("cls", "enc"):
        pairs = reference.itm_logits(features[[0, 1, 0]], TEXTS, token)
        near(ours.itm_logits(own[[0, 1, 0]], TEXTS, token), pairs, LOGIT)
        near(ours.itm_logits_of_many(own[0], TEXTS, token)[[0, 2]], pairs[[0, 2]], LOGIT)


sentences = st.lists(st.sampled_from([*random_blip.WORDS, "zebra", "x,", "7"]), max_size=40).map(" ".join)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 99),
    image=st.sampled_from([(1, 8, 8), (2, 8, 16), (4, 16, 48), (3, 8, 64)]),  # heads, patch, image side
    text_heads=st.sampled_from([1, 2, 3, 4]),
    head=st.sampled_from([4, 8, 16]),
    layers=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    texts=st.lists(sentences, min_size=1, max_size=7),
    split=st.integers(0, 7),
)
def test_random_shapes_equal_transformers(tmp_path_factory, seed, image, text_heads, head, layers, texts, split):
    from blip_udfs.blip.checkpoint import find
    from blip_udfs.blip.model import build

    heads, patch, side = image
    vision = {"image_size": side, "patch_size": patch, "num_attention_heads": heads, "hidden_size": heads * head}
    text = {"num_attention_heads": text_heads, "hidden_size": text_heads * head, "max_position_embeddings": 36}
    depth = [{"num_hidden_layers": count, "intermediate_size": 24} for count in layers]
    folder = tmp_path_factory.mktemp("random") / "model"
    random_blip.write(folder, seed, vision | depth[0], text | depth[1], embed_dim=12)
    ours, reference = build(find(str(folder)), "cpu"), random_blip.Reference(folder)
    pixels = np.random.default_rng(seed).integers(0, 256, (len(texts), side, side, 3), dtype=np.uint8)
    features = reference.features(pixels)
    near(ours.features(pixels), features.numpy(), LOGIT)
    near(ours.embed_images(pixels), reference.embed_images(pixels), EMBEDDING)
    near(ours.embed_texts(texts), reference.embed_texts(texts), EMBEDDING)
    for token in ("cls", "enc"):
        near(ours.itm_logits(features.numpy(), texts, token), reference.itm_logits(features, texts, token), LOGIT)
        parts = [part for part in (slice(None, split), slice(split, None)) if texts[part]]
        split_up = [ours.itm_logits(features.numpy()[part], texts[part], token) for part in parts]
        near(np.concatenate(split_up), reference.itm_logits(features, texts, token), LOGIT)
        of_first = reference.itm_logits(features[:1].expand(len(texts), -1, -1), texts, token)
        near(ours.itm_logits_of_many(features[0].numpy(), texts, token), of_first, LOGIT)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 9), tokens=st.integers(1, 35), patches=st.integers(1, 50), heads=st.sampled_from([1, 2, 6]),
    shared=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_both_orders_of_cross_attention_are_the_same(rows, tokens, patches, heads, shared, seed):
    import torch

    from blip_udfs.blip.engine import Attention

    torch.manual_seed(seed)
    attention = Attention(heads * 8, 20, heads)
    x, source = torch.randn(rows, tokens, heads * 8), torch.randn(1 if shared else rows, patches, 20)
    with torch.inference_mode():
        by_query, by_key = attention.projected_queries(x, source), attention.projected_keys(x, source)
    near(by_query.numpy(), by_key.numpy(), 1e-5)
