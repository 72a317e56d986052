"""A forward pass that does not fit the memory: halved, gone on with, said once, and the same numbers."""

import numpy as np
import pytest
import torch

from blip_udfs.blip.fits import Fitting
from blip_udfs.blip.model import ModelError, load
from tests.random_blip import Reference
from tests.tiny_model import make

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
TEXTS = ["a car", "a bus at night", "a truck in the rain", "a car", "a bus", "a truck", "night"]


@pytest.fixture
def blip(tmp_path):
    return load(str(make(tmp_path / "tiny", seed=4)))


@pytest.fixture(scope="module")
def reference(tiny_model):
    return Reference(tiny_model)


def too_large_above(most: int, error: RuntimeError, forward, sizes: list[int]):
    """`forward`, which notes how many rows its last argument has and has the memory for `most`."""

    def checked(*arguments):
        sizes.append(len(arguments[0]))
        if sizes[-1] > most:
            raise error
        return forward(*arguments)

    return checked


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
]


HALVED = [(7, [7], [7]), (3, [7, 3, 3, 1], [3, 3, 1]), (2, [7, 3, 1, *[1] * 6], [1] * 7)]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(("most", "tried", "later"), HALVED)
def test_a_pass_is_halved_until_it_fits_and_stays_so(blip, monkeypatch, error, most, tried, later):
    expected, sizes = blip.embed_images(PIXELS), []
    monkeypatch.setattr(blip.network, "embed_images", too_large_above(most, error, blip.network.embed_images, sizes))
    np.testing.assert_allclose(blip.embed_images(PIXELS), expected, atol=1e-6, rtol=0)
    assert sizes == tried
    sizes.clear()
    np.testing.assert_allclose(blip.embed_images(PIXELS), expected, atol=1e-6, rtol=0)
    assert sizes == later


def test_it_is_said_once_per_halving(blip, monkeypatch, capfd):
    monkeypatch.setattr(blip.network, "features", too_large_above(3, ERRORS[0], blip.network.features, []))
    capfd.readouterr()
    for _ in range(2):
        blip.features(PIXELS)
    assert capfd.readouterr().err.splitlines() == [
        "blip_udfs: cpu has not the memory for 7 images in one pass, goes on with 3; a lower spark.blip.batchSize asks "
        "for less"
    ]


def test_pairs_keep_their_images_and_texts(blip, monkeypatch):
    features = blip.features(PIXELS)
    pairs, of_one, texts = (
        blip.itm_logits(features, TEXTS),
        blip.itm_logits_of_many(features[2], TEXTS),
        blip.embed_texts(TEXTS),
    )
    sizes: list[int] = []
    match = blip.network.match

    def of_pairs(ids, mask, which, patches):
        sizes.append(len(which))
        if len(which) > 3:
            raise ERRORS[0]
        return match(ids, mask, which, patches)

    monkeypatch.setattr(blip.network, "match", of_pairs)
    monkeypatch.setattr(blip.network, "embed_texts", too_large_above(3, ERRORS[0], blip.network.embed_texts, sizes))
    np.testing.assert_allclose(blip.itm_logits(features, TEXTS), pairs, atol=1e-5, rtol=0)
    np.testing.assert_allclose(blip.itm_logits_of_many(features[2], TEXTS), of_one, atol=1e-5, rtol=0)
    np.testing.assert_allclose(blip.embed_texts(TEXTS), texts, atol=1e-5, rtol=0)
    assert sizes == [7, 3, 3, 1, 3, 3, 1, 7, 3, 3, 1]  # a pass of texts is another kind than one of pairs


def test_one_that_does_not_fit_says_what_to_do(blip, monkeypatch):
    monkeypatch.setattr(blip.network, "embed_images", too_large_above(0, ERRORS[0], blip.network.embed_images, []))
    with pytest.raises(
        ModelError, match="cpu has not the memory for one of the images: SET spark.blip.dtype = bfloat16"
    ):
        blip.embed_images(PIXELS)


def test_another_error_is_no_want_of_memory(blip, monkeypatch):
    sizes: list[int] = []
    failing = too_large_above(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None, sizes)
    monkeypatch.setattr(blip.network, "embed_images", failing)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        blip.embed_images(PIXELS)
    assert sizes == [7]


def test_no_rows_are_one_pass_of_none():
    asked = []
    found = Fitting(torch.device("cpu"))("images", 0, lambda part: asked.append(part) or np.empty((0, 4)))
    assert found.shape == (0, 4) and asked == [slice(0, 0)]


def test_levels_become_the_same_numbers_on_a_device(blip):
    """As a GPU does it, bit for bit, in each number type."""
    from blip_udfs.blip.retrieval import normalised_there
    from blip_udfs.files.images import normalise, normalised_levels

    how = blip.processor
    levels = torch.from_numpy(normalised_levels(how.mean, how.std, how.rescale))
    expected = torch.from_numpy(normalise(PIXELS, how.mean, how.std, how.rescale))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        found = normalised_there(torch.from_numpy(PIXELS), levels.to(dtype))
        assert found.dtype == dtype and torch.equal(found, expected.to(dtype))
