"""Original checkpoints, made here from random weights in the original key layout, to Hugging Face folders."""

import json
import pickle
import re

import numpy as np
import pytest
from click.testing import CliRunner

from tests import random_blip

VISION = {"image_size": 48, "patch_size": 16, "hidden_size": 128, "num_hidden_layers": 2, "intermediate_size": 32}
TEXT = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 40, "max_position_embeddings": 40}
OLD = [
    ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
    ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
    ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
    ("vision_model.post_layernorm", "visual_encoder.norm"),
    ("vision_model.encoder.layers", "visual_encoder.blocks"),
    ("self_attn.projection", "attn.proj"),
    ("self_attn.qkv", "attn.qkv"),
    ("layer_norm1", "norm1"),
    ("layer_norm2", "norm2"),
]


def original_name(key: str) -> str:
    for new, old in OLD:
        key = key.replace(new, old)
    return key


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    heads = {"num_attention_heads": 2}, {"num_attention_heads": 1}  # width / 64
    return random_blip.write(tmp_path_factory.mktemp("hf") / "model", 5, VISION | heads[0], TEXT | heads[1], 24)


@pytest.fixture
def weights(folder):
    """As training saves them: momentum copies, queues and the temperature beside what inference needs."""
    import torch
    from safetensors.torch import load_file

    own = {original_name(key): value for key, value in load_file(folder / "model.safetensors").items()}
    parts = ("visual_encoder", "text_encoder", "vision_proj", "text_proj")
    momentum = {f"{k.split('.')[0]}_m.{k.split('.', 1)[1]}": v for k, v in own.items() if k.split(".")[0] in parts}
    queues = {name: torch.zeros(24, 6) for name in ("image_queue", "text_queue", "idx_queue", "ptr_queue", "queue_ptr")}
    ids = {"text_encoder.embeddings.position_ids": torch.arange(40)[None], "temp": torch.tensor(0.07)}
    return own | momentum | queues | ids


def saved(weights, tmp_path, wrap=True):
    import torch

    torch.save({"model": weights, "epoch": 3} if wrap else weights, tmp_path / "model.pth")
    return tmp_path / "model.pth"


@pytest.mark.parametrize("wrap", [True, False])
def test_converted_weights_and_values_are_the_same(folder, weights, tmp_path, wrap):
    from blip_udfs.blip.convert import convert
    from blip_udfs.blip.model import load

    convert(saved(weights, tmp_path, wrap), tmp_path / "out", None, folder / "vocab.txt")
    ours, reference = load(str(tmp_path / "out")), load(str(folder))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    texts = ["a car at night", "bus"]
    np.testing.assert_allclose(ours.embed_images(pixels), reference.embed_images(pixels), rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.embed_texts(texts), reference.embed_texts(texts), rtol=0, atol=1e-6)
    features = ours.features(pixels)
    np.testing.assert_allclose(
        ours.itm_logits(features, texts), reference.itm_logits(features, texts), rtol=0, atol=1e-6
    )


def test_transformers_reads_the_folder_as_we_do(folder, weights, tmp_path):
    from blip_udfs.blip.convert import convert
    from blip_udfs.blip.model import load

    convert(saved(weights, tmp_path), tmp_path / "out", None, folder / "vocab.txt")
    ours, reference = load(str(tmp_path / "out")), random_blip.Reference(tmp_path / "out")
    pixels = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    assert abs(ours.embed_images(pixels) - reference.embed_images(pixels)).max() < 1e-5
    assert abs(ours.embed_texts(["a car"]) - reference.embed_texts(["a car"])).max() < 1e-5


def test_config_of_the_folder(folder, weights, tmp_path):
    from blip_udfs.blip.convert import convert

    said = tmp_path / "said.json"
    said.write_text(
        json.dumps({"vision": {"num_attention_heads": 4}, "enc_token_id": 7, "text": {"layer_norm_eps": 1e-9}})
    )
    convert(saved(weights, tmp_path), tmp_path / "out", said, folder / "vocab.txt")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    rows = len(random_blip.VOCABULARY) + 2
    assert config["vision_config"] | {"num_attention_heads": 4, "layer_norm_eps": 1e-6} == config["vision_config"]
    assert config["text_config"] | TEXT | {"num_attention_heads": 1, "layer_norm_eps": 1e-9} == config["text_config"]
    assert (
        config["text_config"] | {"bos_token_id": rows - 2, "enc_token_id": 7, "sep_token_id": 3}
        == config["text_config"]
    )
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }


def refused(folder, tmp_path, checkpoint, config=None, vocab="vocab.txt") -> str:
    from blip_udfs.blip.convert import convert
    from blip_udfs.blip.model import ModelError

    with pytest.raises(ModelError) as error:
        convert(checkpoint, tmp_path / "out", config, vocab and folder / vocab)
    assert not (tmp_path / "out").exists()
    return str(error.value)


def test_missing_and_unknown_weights_are_named(folder, weights, tmp_path):
    weights["visual_encoder.blocks.0.attn.extra"] = weights.pop("text_encoder.encoder.layer.1.output.dense.bias")
    message = refused(folder, tmp_path, saved(weights, tmp_path))
    assert "1 missing: text_encoder.encoder.layer.1.output.dense.bias" in message
    assert "1 unknown: visual_encoder.blocks.0.attn.extra" in message


def test_a_missing_layer_is_named_as_the_original_names_it(folder, weights, tmp_path):
    del weights["visual_encoder.blocks.1.attn.qkv.bias"]
    assert "1 missing: visual_encoder.blocks.1.attn.qkv.bias" in refused(folder, tmp_path, saved(weights, tmp_path))


def test_another_checkpoint_is_refused(folder, tmp_path):
    import torch

    message = refused(folder, tmp_path, saved({"layer.weight": torch.zeros(2)}, tmp_path))
    assert "expected a BLIP retrieval checkpoint" in message
    assert "got layer.weight" in message


def made(folder, tmp_path, record, vocab=None, name="out", config=None):
    """The folder that `record`, saved, becomes."""
    import torch

    from blip_udfs.blip.convert import convert

    torch.save(record, tmp_path / "model.pth")
    convert(tmp_path / "model.pth", tmp_path / name, config, vocab or folder / "vocab.txt")
    return tmp_path / name


def is_the_same(folder, converted) -> None:
    from safetensors.torch import load_file

    ours, expected = (load_file(each / "model.safetensors") for each in (converted, folder))
    assert ours.keys() == expected.keys()
    assert all((ours[key] == expected[key]).all() for key in expected)


def prefixed(weights, prefix):
    return {prefix + key: value for key, value in weights.items()}


DECODER = "text_decoder.bert.embeddings.word_embeddings.weight"
WRAPPINGS = {
    "DDP": lambda weights: {"model": prefixed(weights, "module.")},
    "Lightning": lambda weights: {"state_dict": prefixed(weights, "model."), "pytorch-lightning_version": "2"},
    "Lightning with a loss of its own": lambda weights: {
        "state_dict": prefixed(weights, "model.") | {"loss.weight": weights["itm_head.bias"]}
    },
    "compiled, in DDP": lambda weights: {"model": prefixed(weights, "module._orig_mod.")},
    "DeepSpeed": lambda weights: {"module": prefixed(weights, "model."), "epoch": 3},
    "nested twice": lambda weights: {"state_dict": {"model": weights}},
    "optimizer beside it": lambda weights: {"model_state_dict": weights, "optimizer": {"state": {}}, "lr": 0.1},
    "pretrained, with a decoder": lambda weights: {
        "model": weights | dict.fromkeys((DECODER, DECODER.replace("der.", "der_m.")), weights["itm_head.bias"])
    },
    "half precision": lambda weights: {
        "model": {k: v if v.dtype.is_floating_point is False else v.double() for k, v in weights.items()}
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_weights_are_found_under_whatever_names_training_saved_them(folder, weights, tmp_path, wrapping):
    is_the_same(folder, made(folder, tmp_path, WRAPPINGS[wrapping](weights)))


def test_of_two_models_none_is_guessed(folder, weights, tmp_path):
    record = prefixed(weights, "student.") | prefixed(weights, "teacher.")
    message = refused(folder, tmp_path, saved(record, tmp_path))
    assert message.endswith("expected the weights of one model, got those of student., teacher.")


def padded(weights, rows):
    import torch

    key = "text_encoder.embeddings.word_embeddings.weight"
    return weights | {key: torch.cat([weights[key], torch.ones(rows - len(weights[key]), weights[key].shape[1])])}


def test_padding_of_the_word_table_changes_no_logit(folder, weights, tmp_path):
    from blip_udfs.blip.model import load

    out = made(folder, tmp_path, padded(weights, 128))
    ours, reference = load(str(out)), load(str(folder))
    config = json.loads((out / "config.json").read_text())["text_config"]
    words = len(random_blip.VOCABULARY)
    assert (config["vocab_size"], config["bos_token_id"], config["enc_token_id"]) == (128, words, words + 1)
    features = ours.features(np.random.default_rng(2).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8))
    texts = ["a car at night", "bus"]
    np.testing.assert_allclose(
        ours.itm_logits(features, texts), reference.itm_logits(features, texts), rtol=0, atol=1e-6
    )


def test_dec_and_enc_among_the_words_are_those(folder, weights, tmp_path):
    words = [{"##q": "[ENC]", "##r": "[DEC]"}.get(word, word) for word in random_blip.VOCABULARY]
    (tmp_path / "words.txt").write_text("\n".join(words) + "\n")
    out = made(folder, tmp_path, weights, tmp_path / "words.txt")
    config = json.loads((out / "config.json").read_text())["text_config"]
    assert (words[config["bos_token_id"]], words[config["enc_token_id"]]) == ("[DEC]", "[ENC]")
    (tmp_path / "said.json").write_text(json.dumps({"enc_token_id": 7}))
    with pytest.raises(ValueError, match=r"--config says enc_token_id = 7, .*words.txt has \[ENC\] as number \d+"):
        made(folder, tmp_path, weights, tmp_path / "words.txt", "other", tmp_path / "said.json")


def test_a_table_without_rows_for_enc_is_refused(folder, weights, tmp_path):
    key = "text_encoder.embeddings.word_embeddings.weight"
    words = len(random_blip.VOCABULARY)
    message = refused(folder, tmp_path, saved(weights | {key: weights[key][:words]}, tmp_path))
    assert f"expected at most {words} words, as the checkpoint's table has rows" in message
    assert message.endswith(f"and room for [DEC] and [ENC], got {words}")


CASES = {  # of the words, and in the settings beside them: tokens of "a Car", and what is said of it
    "uncased": ({}, None, ["a", "car"], ""),
    "cased words": ({"##z": "Car"}, None, ["a", "Car"], "taken for a cased vocabulary, for it has 'Car'"),
    "said to be cased": ({"##z": "Car"}, {"do_lower_case": False}, ["a", "Car"], ""),
    "said to be uncased": ({"##z": "Car"}, {"do_lower_case": True}, ["a", "car"], ""),
    "cased by what is said alone": ({}, {"do_lower_case": False}, ["a", "[UNK]"], ""),
    "other settings": ({}, {"strip_accents": False, "tokenize_chinese_chars": False}, ["a", "car"], ""),
}


@pytest.mark.parametrize("case", CASES)
def test_a_vocabulary_keeps_its_case(folder, weights, tmp_path, case, capsys):
    from blip_udfs.blip.model import load

    changed, settings, tokens, said = CASES[case]
    words = [changed.get(word, word) for word in random_blip.VOCABULARY]
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "vocab.txt").write_text("\n".join(words))
    if settings is not None:
        (tmp_path / "words" / "tokenizer_config.json").write_text(json.dumps(settings))
    out = made(folder, tmp_path, weights, tmp_path / "words" / "vocab.txt")
    assert said in (error := capsys.readouterr().err)
    assert said or "vocabulary" not in error
    ids, _ = load(str(out)).token_ids(["a Car"])
    assert [words[each] for each in ids[0, 1:-1]] == tokens
    written = json.loads((out / "tokenizer_config.json").read_text())
    assert written | (settings or {}) == written


def of_a_page(file):
    file.write_bytes(b"<html>404</html>")


def of_zeros_as_large_as_a_checkpoint(file):
    with file.open("wb") as sparse:
        sparse.truncate(100 << 20)


def with_a_namespace(file):
    import argparse

    import torch

    torch.save({"model": {"x": torch.zeros(1)}, "args": argparse.Namespace(lr=1)}, file)


FILES = {
    "a page": (of_a_page, "it begins with b'<html>404</html>', as no checkpoint does; was a page saved in its place?"),
    "zeros": (of_zeros_as_large_as_a_checkpoint, r"it begins with b'(\\x00)+', as no checkpoint does"),
    "nothing": (lambda file: file.write_bytes(b""), "it is empty"),
    "half a pickle": (lambda file: file.write_bytes(pickle.dumps([1] * 99)[:50]), r"it is damaged or cut off \(50 by"),
    "half an archive": (lambda file: file.write_bytes(b"PK\3\4" + bytes(99)), r"it is damaged or cut off \(103 by"),
    "a namespace": (with_a_namespace, "it holds argparse.Namespace beside the weights, which is code, and that is not"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line_that_names_the_cause(folder, tmp_path, kind):
    from blip_udfs.cli import main

    write, reason = FILES[kind]
    write(tmp_path / "model.pth")
    words = ["convert", str(tmp_path / "model.pth"), str(tmp_path / "out"), "--vocab", str(folder / "vocab.txt")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert re.match(f"Error: {tmp_path}/model.pth: not a PyTorch checkpoint of weights only: {reason}", done.output)
    assert done.output.count("\n") == 1
    assert "weights_only" not in done.output


def test_a_checkpoint_by_transformers_names_needs_no_conversion(folder, tmp_path):
    from safetensors.torch import load_file

    message = refused(folder, tmp_path, saved(load_file(folder / "model.safetensors"), tmp_path))
    assert message.endswith("...; those are transformers' names, which need no conversion")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_with_code_is_not_run(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    (tmp_path / "model.pth").write_bytes(pickle.dumps({"model": Evil()}))
    assert "not a PyTorch checkpoint of weights only" in refused(folder, tmp_path, tmp_path / "model.pth")
    assert not (tmp_path / "ran").exists()


def test_a_truncated_checkpoint_is_refused(folder, weights, tmp_path):
    file = saved(weights, tmp_path)
    file.write_bytes(file.read_bytes()[:5000])
    assert "not a PyTorch checkpoint of weights only" in refused(folder, tmp_path, file)


def test_config_cannot_contradict_the_weights(folder, weights, tmp_path):
    said = tmp_path / "said.json"
    for record, message in (
        ({"text": {"hidden_size": 768}}, "--config says text.hidden_size = 768, the weights 64"),
        ({"image_size": 384}, "--config says image_size = 384, the weights 48"),
        ({"embed_dim": 256}, "--config says embed_dim = 256, the weights 24"),
    ):
        said.write_text(json.dumps(record))
        assert message in refused(folder, tmp_path, saved(weights, tmp_path), said)


def test_a_vocabulary_that_does_not_fit_is_refused(folder, weights, tmp_path):
    (folder / "large.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", *map(str, range(900))]))
    message = refused(folder, tmp_path, saved(weights, tmp_path), vocab="large.txt")
    assert "got 903 without [SEP]" in message


def test_without_network_or_vocab_the_error_says_what_to_do(folder, weights, tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    message = refused(folder, tmp_path, saved(weights, tmp_path), vocab=None)
    assert "google-bert/bert-base-uncased could not be downloaded" in message
    assert "--vocab FILE" in message
