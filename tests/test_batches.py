"""What a worker does with batches, seen without Spark: the tiny model computes, and its calls are counted; values are
those of transformers' forward pass."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blip_udfs.blip.features import unpack_features
from blip_udfs.blip.model import load
from blip_udfs.files.images import ImageError, pixels
from blip_udfs.spark import batches, worker
from blip_udfs.spark.settings import Settings
from tests.random_blip import Reference


class Counted:
    """A model that notes how many images and which texts it encodes."""

    def __init__(self, model):
        self._model = model
        self.image_batches: list[int] = []
        self.encoded_texts: list[str] = []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def embed_images(self, pixels):
        self.image_batches.append(len(pixels))
        return self._model.embed_images(pixels)

    def features(self, pixels):
        self.image_batches.append(len(pixels))
        return self._model.features(pixels)

    def embed_texts(self, texts):
        self.encoded_texts += texts
        return self._model.embed_texts(texts)


@pytest.fixture
def settings(monkeypatch, tiny_model) -> Settings:
    """The tiny model's, three images a forward pass."""
    wanted = Settings(str(tiny_model), device="cpu", dtype="float32", backend="torch", batch_size=3, itm_token="enc")
    monkeypatch.setattr(Settings, "of_task", classmethod(lambda cls: wanted))
    return wanted


@pytest.fixture
def model(monkeypatch, settings):
    counted = Counted(batches.model_of(settings))
    monkeypatch.setattr(batches, "model_of", lambda settings: counted)
    batches._text_embeddings.clear()
    return counted


@pytest.fixture(scope="module")
def reference(tiny_model) -> Reference:
    return Reference(tiny_model)


def decoded(greys) -> np.ndarray:
    return np.stack([pixels(png(grey), 32) for grey in greys])


def probability(reference, grey: int, text: str) -> float:
    no, yes = reference.itm_logits(reference.features(decoded([grey])), [text], "enc")[0].astype(np.float64)
    return 1 / (1 + np.exp(no - yes))


def png(grey: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (5, 7), (grey, grey, grey)).save(out, "PNG")
    return out.getvalue()


def values(series):
    return [value for batch in series for value in batch]


def test_rows_are_rebatched_across_arrow_batches_and_keep_their_order(model, reference):
    arrow = [
        pd.Series([png(i) for i in range(2)]),
        pd.Series([], dtype=object),
        pd.Series([png(i) for i in range(2, 7)]),
    ]
    result = values(worker.blip_image_embed(iter(arrow)))
    np.testing.assert_allclose(result, reference.embed_images(decoded(range(7))), atol=1e-5)
    assert model.image_batches == [3, 3, 1]


def test_null_in_null_out_and_nulls_cost_no_model(model, reference):
    images = pd.Series([None, png(10), None, png(20)], dtype=object)
    texts = pd.Series(["x", None, None, "a car"], dtype=object)
    *nulls, value = values(worker.blip_itm(iter([(images, texts)])))
    assert nulls == [None] * 3 and value == pytest.approx(probability(reference, 20, "a car"), abs=1e-5)
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


@pytest.fixture
def task(monkeypatch):
    """A task of three cores and the node's third GPU."""
    import pyspark
    import torch
    from pyspark.resource import ResourceInformation

    class Context:
        get = classmethod(lambda cls: cls)
        cpus = classmethod(lambda cls: 3)
        resources = classmethod(lambda cls: {"gpu": ResourceInformation("gpu", ["2"])})

    monkeypatch.setattr(pyspark, "TaskContext", Context)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_task_uses_its_own_cores(task, settings, reference):
    import torch

    model = batches.model_of(settings)
    assert torch.get_num_threads() == 3
    assert model.device == torch.device("cpu") and model.label.startswith("tiny@")
    np.testing.assert_allclose(model.embed_images(decoded([9])), reference.embed_images(decoded([9])), atol=1e-5)


def test_a_task_uses_its_own_gpu(task, settings, monkeypatch):
    """Where there is one, which this process is told: then the model is asked for on that of the task."""
    import torch

    from blip_udfs.blip import model

    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(model, "load", lambda name, device, *rest: asked.append(device) or load(name, "cpu", *rest))
    for device in ("auto", "cuda", "cuda:1", "cpu"):
        assert batches.model_of(replace(settings, device=device)).label.startswith("tiny@")
    assert asked == ["cuda:2", "cuda:2", "cuda:1", "cpu"]


def test_no_rows_load_no_model(settings, monkeypatch):
    monkeypatch.setattr(batches, "model_of", lambda settings: pytest.fail("a model was loaded for no rows"))
    assert values(worker.blip_itm(iter([]))) == []
    assert values(worker.blip_image_embed(iter([pd.Series([], dtype=object)]))) == []


def test_a_bad_image_raises_and_the_try_form_gives_null(model, reference):
    images = pd.Series([png(1), b"not an image", png(3)])
    with pytest.raises(ImageError, match="12 bytes"):
        values(worker.blip_image_embed(iter([images])))
    first, second, third = values(worker.try_blip_image_embed(iter([images])))
    assert second is None
    np.testing.assert_allclose([first, third], reference.embed_images(decoded([1, 3])), atol=1e-5)


def test_patch_features_beyond_half_precision_are_their_rows_error(model, reference):
    def features(pixels):
        return model._model.features(pixels) * np.where(pixels[:, :1, 0, :1] == 100, 1e6, 1)  # one beyond 65,504

    model.features = features
    images = pd.Series([png(1), png(100), png(3)])
    expected = reference.features(decoded([1, 3])).numpy()
    with pytest.raises(ImageError, match="exceed half precision"):
        values(worker.blip_image_features(iter([images])))
    first, second, third = values(worker.try_blip_image_features(iter([images])))
    assert second is None
    np.testing.assert_allclose([unpack_features(first), unpack_features(third)], expected, atol=2e-3)
    rows = (images, pd.Series(["features logits"] * 3), pd.Series([["a bus"]] * 3), pd.Series([[]] * 3))
    with pytest.raises(ImageError, match="exceed half precision"):
        values(worker.blip_together(iter([rows])))
    (frame,) = worker.try_blip_together(iter([rows]))
    assert [value is None for value in frame.features] == [False, True, False]
    logits = reference.itm_logits(reference.features(decoded([1, 3])), ["a bus"] * 2, "enc")[:, 1:]
    np.testing.assert_allclose([frame.logits[0], frame.logits[2]], logits, atol=1e-4)
    assert np.isfinite(frame.logits[1]).all()


def test_the_same_text_is_encoded_once(model, reference):
    texts = pd.Series(["car", "bus stop", None, "car"] * 50, dtype=object)
    result = values(worker.blip_text_embed(iter([texts, texts])))
    assert [value is None for value in result] == [False, False, True, False] * 100
    car, stop = reference.embed_texts(["car", "bus stop"])
    np.testing.assert_allclose([each for each in result if each is not None], [car, stop, car] * 100, atol=1e-5)
    assert model.encoded_texts == ["car", "bus stop"]


def test_many_texts_take_one_pass_over_the_image(model, reference):
    texts = pd.Series([["a car", None, "a bus at night"], []], dtype=object)
    (first, second, third), none = values(worker.blip_itm_many(iter([(pd.Series([png(5), png(6)]), texts)])))
    assert second is None and none == []
    expected = [probability(reference, 5, text) for text in ("a car", "a bus at night")]
    np.testing.assert_allclose([first, third], expected, atol=1e-5)
    assert model.image_batches == [2]


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (worker.blip_image_embed, pd.Series([7]), "image: expected BINARY or STRING, got int: 7"),
        (worker.blip_image_error, pd.Series([7]), "image: expected BINARY or STRING, got int: 7"),
        (worker.blip_text_embed, pd.Series([7]), "text: expected STRING, got int: 7; CAST it AS STRING"),
        (worker.blip_itm, (pd.Series([png(0)]), pd.Series([7])), "text: expected STRING, got int: 7"),
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
