"""Loading: what is refused and why, digests, caching; texts, probabilities, stored features."""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from tests import random_blip

TEXTS = ["a car", "a bus at night", "a car", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    vision = {"image_size": 32, "patch_size": 16, "num_attention_heads": 2, "hidden_size": 16, "num_hidden_layers": 2}
    text = {"num_attention_heads": 2, "hidden_size": 16, "num_hidden_layers": 2, "max_position_embeddings": 40}
    sizes = {"intermediate_size": 32}
    return random_blip.write(tmp_path_factory.mktemp("models") / "small", 3, vision | sizes, text | sizes, 8)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture
def blip(folder):
    from blip_udfs.blip.model import load

    return load(str(folder))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def refused(name, **how) -> str:
    from blip_udfs.blip.model import ModelError, load

    with pytest.raises(ModelError) as error:
        load(str(name), **how)
    return str(error.value)


def edit(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_label_says_name_and_content(blip, folder):
    assert blip.label == f"small@{blip.digest}"
    assert len(blip.digest) == 12
    assert (blip.image_size, blip.embed_dim, blip.batch_size) == (32, 8, 8)


def test_the_digest_is_of_content_not_of_place(folder, copy):
    from blip_udfs.blip.checkpoint import find

    before = find(str(copy)).digest()
    assert before == find(str(folder)).digest()
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert find(str(copy)).digest() != before


def test_loaded_once_and_said_once(copy, capfd):
    from blip_udfs.blip.model import load

    models = []
    threads = [threading.Thread(target=lambda: models.append(load(str(copy)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(model) for model in models}) == 1
    said = capfd.readouterr().err
    assert said.count("blip_udfs: loaded") == 1
    assert f"blip_udfs: loaded copy@{models[0].digest} from {copy} (cpu, float32) in" in said


def test_a_replaced_model_is_loaded_anew(copy):
    from blip_udfs.blip.model import load

    before = load(str(copy))
    edit(copy / "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    after = load(str(copy))
    assert (after.processor.mean, after.digest == before.digest) == ((0.5, 0.5, 0.5), False)


def test_weights_stay_mapped_from_their_file(blip, folder):
    mapped = [line for line in open("/proc/self/maps") if str(folder / "model.safetensors") in line]  # noqa: PTH123, SIM115
    assert mapped


def test_failures_are_clear(copy, tmp_path):
    assert refused(tmp_path / "none").startswith(f"model '{tmp_path}/none': expected demo, a folder that exists, or")
    (tmp_path / "empty").mkdir()
    assert "expected config.json in" in refused(tmp_path / "empty")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert "found pytorch_model.bin, which is a pickle and is not read" in refused(copy)


def test_another_architecture_is_refused(copy):
    edit(copy / "config.json", model_type="clip")
    assert "expected a BLIP model for retrieval, got model_type 'clip'" in refused(copy)


def test_weights_of_another_blip_are_refused(copy):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    del weights["itm_head.bias"]
    weights["text_decoder.x"] = weights["itm_head.weight"].clone()
    save_file(weights, copy / "model.safetensors")
    assert refused(copy).endswith("1 missing (itm_head.bias), 1 unexpected (text_decoder.x)")


def test_half_a_download_is_refused(copy):
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert "not a complete safetensors file" in refused(copy)


def test_sizes_that_do_not_fit_are_refused(copy):
    record = json.loads((copy / "config.json").read_text())
    record["text_config"]["intermediate_size"] = 64
    edit(copy / "config.json", **record)
    assert "weights do not fit config.json" in refused(copy)


def test_a_processor_of_another_size_is_refused(copy):
    edit(copy / "preprocessor_config.json", size={"height": 64, "width": 64})
    assert "images of 64 px in the processor, 32 in the model" in refused(copy)


@pytest.mark.parametrize(
    ("device", "gpus", "cuda", "expected"),
    [
        ("auto", ["3", "4"], True, "cuda:3"),
        ("cuda", ["1"], True, "cuda:1"),
        ("cpu", ["1"], True, "cpu"),
        ("cuda:0", ["1"], True, "cuda:0"),
        ("auto", ["1"], False, "auto"),
        ("auto", [], True, "auto"),
    ],
)
def test_a_task_runs_on_the_gpu_that_spark_gave_it(monkeypatch, device, gpus, cuda, expected):
    import torch

    from blip_udfs.blip.model import device_of_task

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert device_of_task(device, gpus) == expected


def test_devices_and_dtypes_that_do_not_exist(folder):
    import torch

    if not torch.cuda.is_available():
        assert "device 'cuda' is not available here, only" in refused(folder, device="cuda")
    assert "dtype 'int8': expected auto, float32" in refused(folder, dtype="int8")


def test_a_failure_is_not_tried_again_for_each_row(tmp_path, monkeypatch):
    from blip_udfs.blip import model

    refused(tmp_path / "missing")
    monkeypatch.setattr(model, "find", lambda name: pytest.fail("tried again"))
    refused(tmp_path / "missing")


def test_a_hub_id_without_network_is_a_clear_error():
    message = refused("nobody/no-such-model")
    assert "the Hugging Face hub did not give it" in message
    assert "copy its folder to the workers" in message


def test_allowed_models(folder, copy, monkeypatch):
    from blip_udfs.blip.checkpoint import ModelError, find

    monkeypatch.setenv("BLIP_ALLOWED_MODELS", f"demo, Salesforce/blip-itm-base-coco, {folder.parent}")
    assert find(str(folder)).folder == folder
    for name in (str(copy), f"{folder.parent}/../x", "Salesforce/other"):
        with pytest.raises(ModelError, match="is not allowed here, only demo, Salesforce/blip-itm-base-coco"):
            find(name)


def test_sharded_weights_and_a_bare_vocabulary_give_the_same(folder, copy, pixels, blip):
    from safetensors.torch import load_file, save_file

    from blip_udfs.blip.model import load

    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    halves = {"a.safetensors": sorted(weights)[::2], "b.safetensors": sorted(weights)[1::2]}
    for name, keys in halves.items():
        save_file({key: weights[key] for key in keys}, copy / name)
    where = {key: name for name, keys in halves.items() for key in keys}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (copy / "tokenizer.json").unlink()
    other = load(str(copy))
    np.testing.assert_allclose(other.embed_images(pixels), blip.embed_images(pixels), rtol=0, atol=1e-6)
    np.testing.assert_allclose(other.embed_texts(TEXTS), blip.embed_texts(TEXTS), rtol=0, atol=1e-6)


def test_half_precision_weights_are_computed_in_float32(copy, pixels, blip):
    from safetensors.torch import load_file, save_file

    from blip_udfs.blip.model import load

    weights = load_file(copy / "model.safetensors")
    save_file({key: value.half() for key, value in weights.items()}, copy / "model.safetensors")
    half = load(str(copy))
    assert str(half.dtype) == "torch.float32"
    assert abs(half.embed_images(pixels) - blip.embed_images(pixels)).max() < 2e-2


def test_bfloat16_on_request(folder, pixels, blip):
    from blip_udfs.blip.model import load

    ours = load(str(folder), "cpu", "bfloat16").embed_images(pixels)
    assert ours.dtype == np.float32
    assert (ours * blip.embed_images(pixels)).sum(1).min() > 0.99


def test_batches_do_not_change_a_row(blip, pixels):
    features = blip.features(pixels)
    together = blip.itm_logits(features, TEXTS)
    alone = np.concatenate([blip.itm_logits(features[i : i + 1], [text]) for i, text in enumerate(TEXTS)])
    assert abs(together - alone).max() < 1e-5
    embedded = np.concatenate([blip.embed_texts([text]) for text in TEXTS])
    assert abs(blip.embed_texts(TEXTS) - embedded).max() < 1e-6
    images = np.concatenate([blip.embed_images(pixels[i : i + 1]) for i in range(4)])
    assert abs(blip.embed_images(pixels) - images).max() < 1e-6


def test_no_texts_give_no_rows(blip, pixels):
    assert blip.embed_texts([]).shape == (0, 8)
    assert blip.itm_logits_of_many(blip.features(pixels[:1])[0], []).shape == (0, 2)


def test_tokens_differ_in_the_first_id_alone(blip):
    cls, mask = blip.token_ids(TEXTS)
    enc, same = blip.token_ids(TEXTS, "enc")
    assert (cls[:, 0] == 2).all()
    assert (enc[:, 0] == blip.vocabulary - 1).all()
    assert (cls[:, 1:] == enc[:, 1:]).all()
    assert (mask == same).all()


def test_long_texts_are_cut_at_35_tokens(blip):
    ids, _ = blip.token_ids(["car " * 50])
    assert ids.shape == (1, 35)
    assert ids[0, -1] == 3  # [SEP] stays


def test_a_model_without_enc_says_so(copy):
    from blip_udfs.blip.model import ModelError, load

    record = json.loads((copy / "config.json").read_text())
    record["text_config"]["bos_token_id"] = record["text_config"]["vocab_size"] - 1
    edit(copy / "config.json", **record)
    with pytest.raises(ModelError, match=r"has no \[ENC\].* SET spark.blip.itm.token = cls"):
        load(str(copy)).token_ids(["a car"], "enc")


def test_wrong_arguments_are_named(blip, pixels):
    features = blip.features(pixels)
    with pytest.raises(ValueError, match="expected a text for each of 4 images, got 1"):
        blip.itm_logits(features, ["a car"])
    with pytest.raises(ValueError, match="expected uint8 pixels"):
        blip.embed_images(pixels.astype(np.float32))


def test_strong_matches_do_not_tie(blip):
    logits = np.array([[0, 20], [0, 21], [0, 30], [0, -800], [800, 0], [1, 1]], np.float32)
    probability = blip.match_probability(logits)
    assert probability.dtype == np.float64
    assert probability[0] < probability[1] < probability[2] < 1
    assert list(probability[3:]) == [0, 0, 0.5]


def test_features_round_trip_through_bytes(blip, pixels):
    from blip_udfs.blip.features import is_features, unpack_features

    features = blip.features(pixels)
    blobs = [blip.pack(each) for each in features]
    assert all(map(is_features, blobs))
    stored = np.stack([unpack_features(blob, blip.digest) for blob in blobs])
    assert (stored == features.astype(np.float16)).all()
    assert abs(blip.itm_logits(stored, TEXTS) - blip.itm_logits(features, TEXTS)).max() < 0.02
    assert abs(blip.embed_features(stored) - blip.embed_images(pixels)).max() < 0.005


def test_stored_features_say_what_they_are():
    from blip_udfs.blip.features import ImageError, pack_features, unpack_features

    blob = pack_features(np.arange(6.0).reshape(2, 3), "0123456789ab")
    assert len(blob) == 32 + 12
    view = unpack_features(blob, "0123456789ab")
    assert view.base is not None
    assert not view.flags.writeable
    assert view.tolist() == [[0, 1, 2], [3, 4, 5]]
    cases = {
        blob[:-1]: "patch features of 2 x 3: expected 44 bytes, got 43",
        blob[:20]: "header of 32 bytes, got 20",
        blob[:8] + b"\2" + blob[9:]: "version 2, dtype 1: expected version 1",
        b"JPEG" + blob: "expected patch features",
    }
    for broken, message in cases.items():
        with pytest.raises(ImageError, match=message):
            unpack_features(broken)
    with pytest.raises(ImageError, match="made by model 0123456789ab, the session's is ffffffffffff"):
        unpack_features(blob, "f" * 12)
    with pytest.raises(ImageError, match="exceed half precision"):
        pack_features(np.full((1, 1), 1e6), "0123456789ab")


def test_threads_can_be_set():
    import torch

    from blip_udfs.blip.model import set_threads

    before = torch.get_num_threads()
    set_threads(1)
    assert torch.get_num_threads() == 1
    set_threads(before)


def test_loading_needs_no_model_code_of_transformers(folder):
    code = f"import sys; from blip_udfs.blip.model import load; load({str(folder)!r}).embed_texts(['a car']); "
    code += "print([name for name in sys.modules if name.endswith(('modeling_utils', 'modeling_blip'))])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
