"""An original Salesforce retrieval checkpoint (.pth) -> a Hugging Face folder of BlipForImageTextRetrieval."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from blip_udfs.blip.checkpoint import ModelError, existing, read_json

VISION_EPS, TEXT_EPS = 1e-6, 1e-12  # models/vit.py and configs/med_config.json of the original code
VOCABULARY = "google-bert/bert-base-uncased"  # what the original init_tokenizer() takes
HEAD = 64  # width of an attention head in every published BLIP
# momentum copies, queues of negatives and the temperature serve training alone; position_ids are 0, 1, 2, ...; the
# decoder of captions stands beside the retrieval model in a pretrained checkpoint
TRAINING = re.compile(
    r"^(visual_encoder|text_encoder|vision_proj|text_proj)_m\.|_queue$|_ptr$|^ptr_queue$|^temp$|ids$|^text_decoder(_m)?\."
)
VISION = "visual_encoder."
LANDMARK = VISION + "cls_token"  # which every original checkpoint has, once
WRAPPERS = ("model", "state_dict", "model_state_dict", "module")  # names that training scripts save the weights under
TRANSFORMERS = "vision_model.embeddings.class_embedding"  # the same there
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
    said = read_json(existing(config, str(checkpoint))) if config else {}
    record = configuration(weights, said)
    renamed = {rename(key): value for key, value in weights.items()}
    check_complete(renamed, weights, record, checkpoint)
    words = existing(vocab, str(checkpoint)) if vocab else download_vocabulary()
    record["text_config"] |= special_ids(words, record["text_config"]["vocab_size"], said)
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

    if not checkpoint.is_file():
        raise ModelError(f"{checkpoint}: expected an original checkpoint (.pth), found no such file")
    try:
        record = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # of what is no checkpoint, or half of one, nearly anything
        raise ModelError(f"{checkpoint}: not a PyTorch checkpoint of weights only: {why(checkpoint, error)}") from error
    weights = without_prefix(state_dict(record), checkpoint)
    return {k: v.float() for k, v in weights.items() if isinstance(v, torch.Tensor) and not TRAINING.search(k)}


def why(checkpoint: Path, error: Exception) -> str:
    """What is wrong with the file, in our words: torch's would advise to run whatever it holds."""
    with checkpoint.open("rb") as file:
        begins = file.read(16)
    if code := re.search(r"(?:GLOBAL|instantiate class|unrecognized function) ([\w.]+)", str(error)):
        return (
            f"it holds {code[1]} beside the weights, which is code, and that is not run; where you trust the file, "
            "save its weights alone: torch.save({'model': model.state_dict()}, ...)"
        )
    if not begins:
        return "it is empty"
    if begins.startswith((b"PK\3\4", b"\x80")):
        return f"it is damaged or cut off ({checkpoint.stat().st_size:,} bytes); copy or download it again"
    return f"it begins with {begins!r}, as no checkpoint does; was a page saved in its place?"


def state_dict(record: Any) -> dict[str, Any]:
    """The weights by name, which training scripts put under a name of theirs, beside epochs and optimizers."""
    while isinstance(record, dict) and (inner := next((k for k in WRAPPERS if isinstance(record.get(k), dict)), None)):
        record = record[inner]
    return {str(key): value for key, value in record.items()} if isinstance(record, dict) else {}


def without_prefix(weights: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """The weights by the original code's names, which DDP, Lightning and others put their own before."""
    prefixes = sorted((key.removesuffix(LANDMARK) for key in weights if f".{key}".endswith(f".{LANDMARK}")), key=len)
    prefix = prefixes[0] if prefixes else ""
    if len(prefixes) > 1 and prefix:
        raise ModelError(f"{checkpoint}: expected the weights of one model, got those of {', '.join(prefixes)}")
    own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    if not {LANDMARK, VISION + "pos_embed", "vision_proj.weight", "itm_head.weight"} <= own.keys():
        shown = ", ".join(sorted(weights)[:3]) + ", ..." if weights else "no weights"
        known = "; those are transformers' names, which need no conversion" if TRANSFORMERS in own else ""
        raise ModelError(
            f"{checkpoint}: expected a BLIP retrieval checkpoint with visual_encoder, text_encoder, vision_proj, "
            f"text_proj and itm_head, got {shown}{known}"
        )
    return own


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
    check_said(seen, said, weights["vision_proj.weight"].shape[0])
    vision = seen["vision"] | {"layer_norm_eps": VISION_EPS} | said.get("vision", {})
    text = seen["text"] | {"layer_norm_eps": TEXT_EPS} | said.get("text", {})
    return {
        "architectures": ["BlipForImageTextRetrieval"],
        "model_type": "blip",
        "image_text_hidden_size": weights["vision_proj.weight"].shape[0],
        "vision_config": vision | {"model_type": "blip_vision_model", "hidden_act": "gelu"},
        "text_config": text | {"model_type": "blip_text_model", "hidden_act": "gelu"},
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


def special_ids(words: Path, rows: int, said: dict[str, Any]) -> dict[str, int]:
    """What the configuration says of the vocabulary, whose words must have rows in the embedding table. The original
    code adds [DEC] and [ENC] behind them, where they are not among them; further rows are padding."""
    ids = vocabulary(words)
    lacking = [word for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if word not in ids]
    after = max(ids.values(), default=-1) + 1
    dec = ids.get("[DEC]", after)
    enc = ids.get("[ENC]", after + ("[DEC]" not in ids))
    if lacking or max(after - 1, dec, enc) >= rows:
        without = f" without {', '.join(lacking)}" if lacking else ""
        raise ModelError(
            f"{words}: expected at most {rows} words, as the checkpoint's table has rows, with [PAD], [UNK], [CLS], "
            f"[SEP], and room for [DEC] and [ENC], got {after}{without}"
        )
    if said.get("enc_token_id", enc) != enc and "[ENC]" in ids:
        raise ModelError(f"--config says enc_token_id = {said['enc_token_id']}, {words} has [ENC] as number {enc}")
    return {
        "bos_token_id": said.get("bos_token_id", dec),
        "enc_token_id": said.get("enc_token_id", enc),
        "pad_token_id": ids["[PAD]"],
        "sep_token_id": ids["[SEP]"],
    }


def vocabulary(words: Path) -> dict[str, int]:
    from tokenizers.models import WordPiece

    try:
        return WordPiece.read_file(str(words))
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(f"{words}: expected a WordPiece vocabulary, one word a line, in UTF-8: {error}") from None


def write_tokenizer(words: Path, folder: Path) -> None:
    """tokenizer.json for us and transformers, vocab.txt for people."""
    from transformers import BertTokenizer

    BertTokenizer(vocab=vocabulary(words), **tokenizer_settings(words)).save_pretrained(folder)
    (folder / "vocab.txt").write_bytes(words.read_bytes())


def tokenizer_settings(words: Path) -> dict[str, Any]:
    """How texts are cut into the words: as a tokenizer_config.json beside them says, else by the words themselves."""
    beside = words.parent / "tokenizer_config.json"
    said = read_json(existing(beside, str(words))) if beside.exists() else {}
    settings = {key: said[key] for key in ("strip_accents", "tokenize_chinese_chars") if key in said}
    if "do_lower_case" in said:
        return settings | {"do_lower_case": said["do_lower_case"]}
    capital = next((word for word in vocabulary(words) if word != word.lower() and not word.startswith("[")), None)
    if capital:
        print(
            f"blip_udfs: {words} is taken for a cased vocabulary, for it has '{capital}'; a tokenizer_config.json "
            'beside it can say otherwise: {"do_lower_case": true}',
            file=sys.stderr,
        )
    return settings | {"do_lower_case": capital is None}


def processor(side: int) -> dict[str, Any]:
    from transformers import BlipImageProcessorPil

    return BlipImageProcessorPil(size={"height": side, "width": side}).to_dict()


def write_json(file: Path, record: dict[str, Any]) -> None:
    file.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
