"""What a worker does with batches, seen without Spark: a model that counts its calls stands behind it."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blip_udfs import batches
from blip_udfs.images import ImageError
from blip_udfs.session import Settings

SETTINGS = Settings(model="counting", device="cpu", dtype="float32", backend="torch", batch_size=3, itm_token="enc")


class CountingModel:
    """An image's embedding is its mean colour; a pair's logit adds the text's length."""

    image_size, batch_size, digest, label = 4, 100, "0" * 12, "counting@" + "0" * 12

    def __init__(self):
        self.image_batches: list[int] = []
        self.encoded_texts: list[str] = []

    def embed_images(self, pixels):
        self.image_batches.append(len(pixels))
        return pixels.reshape(len(pixels), -1, 3).mean(1).astype(np.float32)

    def embed_features(self, features):
        return features[:, 0]

    def features(self, pixels):
        return self.embed_images(pixels)[:, None]

    def itm_logits(self, features, texts, token):
        match = features[:, 0, 0] + [len(text) for text in texts]
        return np.stack([np.zeros_like(match), match], 1)

    def itm_logits_of_many(self, features, texts, token):
        return self.itm_logits(np.repeat(features[None], len(texts), 0), texts, token)

    def match_probability(self, logits):
        return logits[:, 1].astype(np.float64)

    def embed_texts(self, texts):
        self.encoded_texts += texts
        return np.array([[len(text)] for text in texts], np.float32)


@pytest.fixture
def model(monkeypatch):
    counting = CountingModel()
    monkeypatch.setattr(batches, "model_of", lambda settings: counting)
    monkeypatch.setattr(Settings, "of_task", classmethod(lambda cls: SETTINGS))
    batches._text_embeddings.clear()
    return counting


def png(grey: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (5, 7), (grey, grey, grey)).save(out, "PNG")
    return out.getvalue()


def values(series):
    return [value for batch in series for value in batch]


def test_rows_are_rebatched_across_arrow_batches_and_keep_their_order(model):
    arrow = [
        pd.Series([png(i) for i in range(2)]),
        pd.Series([], dtype=object),
        pd.Series([png(i) for i in range(2, 7)]),
    ]
    result = values(batches.blip_image_embed(iter(arrow)))
    assert [int(value[0]) for value in result] == [0, 1, 2, 3, 4, 5, 6]
    assert model.image_batches == [3, 3, 1]


def test_null_in_null_out_and_nulls_cost_no_model(model):
    images = pd.Series([None, png(10), None, png(20)], dtype=object)
    texts = pd.Series(["x", None, None, "four"], dtype=object)
    assert values(batches.blip_itm(iter([(images, texts)]))) == [None, None, None, 24.0]
    assert model.image_batches == [1]


def test_a_forward_pass_holds_rows_by_kind_and_by_bytes(monkeypatch):
    monkeypatch.setattr(batches, "BYTES_AT_ONCE", 1000)
    image, stored, large = b"\xff\xd8" + bytes(8), b"BLIPFEAT" + bytes(2), bytes(600)

    def sizes(images, wanted=None):
        return [len(batch) for batch in batches.full_batches(((each,) for each in images), wanted, 2)]

    assert sizes([image] * 5) == [2, 2, 1]
    assert sizes(["/a/path.jpg", None, image]) == [2, 1]
    assert sizes([stored] * 5) == [4, 1]
    assert sizes([image, *[stored] * 3]) == [3, 1]
    assert sizes([stored] * 7, wanted=3) == [3, 3, 1]
    assert sizes([large] * 3) == [1, 1, 1]
    assert sizes([bytes(5000), image]) == [1, 1]


def test_a_task_uses_its_own_cores_and_gpu(monkeypatch):
    import pyspark
    from pyspark.resource import ResourceInformation

    from blip_udfs import model

    asked = []

    class Context:
        get = classmethod(lambda cls: cls)
        cpus = classmethod(lambda cls: 3)
        resources = classmethod(lambda cls: {"gpu": ResourceInformation("gpu", ["2"])})

    monkeypatch.setattr(pyspark, "TaskContext", Context)
    monkeypatch.setattr(model, "set_threads", asked.append)
    monkeypatch.setattr(model, "device_of_task", lambda device, gpus: f"{device} {gpus}")
    monkeypatch.setattr(model, "load", lambda *wanted: asked.append(wanted) or CountingModel())
    batches.model_of(SETTINGS)
    assert asked == [3, ("counting", "cpu ['2']", "float32", "torch")]


def test_no_rows_load_no_model(monkeypatch):
    monkeypatch.setattr(batches, "model_of", lambda settings: pytest.fail("a model was loaded for no rows"))
    assert values(batches.blip_itm(iter([]))) == []
    assert values(batches.blip_image_embed(iter([pd.Series([], dtype=object)]))) == []


def test_a_bad_image_raises_and_the_try_form_gives_null(model):
    images = pd.Series([png(1), b"not an image", png(3)])
    with pytest.raises(ImageError, match="12 bytes"):
        values(batches.blip_image_embed(iter([images])))
    result = values(batches.try_blip_image_embed(iter([images])))
    assert [None if value is None else int(value[0]) for value in result] == [1, None, 3]


def test_the_same_text_is_encoded_once(model):
    texts = pd.Series(["car", "bus stop", None, "car"] * 50, dtype=object)
    result = values(batches.blip_text_embed(iter([texts, texts])))
    assert [value if value is None else value[0] for value in result] == [3.0, 8.0, None, 3.0] * 100
    assert model.encoded_texts == ["car", "bus stop"]


def test_many_texts_take_one_pass_over_the_image(model):
    texts = pd.Series([["a", None, "abc"], []], dtype=object)
    result = values(batches.blip_itm_many(iter([(pd.Series([png(5), png(6)]), texts)])))
    assert result == [[6.0, None, 8.0], []]
    assert model.image_batches == [2]


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (batches.blip_image_embed, pd.Series([7]), "image: expected BINARY or STRING, got int: 7"),
        (batches.blip_image_error, pd.Series([7]), "image: expected BINARY or STRING, got int: 7"),
        (batches.blip_text_embed, pd.Series([7]), "text: expected STRING, got int: 7; CAST it AS STRING"),
        (batches.blip_itm, (pd.Series([png(0)]), pd.Series([7])), "text: expected STRING, got int: 7"),
    ],
)
def test_arguments_of_another_type_are_named(model, function, arguments, message):
    with pytest.raises(TypeError, match=message):
        values(function(iter([arguments])))


def test_decoding_is_one_chunk_ahead_of_the_model():
    seen = []

    class Immediate:
        def map(self, function, chunk):
            seen.append(("decode", chunk[0]))
            return iter(map(function, chunk))

    for chunk in batches.ahead(Immediate(), lambda row: row, [[1], [2], [3]]):
        seen.append(("model", chunk[0]))
    assert seen == [("decode", 1), ("decode", 2), ("model", 1), ("decode", 3), ("model", 2), ("model", 3)]
