"""backend openvino: the same numbers as torch, which sessions get it, what its errors say."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

EMBEDDING, FEATURE = 1e-5, 1e-4


@pytest.fixture(scope="module")
def backends(tiny_model):
    from blip_udfs.blip.model import load

    return load(str(tiny_model)), load(str(tiny_model), backend="openvino")


def drawn(rows: int, side: int) -> np.ndarray:
    return np.random.default_rng(rows).integers(0, 256, (rows, side, side, 3), dtype=np.uint8)


def refused(name, **how) -> str:
    from blip_udfs.blip.model import ModelError, load

    with pytest.raises(ModelError) as error:
        load(str(name), **how)
    return str(error.value)


def test_numbers_equal_torchs_at_every_batch_size(backends):
    ours, theirs = backends
    for rows in (1, 3, 8, 2):
        pixels = drawn(rows, 32)
        embedded, features = theirs.embed_images(pixels), theirs.features(pixels)
        assert (embedded.shape, embedded.dtype, features.dtype) == ((rows, 16), np.float32, np.float32)
        np.testing.assert_allclose(embedded, ours.embed_images(pixels), atol=EMBEDDING, rtol=0)
        np.testing.assert_allclose(features, ours.features(pixels), atol=FEATURE, rtol=0)


def test_a_result_stays_when_the_next_is_computed(backends):
    _, theirs = backends
    before = theirs.embed_images(drawn(3, 32))
    kept = before.copy()
    theirs.embed_images(drawn(8, 32)[:3])
    assert (before == kept).all()


def test_texts_and_matches_are_the_same_network(backends):
    ours, theirs = backends
    texts = ["a car", "a bus at night"]
    features = ours.features(drawn(2, 32))
    np.testing.assert_allclose(theirs.embed_texts(texts), ours.embed_texts(texts), rtol=0, atol=1e-6)
    np.testing.assert_allclose(theirs.itm_logits(features, texts), ours.itm_logits(features, texts), rtol=0, atol=1e-6)
    assert theirs.label == ours.label


def test_nothing_is_compiled_that_is_not_asked_for(tiny_model, tmp_path):
    from blip_udfs.blip.model import load

    blip = load(str(shutil.copytree(tiny_model, tmp_path / "copy")), backend="openvino")
    assert list(blip.vision._compiled) == []
    blip.embed_images(drawn(1, 32))
    assert list(blip.vision._compiled) == ["embed_images"]


@pytest.mark.endurance
def test_the_session_chooses(spark, use_model, once_tree, backends):
    ours, _ = backends
    query = f"SELECT image, blip_image_embed(image), blip_itm(image, 'a car') FROM read_once('{once_tree}') LIMIT 10"
    expected = sorted(spark.sql(query).collect())
    spark.sql("SET spark.blip.backend = openvino")
    try:
        got = sorted(spark.sql(query).collect())
        assert spark.sql("SELECT blip_model()").first()[0] == ours.label
    finally:
        spark.sql("RESET spark.blip.backend")
    assert [row[0] for row in got] == [row[0] for row in expected]
    vectors = [np.array([row[1] for row in rows]) for rows in (got, expected)]
    np.testing.assert_allclose(*vectors, atol=EMBEDDING, rtol=0)
    assert (vectors[0] != vectors[1]).any()  # the other engine's arithmetic
    np.testing.assert_allclose([row[2] for row in got], [row[2] for row in expected], atol=FEATURE, rtol=0)


def test_what_it_does_not_do_is_refused(tiny_model, monkeypatch):
    import torch

    from blip_udfs.blip import model

    assert refused(tiny_model, backend="onnx") == "backend 'onnx': expected one of torch, openvino"
    assert refused(tiny_model, dtype="bfloat16", backend="openvino") == (
        "backend openvino computes in float32, got bfloat16: "
        "SET spark.blip.dtype = float32 or spark.blip.backend = torch"
    )
    monkeypatch.setattr(model, "choose_device", lambda device: torch.device("cuda"))
    assert refused(tiny_model, device="cuda", dtype="float32", backend="openvino") == (
        "backend openvino runs on the CPU: SET spark.blip.device = cpu or spark.blip.backend = torch"
    )


def test_without_openvino_the_error_says_what_to_install(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    message = refused(shutil.copytree(tiny_model, tmp_path / "copy"), backend="openvino")
    assert message.startswith("backend openvino: ")
    assert message.endswith("; pip install openvino on the workers, or SET spark.blip.backend = torch")


def test_no_telemetry_no_output(tiny_model, tmp_path):
    code = (
        "import numpy as np, sys\n"
        "from blip_udfs.blip.model import load\n"
        f"blip = load({str(tiny_model)!r}, backend='openvino')\n"
        "blip.embed_images(np.zeros((1, 32, 32, 3), np.uint8))\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])\n"
    )
    environment = {"HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "[]\n"
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["loading", "loaded"]
    assert "(cpu, float32, openvino)" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.endurance
def test_base_at_384_px_equals_torch(tmp_path):
    from blip_udfs.blip.model import load
    from tests import random_blip

    text = {"num_attention_heads": 12, "vocab_size": 30524}
    folder = random_blip.write(tmp_path / "base", 0, {"image_size": 384}, text, embed_dim=256)
    ours, theirs = load(str(folder)), load(str(folder), backend="openvino")
    pixels = drawn(3, 384)
    np.testing.assert_allclose(theirs.embed_images(pixels), ours.embed_images(pixels), atol=EMBEDDING, rtol=0)
    np.testing.assert_allclose(theirs.features(pixels), ours.features(pixels), atol=FEATURE, rtol=0)
