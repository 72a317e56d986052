"""Which of two ways multiplies: the faster one, measured once per machine, and both give the same numbers."""

import threading
import time

import numpy as np
import pytest
import torch

from blip_udfs.blip import products
from blip_udfs.blip.model import load
from blip_udfs.files import notes
from tests.tiny_model import make

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
TEXTS = ["a car", "a bus at night", "a truck in the rain"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A machine on which nothing is known yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    products._settled.clear()
    yield tmp_path / "cache" / "blip-udfs" / "products"
    products._settled.clear()


@pytest.fixture
def blip(tmp_path):
    return load(str(make(tmp_path / "tiny", seed=4)))


def parts(blip):
    return blip.network.vision_model, blip.network.text_encoder


def ways(blip) -> list[set[str]]:
    return [{layer.way for layer in products.linears(part)} for part in parts(blip)]


def known(folder) -> list[str]:
    return [file.read_text() for file in folder.iterdir() if file.suffix != ".lock"] if folder.exists() else []


def everything(blip) -> list[np.ndarray]:
    features = blip.features(PIXELS)
    return [blip.embed_images(PIXELS), features, blip.itm_logits(features, TEXTS), blip.embed_texts(TEXTS)]


def test_both_ways_give_the_same_numbers(cache, blip, monkeypatch):
    found = {}
    for way in ("fused", "plain"):
        monkeypatch.setattr(products, "faster", lambda part, sample, way=way: way)
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache / way))
        products._settled.clear()
        found[way] = everything(blip)
        assert ways(blip) == [{way}, {way}]
    for fused, plain in zip(*found.values(), strict=True):
        np.testing.assert_allclose(fused, plain, atol=1e-5, rtol=0)
    assert any((fused != plain).any() for fused, plain in zip(*found.values(), strict=True))


def test_a_machine_is_measured_once_and_by_no_load(cache, blip, monkeypatch):
    assert known(cache) == []  # loading computes nothing: what loads may fork
    blip.embed_images(PIXELS[:1])
    assert len(known(cache)) == 1
    everything(blip)
    assert len(known(cache)) == 2 and set(known(cache)) <= {"fused", "plain"}
    products._settled.clear()  # as in another process
    monkeypatch.setattr(products, "faster", lambda *_: pytest.fail("measured again"))
    everything(blip)


def test_other_threads_another_torch_or_forced_instructions_are_measured_anew(cache, blip, monkeypatch):
    part, threads = blip.network.vision_model, torch.get_num_threads()
    asked = [products.conditions(part, threads), products.conditions(part, threads + 1)]
    asked.append(products.conditions(blip.network.text_encoder, threads))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    asked.append(products.conditions(part, threads))
    monkeypatch.setattr(torch, "__version__", "9.9")
    asked.append(products.conditions(part, threads))
    monkeypatch.setattr(products, "processor", lambda: "another")
    asked.append(products.conditions(part, threads))
    assert len(set(asked)) == len(asked)
    assert products.conditions(part, threads) == asked[-1]


@pytest.mark.parametrize(("plain", "chosen"), [(0.5, "plain"), (0.97, "fused"), (2, "fused")])
def test_the_faster_way_is_chosen_where_it_is_clearly_faster(plain, chosen):
    layer = products.Linear(2, 2)
    asked = []

    def sample() -> None:
        asked.append(layer.way)
        until = time.thread_time() + 0.02 * (plain if layer.way == "plain" else 1)
        while time.thread_time() < until:
            pass

    assert products.faster(layer, sample) == chosen
    assert asked == ["fused", "plain"] * (products.ROUNDS + 1)  # in turn, so that both meet the same neighbours


@pytest.mark.parametrize(("note", "way"), [("plain", "plain"), ("fused", "fused"), ("\x00", "fused"), ("", "fused")])
def test_what_is_noted_is_taken(cache, blip, note, way):
    for part in parts(blip):
        notes.write("products", products.conditions(part, torch.get_num_threads()), note)
    everything(blip)
    assert ways(blip) == [{way}, {way}]


def test_a_folder_that_cannot_be_written_is_no_error(blip, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    products._settled.clear()
    everything(blip)
    monkeypatch.setattr(products, "faster", lambda *_: pytest.fail("measured again by the same process"))
    everything(blip)
    assert (tmp_path / "file").read_text() == ""


def test_who_comes_meanwhile_waits_for_the_first(cache):
    made = []

    def make_slowly() -> str:
        made.append(1)
        time.sleep(0.2)
        return "plain"

    found: list[str] = []
    asking = [
        threading.Thread(target=lambda: found.append(notes.once("products", "this", make_slowly))) for _ in range(3)
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert found == ["plain"] * 3 and len(made) == 1


def test_other_number_types_have_no_choice(cache, tmp_path):
    blip = load(str(make(tmp_path / "tiny", seed=4)), dtype="bfloat16")
    everything(blip)
    assert known(cache) == []
