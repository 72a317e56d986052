"""An original Salesforce retrieval checkpoint (.pth) -> a Hugging Face folder of BlipForImageTextRetrieval."""

from __future__ import annotations

import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

from blip_udfs.checkpoint import ModelError, existing, read_json

VISION_EPS, TEXT_EPS = 1e-6, 1e-12  # models/vit.py and configs/med_config.json of the original code
VOCABULARY = "google-bert/bert-base-uncased"  # what the original init_tokenizer() takes
HEAD = 64  # width of an attention head in every published BLIP
# momentum copies, queues of negatives and the temperature serve training alone; position_ids are 0, 1, 2, ...
TRAINING = re.compile(r"^(visual_encoder|text_encoder|vision_proj|text_proj)_m\.|_queue$|_ptr$|^ptr_queue$|^temp$|ids$")
VISION = "visual_encoder."
RENAMED = (  # inside the vision encoder, original and transformers; the text encoder and the heads keep their names
    ("cls_token", "embeddings.class_embedding"),
    ("pos_embed", "embeddings.position_embedding"),
    ("patch_embed.proj.", "embeddings.patch_embedding."),
    ("norm.", "post_layernorm."),
    ("blocks.", "encoder.layers."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".attn.qkv.", ".self_attn.qkv."),
    (".attn.proj.", ".self_attn.projection."),
)


def convert(checkpoint: Path, folder: Path, config: Path | None = None, vocab: Path | None = None) -> None:
    """Writes config.json, model.safetensors, the tokenizer and preprocessor_config.json to `folder`.

    Sizes come from the weights and heads from width / 64. `config` (JSON: vision, text, bos_token_id, enc_token_id)
    says what the weights cannot; `vocab` is a WordPiece vocabulary, one word a line, by default bert-base-uncased's
    from the hub. Raises ModelError when the checkpoint is no BLIP retrieval model, or `config` contradicts it.
    """
    from safetensors.torch import save_file

    weights = read_checkpoint(checkpoint)
    record = configuration(weights, read_json(existing(config, str(checkpoint))) if config else {})
    renamed = {rename(key): value for key, value in weights.items()}
    check_complete(renamed, weights, record, checkpoint)
    words = existing(vocab, str(checkpoint)) if vocab else download_vocabulary()
    record["text_config"] |= special_ids(words, record["text_config"]["vocab_size"])
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(words, folder)
    write_json(folder / "preprocessor_config.json", processor(record["vision_config"]["image_size"]))
    write_json(folder / "config.json", record)
    unfinished = folder / "model.safetensors.unfinished"
    save_file({key: value.contiguous().clone() for key, value in renamed.items()}, unfinished, {"format": "pt"})
    unfinished.replace(folder / "model.safetensors")


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """The tensors that inference needs, in float32. No code of the file is run: weights_only."""
    import torch

    try:
        record = torch.load(existing(checkpoint, str(checkpoint)), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[:1]
        raise ModelError(f"{checkpoint}: not a PyTorch checkpoint of weights only: {' '.join(reason)}") from error
    weights = record.get("model", record) if isinstance(record, dict) else {}
    kept = {k: v.float() for k, v in weights.items() if isinstance(v, torch.Tensor) and not TRAINING.search(k)}
    if not {VISION + "cls_token", VISION + "pos_embed", "vision_proj.weight", "itm_head.weight"} <= kept.keys():
        shown = ", ".join(sorted(map(str, weights))[:3]) or "no weights"
        raise ModelError(
            f"{checkpoint}: expected a BLIP retrieval checkpoint with visual_encoder, text_encoder, vision_proj, "
            f"text_proj and itm_head, got {shown}, ..."
        )
    return kept


def rename(key: str) -> str:
    """An original name as transformers has it."""
    if not key.startswith(VISION):
        return key
    for old, new in RENAMED:
        key = key.replace(old, new)
    return "vision_model." + key.removeprefix(VISION)


def original_name(key: str) -> str:
    """The way back, for messages."""
    if not key.startswith("vision_model."):
        return key
    for old, new in reversed(RENAMED):
        key = key.replace(new, old)
    return VISION + key.removeprefix("vision_model.")


def configuration(weights: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """config.json as transformers reads it, from shapes and from what --config says."""
    try:
        seen = {"vision": vision_sizes(weights), "text": text_sizes(weights)}
    except KeyError as error:
        raise ModelError(f"not a BLIP retrieval checkpoint: {error.args[0]} is missing") from None
    rows = seen["text"]["vocab_size"]
    check_said(seen, said, weights["vision_proj.weight"].shape[0])
    vision = seen["vision"] | {"layer_norm_eps": VISION_EPS} | said.get("vision", {})
    text = seen["text"] | {"layer_norm_eps": TEXT_EPS} | said.get("text", {})
    ids = {"bos_token_id": said.get("bos_token_id", rows - 2), "enc_token_id": said.get("enc_token_id", rows - 1)}
    return {
        "architectures": ["BlipForImageTextRetrieval"],
        "model_type": "blip",
        "image_text_hidden_size": weights["vision_proj.weight"].shape[0],
        "vision_config": vision | {"model_type": "blip_vision_model", "hidden_act": "gelu"},
        "text_config": text | ids | {"model_type": "blip_text_model", "hidden_act": "gelu"},
    }


def layers(weights: dict[str, Any], prefix: str) -> int:
    return len({key.removeprefix(prefix).split(".")[0] for key in weights if key.startswith(prefix)})


def vision_sizes(weights: dict[str, Any]) -> dict[str, int]:
    width, patch = weights[VISION + "cls_token"].shape[-1], weights[VISION + "patch_embed.proj.weight"].shape[-1]
    return {
        "image_size": math.isqrt(weights[VISION + "pos_embed"].shape[1] - 1) * patch,
        "patch_size": patch,
        "hidden_size": width,
        "intermediate_size": weights[VISION + "blocks.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": layers(weights, VISION + "blocks."),
        "num_attention_heads": max(1, width // HEAD),
    }


def text_sizes(weights: dict[str, Any]) -> dict[str, int]:
    rows, width = weights["text_encoder.embeddings.word_embeddings.weight"].shape
    return {
        "vocab_size": rows,
        "max_position_embeddings": weights["text_encoder.embeddings.position_embeddings.weight"].shape[0],
        "hidden_size": width,
        "encoder_hidden_size": weights[VISION + "cls_token"].shape[-1],
        "intermediate_size": weights["text_encoder.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "num_hidden_layers": layers(weights, "text_encoder.encoder.layer."),
        "num_attention_heads": max(1, width // HEAD),
    }


def check_said(seen: dict[str, dict[str, int]], said: dict[str, Any], embed_dim: int) -> None:
    """--config may add to what the weights show, never contradict it."""
    pairs = [
        (f"{part}.{key}", seen[part].get(key), value) for part in seen for key, value in said.get(part, {}).items()
    ]
    pairs += [(key, seen["vision"][key], said[key]) for key in ("image_size", "patch_size") if key in said]
    pairs += [("embed_dim", embed_dim, said["embed_dim"])] if "embed_dim" in said else []
    for name, real, value in pairs:
        if real is not None and real != value and not name.endswith("num_attention_heads"):
            raise ModelError(f"--config says {name} = {value}, the weights {real}")


def check_complete(renamed: dict[str, Any], weights: dict[str, Any], record: dict[str, Any], checkpoint: Path) -> None:
    """The weights are exactly those of a BlipForImageTextRetrieval of this configuration."""
    import torch
    from transformers import BlipConfig, BlipForImageTextRetrieval

    with torch.device("meta"):
        expected = BlipForImageTextRetrieval(BlipConfig.from_dict(record)).state_dict()
    original = {rename(key): key for key in weights}
    unknown = sorted(original[key] for key in renamed.keys() - expected.keys())
    missing = sorted(map(original_name, expected.keys() - renamed.keys()))
    shapes = [
        f"{original[key]} {tuple(renamed[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in renamed and renamed[key].shape != value.shape
    ]
    problems = {"missing": missing, "unknown": unknown, "of another shape": shapes}
    found = "; ".join(f"{len(keys)} {what}: {', '.join(keys[:5])}" for what, keys in problems.items() if keys)
    if found:
        raise ModelError(f"{checkpoint}: not the weights of a BLIP retrieval model: {found}")


def download_vocabulary() -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(VOCABULARY, "vocab.txt"))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"the vocabulary of {VOCABULARY} could not be downloaded: {reason}; name a copy with --vocab FILE"
        ) from None


def special_ids(words: Path, rows: int) -> dict[str, int]:
    """What the configuration says of the vocabulary, whose words must have rows in the embedding table."""
    lines = words.read_text(encoding="utf-8").splitlines()
    lacking = [word for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if word not in lines]
    if lacking or len(lines) > rows:
        without = f" without {', '.join(lacking)}" if lacking else ""
        raise ModelError(f"{words}: expected at most {rows} words with [PAD], ..., got {len(lines)}{without}")
    return {"pad_token_id": lines.index("[PAD]"), "sep_token_id": lines.index("[SEP]")}


def write_tokenizer(words: Path, folder: Path) -> None:
    """tokenizer.json for us and transformers, vocab.txt for people."""
    from transformers import BertTokenizer

    BertTokenizer(vocab=str(words), do_lower_case=True).save_pretrained(folder)
    (folder / "vocab.txt").write_bytes(words.read_bytes())


def processor(side: int) -> dict[str, Any]:
    from transformers import BlipImageProcessorPil

    return BlipImageProcessorPil(size={"height": side, "width": side}).to_dict()


def write_json(file: Path, record: dict[str, Any]) -> None:
    file.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
