"""A checkpoint's files are read as transformers reads them, or refused by file, key and value."""

import json
import shutil

import numpy as np
import pytest

from blip_udfs.blip import model
from blip_udfs.blip.checkpoint import ModelError, find
from blip_udfs.blip.processor import read_processor
from blip_udfs.files.images import normalise, pixels
from tests import random_blip, tiny_model
from tests.odd_images import encoded, noise

TEXTS = ["a Car at night", "", "an Überholung, caf\u00e9; 東京 bus", "a [ENC] b", "[DEC]car", "truck " * 60]
ENC_AT_71 = {"content": "[ENC]", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
WORDS = len(random_blip.VOCABULARY)  # 70; the table has two rows more, for [DEC] and [ENC]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def edit(file, **values):
    file.write_text(json.dumps((json.loads(file.read_text()) if file.exists() else {}) | values))


def refused(folder) -> str:
    with pytest.raises(ModelError) as error:
        model.build(find(str(folder)), "cpu")
    return str(error.value)


def same_pixels(folder) -> None:
    """What the network gets of an image, beside what transformers' own processor makes of it, bit for bit."""
    from transformers import AutoImageProcessor

    image = noise(50).resize((60, 41))
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    expected = np.asarray(processor(images=image, return_tensors="np")["pixel_values"], np.float32)
    ours = read_processor(find(str(folder)).preprocessor)
    got = normalise(pixels(encoded(image, "PNG"), ours.side)[None], ours.mean, ours.std, ours.rescale)
    assert got.shape == (1, 3, 32, 32)
    assert (got == expected).all()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_normalize": False},
        {"do_rescale": False},
        {"do_rescale": False, "do_normalize": False},
        {"do_rescale": False, "rescale_factor": 7},
        {"do_rescale": None, "do_pad": None, "do_center_crop": None},
        {"do_normalize": None, "image_mean": None, "image_std": None},
        {"rescale_factor": 1 / 127.5},
        {"rescale_factor": 1},
        {"image_mean": 0.5, "image_std": 0.25},
        {"image_mean": 0, "image_std": 1},
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]},
        {"do_normalize": False, "image_mean": [1, 2, 3]},
        {"size": 32},
        {"size": [32, 32]},
        {"size": {"width": 32, "height": 32}},
        {"do_center_crop": False, "crop_size": {"height": 8, "width": 8}},
        {"do_convert_rgb": None},
        {"image_processor_type": "BlipImageProcessorFast"},
        {"image_processor_type": None, "feature_extractor_type": "BlipFeatureExtractor"},
    ],
    ids=str,
)
def test_the_image_processors_settings_count_as_in_transformers(copy, settings):
    edit(copy / "preprocessor_config.json", **settings)
    same_pixels(copy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"do_resize": False}, "do_resize: expected true, got false"),
        ({"do_resize": None}, "do_resize: expected true, got null"),
        ({"resample": None}, "resample: expected 3 (bicubic), got null"),
        ({"image_mean": None}, "image_mean: expected a number or three, got null"),
        ({"rescale_factor": None}, "rescale_factor: expected a number, got null"),
        ({"resample": 2}, "resample: expected 3 (bicubic), got 2"),
        ({"resample": "bicubic"}, 'resample: expected 3 (bicubic), got "bicubic"'),
        ({"do_center_crop": True}, "do_center_crop: expected false, got true"),
        ({"do_pad": True}, "do_pad: expected false, got true"),
        ({"do_rescale": "no"}, 'do_rescale: expected true or false, got "no"'),
        ({"do_normalize": 0}, "do_normalize: expected true or false, got 0"),
        ({"rescale_factor": "1/255"}, 'rescale_factor: expected a number, got "1/255"'),
        ({"rescale_factor": float("nan")}, "rescale_factor: expected a number, got NaN"),
        ({"image_mean": [0.5]}, "image_mean: expected a number or three, got [0.5]"),
        ({"image_mean": []}, "image_mean: expected a number or three, got []"),
        ({"image_mean": ["a", "b", "c"]}, 'image_mean: expected a number or three, got ["a", "b", "c"]'),
        ({"image_mean": True}, "image_mean: expected a number or three, got true"),
        ({"image_std": [1, 0, 1]}, "image_std: expected a number or three, none of them 0, got [1, 0, 1]"),
        ({"image_std": 0}, "image_std: expected a number or three, none of them 0, got 0"),
        ({"size": {"shortest_edge": 32}}, 'size: expected height and width of a square in pixels, got {"shortest_e'),
        ({"size": {"height": 32, "width": 48}}, "size: expected height and width of a square in pixels, got"),
        ({"size": {"height": 32, "width": 32, "longest_edge": 9}}, "size: expected height and width of a square"),
        ({"size": [32]}, "size: expected height and width of a square in pixels, got [32]"),
        ({"size": "32"}, 'size: expected height and width of a square in pixels, got "32"'),
        ({"size": 32, "default_to_square": False}, "size: expected height and width of a square in pixels, got 32"),
        ({"size": 64}, "size: images of 64 px in the processor, 32 in the model"),
        ({"size": None}, "size: expected height and width of a square in pixels, got null"),
        ({"image_processor_type": "CLIPImageProcessor"}, 'image_processor_type: expected BlipImageProcessor, got "CL'),
        ({"image_processor_type": None, "feature_extractor_type": "ViTFeatureExtractor"}, "feature_extractor_type: "),
    ],
    ids=str,
)
def test_what_is_not_served_of_an_image_processor_is_refused_by_name(copy, settings, message):
    edit(copy / "preprocessor_config.json", **settings)
    assert refused(copy).startswith(f"{copy}/preprocessor_config.json: {message}")


def test_of_two_processor_files_the_one_that_transformers_takes_counts(copy):
    own, newer = copy / "preprocessor_config.json", copy / "processor_config.json"
    edit(own, image_mean=[0.1, 0.2, 0.3])
    edit(newer, processor_class="BlipProcessor")
    assert find(str(copy)).preprocessor == own
    same_pixels(copy)
    edit(newer, image_processor=json.loads(own.read_text()) | {"image_mean": 0.7})
    assert find(str(copy)).preprocessor == newer
    same_pixels(copy)
    own.unlink()
    same_pixels(copy)
    edit(newer, image_processor={"size": 32, "do_resize": False})
    assert refused(copy) == f"{newer}: do_resize: expected true, got false"
    edit(newer, image_processor={})
    assert refused(copy) == f"{newer}: size: images of 384 px in the processor, 32 in the model"
    edit(newer, image_processor="BlipImageProcessor")
    assert refused(copy).startswith(f"{newer}: image_processor: expected an object, got 'BlipImageProcessor'")
    newer.unlink()
    assert read_processor(find(str(copy)).preprocessor).mean[0] == 0.48145466


def cased(folder) -> None:
    words = [{"z": "Car", "##z": "caf\u00e9"}.get(word, word) for word in random_blip.VOCABULARY]
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer.json").unlink()


def with_settings(**settings):
    return lambda folder: edit(folder / "tokenizer_config.json", **settings)


def without_words_of_json(folder) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def cased_json(folder) -> None:
    edit(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    record = json.loads((folder / "tokenizer.json").read_text())
    record["normalizer"]["lowercase"] = False
    record["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_id": 4,
        "pad_type_id": 0,
        "pad_token": "x",
    }
    record["padding"]["pad_to_multiple_of"] = None
    (folder / "tokenizer.json").write_text(json.dumps(record))


def cased_vocabulary(**settings):
    def change(folder):
        cased(folder)
        edit(folder / "tokenizer_config.json", **settings)

    return change


def added_tokens(folder) -> None:
    (folder / "added_tokens.json").write_text(json.dumps({"[DEC]": 70, "[ENC]": 71}))


def special_tokens_map(folder) -> None:
    (folder / "tokenizer_config.json").unlink()
    (folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": ["[ENC]"]}))


TOKENIZERS = {  # how it is stored: the id of [ENC] where a text has it
    "tokenizer.json": (lambda folder: None, None),
    "vocab.txt alone": (without_words_of_json, None),
    "do_lower_case false": (with_settings(do_lower_case=False), None),
    "do_lower_case false, cased words": (cased_vocabulary(do_lower_case=False), None),
    "accents stay": (cased_vocabulary(strip_accents=False), None),
    "accents go, cased": (cased_vocabulary(do_lower_case=False, strip_accents=True), None),
    "Chinese not split": (with_settings(tokenize_chinese_chars=False), None),
    "tokenizer.json as it is": (cased_json, None),
    "Fast in its class": (with_settings(tokenizer_class="BertTokenizerFast"), None),
    "[ENC] among its settings": (with_settings(additional_special_tokens=["[ENC]"]), 70),
    "[DEC] and [ENC] among its settings": (
        with_settings(bos_token="[DEC]", additional_special_tokens=["[ENC]"]), 71
    ),
    "[ENC] by its id": (with_settings(added_tokens_decoder={"70": ENC_AT_71}), 70),
    "[ENC] in added_tokens.json": (added_tokens, 71),
    "[ENC] in special_tokens_map.json": (special_tokens_map, 70),
    "special tokens as text": (with_settings(split_special_tokens=True), None),
    "cut on the left": (with_settings(truncation_side="left"), None),
    "shorter by its own account": (with_settings(model_max_length=9), None),
}  # fmt: skip


@pytest.mark.parametrize("stored", TOKENIZERS)
def test_texts_become_the_ids_of_transformers_however_a_tokenizer_is_stored(copy, stored):
    from transformers import AutoTokenizer

    change, enc = TOKENIZERS[stored]
    change(copy)
    expected = AutoTokenizer.from_pretrained(copy)(TEXTS, padding="longest", truncation=True, max_length=35)
    ours = model.build(find(str(copy)), "cpu")
    ids, mask = ours.token_ids(TEXTS)
    assert ids.tolist() == expected["input_ids"]
    assert mask.tolist() == np.array(expected["attention_mask"], bool).tolist()
    assert (enc in ids[3].tolist()) == (enc is not None)
    assert set(ours.token_ids(TEXTS, "enc")[0][:, 0].tolist()) == {enc or WORDS + 1}


def test_case_counts(copy):
    cased_vocabulary(do_lower_case=False)(copy)
    ids, _ = model.build(find(str(copy)), "cpu").token_ids(["Car", "car"])
    words = (copy / "vocab.txt").read_text().split("\n")
    assert [words[row[1]] for row in ids] == ["Car", "car"]


def test_padding_on_the_left_leaves_cls_first(copy):
    edit(copy / "tokenizer_config.json", padding_side="left")
    ids, mask = model.build(find(str(copy)), "cpu").token_ids(["a", "a car at night"])
    assert ids[:, 0].tolist() == [2, 2]
    assert ids[0].tolist() == [2, 5, 3, 0, 0, 0]
    assert mask[0].tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"])
def test_a_tokenizers_settings_belong_to_the_digest(copy, file):
    before = (find(str(copy)).digest(), find(str(copy)).stamp)
    edit(copy / file, **({"do_lower_case": False} if "config" in file else {}))
    after = (find(str(copy)).digest(), find(str(copy)).stamp)
    assert (after[0] != before[0], after[1] != before[1]) == (True, True)


def test_enc_is_the_tokenizers_then_the_configurations_then_behind_dec(copy):
    config = json.loads((copy / "config.json").read_text())

    def enc(**text):
        edit(copy / "config.json", text_config=config["text_config"] | text)
        return model.build(find(str(copy)), "cpu").enc_token_id

    assert (enc(), enc(bos_token_id=60), enc(enc_token_id=33)) == (71, 61, 33)
    edit(copy / "tokenizer_config.json", additional_special_tokens=["[ENC]"])
    assert enc(enc_token_id=33) == 70
    edit(copy / "tokenizer_config.json", additional_special_tokens=[])
    config["text_config"] |= {"bos_token_id": None}
    assert enc() is None
    with pytest.raises(ModelError, match=r"has no \[ENC\].*SET spark.blip.itm.token = cls"):
        model.build(find(str(copy)), "cpu").token_ids(["a"], "enc")


def test_tokenizers_that_are_not_served_are_refused(copy):
    words, settings = copy / "tokenizer.json", copy / "tokenizer_config.json"
    kept = settings.read_text()
    edit(settings, extra_special_tokens=["[ENC]", "x1", "x2", "x3"])
    assert refused(copy).startswith(f"{words}: expected words for the model's table of 72 rows, got 'x3' as number 73;")
    settings.write_text("{")
    assert refused(copy).startswith(f"{words}: not a tokenizer with its settings: ")
    settings.write_text(json.dumps({"tokenizer_class": "BertJapaneseTokenizer"}))
    assert refused(copy).startswith(f"{words}: not a tokenizer with its settings: ")
    settings.write_text(json.dumps(json.loads(kept) | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    edit(words, post_processor=None)
    assert refused(copy) == f"{words}: expected a tokenizer that begins each text with [CLS], got []"
    words.write_text("{}")
    assert refused(copy).startswith(f"{words}: not a tokenizer with its settings: ")


def test_sides_may_be_pairs_and_texts_need_their_positions(copy):
    config = json.loads((copy / "config.json").read_text())
    edit(copy / "config.json", vision_config=config["vision_config"] | {"image_size": [32, 32], "patch_size": [8, 8]})
    assert model.build(find(str(copy)), "cpu").image_size == 32
    edit(copy / "config.json", vision_config=config["vision_config"] | {"image_size": [32, 48]})
    message = f"{copy}/config.json: vision_config: image_size: expected one number, or the same twice, got [32, 48]"
    assert refused(copy) == message
    edit(copy / "config.json", text_config=config["text_config"] | {"max_position_embeddings": 34})
    assert "text_config: expected max_position_embeddings of 35 or more" in refused(copy)


def test_another_family_is_a_module_and_an_entry(copy, monkeypatch):
    def loader(files, device, dtype, backend):
        return files.name, str(device), str(dtype), backend

    edit(copy / "config.json", model_type="other")
    assert refused(copy) == f"{copy}/config.json: expected a BLIP model for retrieval, got model_type 'other'"
    monkeypatch.setitem(model.FAMILIES, "other", loader)
    assert model.build(find(str(copy)), "cpu") == ("copy", "cpu", "torch.float32", "torch")


def test_a_hub_model_with_only_a_pickle_says_that(copy, monkeypatch):
    import huggingface_hub

    (copy / "model.safetensors").unlink()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: str(copy))
    there = ["README.md", "config.json", "pytorch_model.bin"]
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda api, name: there)
    with pytest.raises(ModelError, match="'some/model': expected model.safetensors in .*, found pytorch_model.bin, "):
        find("some/model")
    there.pop()
    with pytest.raises(ModelError, match="expected model.safetensors in .*, found none; is the copy complete"):
        find("some/model")
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda api, name: 1 // 0)
    with pytest.raises(ModelError, match="expected model.safetensors in .*, found none; is the copy complete"):
        find("some/model")
