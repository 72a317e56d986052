"""Seeded random BLIPs of any shape, whose every weight matters, and transformers' own forward pass of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

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
LETTERS = [prefix + letter for prefix in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*WORDS, *LETTERS])]


def write(folder: Path, seed: int, vision: dict[str, int], text: dict[str, int], embed_dim: int) -> Path:
    """A Hugging Face folder; its vocabulary is followed by [DEC] and [ENC], as in the published checkpoints."""
    import torch
    from transformers import BertTokenizer, BlipConfig, BlipForImageTextRetrieval
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    rows = text.get("vocab_size", len(VOCABULARY) + 2)
    special = {"vocab_size": rows, "bos_token_id": rows - 2, "pad_token_id": 0, "sep_token_id": 3, "eos_token_id": 3}
    config = BlipConfig(
        vision_config={"layer_norm_eps": 1e-6} | vision, text_config=text | special, image_text_hidden_size=embed_dim
    )
    model = BlipForImageTextRetrieval(config)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():  # transformers would begin with zero biases and a vision of 1e-10
        scale = 0.5 * weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.1
        weight.data.normal_(0, scale, generator=generator)
        if "norm" in name.lower() and name.endswith("weight"):
            weight.data += 1
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    side = vision["image_size"]
    (folder / "preprocessor_config.json").write_text(
        json.dumps(BlipImageProcessorPil(size={"height": side, "width": side}).to_dict(), default=str)
    )
    return folder


class Reference:
    """transformers' forward pass, with its own image processor's arithmetic."""

    def __init__(self, folder: Path):
        from transformers import AutoTokenizer, BlipForImageTextRetrieval
        from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

        self.model = BlipForImageTextRetrieval.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor = BlipImageProcessorPil.from_pretrained(folder)

    def features(self, pixels: np.ndarray) -> Any:
        import torch

        images = self.processor(images=list(pixels), do_resize=False, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            return self.model.vision_model(images).last_hidden_state

    def tokens(self, texts: list[str], token: str = "cls") -> dict[str, Any]:
        tokens = self.tokenizer(texts, padding="longest", truncation=True, max_length=35, return_tensors="pt")
        if token == "enc":
            tokens["input_ids"][:, 0] = self.model.config.text_config.bos_token_id + 1
        return {key: tokens[key] for key in ("input_ids", "attention_mask")}

    def embed_images(self, pixels: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():
            return torch.nn.functional.normalize(self.model.vision_proj(self.features(pixels)[:, 0]), dim=-1).numpy()

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        import torch

        with torch.no_grad():
            out = self.model.text_encoder(**self.tokens(texts)).last_hidden_state[:, 0]
            return torch.nn.functional.normalize(self.model.text_proj(out), dim=-1).numpy()

    def itm_logits(self, features: Any, texts: list[str], token: str) -> np.ndarray:
        import torch

        with torch.no_grad():
            out = self.model.text_encoder(
                **self.tokens(texts, token),
                encoder_hidden_states=features,
                encoder_attention_mask=torch.ones(features.shape[:2], dtype=torch.long),
            )
            return self.model.itm_head(out.last_hidden_state[:, 0]).numpy()
