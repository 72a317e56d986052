"""A tiny BLIP folder: 32 px, two layers of width 32, seeded random weights whose scores differ from row to row."""

from pathlib import Path

from tests.random_blip import write

LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def make(folder: Path, seed: int = 0) -> Path:
    vision = LAYERS | {"image_size": 32, "patch_size": 8}
    text = LAYERS | {"encoder_hidden_size": 32, "max_position_embeddings": 40, "layer_norm_eps": 1e-12}
    return write(folder, seed, vision, text, embed_dim=16)
