"""Tiny BLIP folders with seeded random weights, in the layout of the published ones."""

from pathlib import Path

WORDS = [
    "a",
    "car",
    "truck",
    "bus",
    "driving",
    "on",
    "an",
    "intersection",
    "highway",
    "at",
    "night",
    "in",
    "the",
    "rain",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make(folder: Path, seed: int = 0, image_size: int = 32) -> Path:
    """Writes config, weights, tokenizer and image processor; the same seed writes the same weights."""
    import torch
    from transformers import BertTokenizerFast, BlipConfig, BlipForImageTextRetrieval, BlipImageProcessor

    folder.mkdir(parents=True, exist_ok=True)
    letters = [prefix + letter for prefix in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary = list(dict.fromkeys([*SPECIAL, *WORDS, *letters, "[DEC]", "[ENC]"]))
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    config = BlipConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": image_size,
            "patch_size": 8,
            "layer_norm_eps": 1e-6,
        },
        text_config={
            "vocab_size": len(vocabulary),
            "hidden_size": 32,
            "encoder_hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 40,
            "bos_token_id": len(vocabulary) - 2,
            "layer_norm_eps": 1e-12,
        },
        image_text_hidden_size=16,
    )
    torch.manual_seed(seed)
    model = BlipForImageTextRetrieval(config)
    with torch.no_grad():  # random heads are near zero: larger ones tell rows apart
        model.itm_head.weight.mul_(40)
    model.save_pretrained(folder)
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    BlipImageProcessor(size={"height": image_size, "width": image_size}).save_pretrained(folder)
    return folder
