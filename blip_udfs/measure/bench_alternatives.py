"""What `bench` measures on and beside: a base model, drawn trees, vectors; transformers' loop, the notebooks' way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SENTENCE = "a car on a wet road at night"  # 9 tokens with [ENC] and [SEP]


SIZES: dict[str, tuple[dict[str, int], dict[str, int]]] = {  # of the published models, vision and text
    "base": ({}, {}),
    "large": (
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
        {"encoder_hidden_size": 1024},
    ),
}


def base_model(folder: Path) -> Path:
    """A BLIP base of 384 px with random weights: speed does not depend on their values."""
    return random_model(folder, *SIZES["base"])


def random_model(folder: Path, vision: dict[str, int], text: dict[str, int], alive: bool = False) -> Path:
    """A BLIP with seeded random weights, kept from run to run. `alive`: not as transformers begins to train one, with
    biases of 0 and a vision of 1e-10, but with weights that all matter, by which number types are compared."""
    import torch
    from transformers import BertTokenizer, BlipConfig, BlipForImageTextRetrieval, BlipImageProcessor

    from blip_udfs.blip.checkpoint import DEMO

    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.txt").write_text(vocabulary_of(DEMO))
        config = BlipConfig(
            vision_config=vision,
            text_config={"num_attention_heads": 12, "vocab_size": 30524, "bos_token_id": 30522} | text,
        )
        model = BlipForImageTextRetrieval(config)
        if alive:
            enliven(model)
        model.save_pretrained(folder)
        BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
        side = vision.get("image_size", 384)
        BlipImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def enliven(model: Any) -> None:
    for name, weight in model.named_parameters():
        weight.data.normal_(0, 0.5 * weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.1)
        if "norm" in name.lower() and name.endswith("weight"):
            weight.data += 1


def vocabulary_of(folder: Path) -> str:
    from tokenizers import Tokenizer

    words = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    return "\n".join(sorted(words, key=lambda word: words[word]))


class Transformers:
    """transformers' own way: its processor, its model, batches, all cores."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoTokenizer, BlipForImageTextRetrieval, BlipImageProcessor

        torch.set_num_threads(os.cpu_count() or 1)
        self.model = BlipForImageTextRetrieval.from_pretrained(folder).eval()
        self.processor, self.tokenizer = (
            BlipImageProcessor.from_pretrained(folder),
            AutoTokenizer.from_pretrained(folder),
        )

    def embed(self, files: list[Path], batch: int = 8) -> np.ndarray:
        import torch
        from PIL import Image

        out = []
        with torch.inference_mode():
            for start in range(0, len(files), batch):
                images = [Image.open(file).convert("RGB") for file in files[start : start + batch]]
                pixels = self.processor(images=images, return_tensors="pt")["pixel_values"]
                first = self.model.vision_model(pixels).last_hidden_state[:, 0]
                out.append(torch.nn.functional.normalize(self.model.vision_proj(first), dim=-1).numpy())
        return np.concatenate(out)

    def match(self, features: np.ndarray, text: str, batch: int = 32, length: int | None = None) -> np.ndarray:
        """`features` (B, N, W) float32; `length` pads the text to so many tokens, as the notebooks do."""
        import torch

        padding: Any = "max_length" if length else "longest"
        out = []
        with torch.inference_mode():
            for start in range(0, len(features), batch):
                images = torch.from_numpy(features[start : start + batch])
                tokens = self.tokenizer([text] * len(images), padding=padding, max_length=length, return_tensors="pt")
                hidden = self.model.text_encoder(
                    input_ids=tokens["input_ids"],
                    attention_mask=tokens["attention_mask"],
                    encoder_hidden_states=images,
                    encoder_attention_mask=torch.ones(images.shape[:2], dtype=torch.long),
                ).last_hidden_state
                out.append(self.model.itm_head(hidden[:, 0]).numpy())
        return np.concatenate(out)


def session(folder: Path, model: str, cores: str = "*", others: dict[str, str] | None = None) -> SparkSession:
    """A session of an earlier task goes on; its cores and `others` are then those."""
    from blip_udfs.spark.session import start

    settings = {"spark.blip.model": model, "spark.ui.enabled": "false", "spark.log.level": "ERROR"}
    settings |= {"spark.sql.warehouse.dir": str(folder / "warehouse"), "spark.driver.memory": "4g"}
    spark = start("bench", f"local[{cores}]", settings | (others or {}))
    spark.conf.set("spark.blip.model", model)
    return spark


def drawn(folder: Path, sequences: int, frames: int, size: tuple[int, int]) -> Path:
    """A drawn tree that is kept from run to run."""
    from blip_udfs.draw.tree import draw_tree

    root = folder / f"once_{sequences}_{frames}_{size[0]}"
    if not (root / "ImageSets").exists():
        draw_tree(root, sequences, frames, ["cam01", "cam03"], size, seed=77)
    return root


def vectors(folder: Path, rows: int, width: int = 256, row_group: int | None = None) -> Path:
    """Random unit vectors as Parquet: id BIGINT, embedding ARRAY<FLOAT>; kept from run to run. A file is one row group
    unless `row_group` is fewer rows."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    rng, per_file = np.random.default_rng(0), 62_500
    for start in range(0, rows, per_file):
        file, count = folder / f"{start:09}.parquet", min(per_file, rows - start)
        if not file.exists():
            values = rng.standard_normal((count, width), np.float32)
            values /= np.linalg.norm(values, axis=1, keepdims=True)
            lists = pa.ListArray.from_arrays(np.arange(0, count * width + 1, width, dtype=np.int32), values.ravel())
            table = pa.table({"id": np.arange(start, start + count), "embedding": lists})
            parquet.write_table(table, file, compression="none", use_dictionary=False, row_group_size=row_group)
    return folder


def stored(folder: Path, rows: int, digest: str, dtype: str = "float16") -> Path:
    """Random patch features of base as Parquet, a file per core; uncompressed, in row groups of 16 images, as the page
    of figures advises."""
    import pyarrow as pa
    from pyarrow import parquet

    from blip_udfs.blip.features import pack_features

    folder.mkdir(parents=True, exist_ok=True)
    rng, cores = np.random.default_rng(0), os.cpu_count() or 1
    for part in range(cores):
        count = len(range(part, rows, cores))
        blobs = [pack_features(rng.standard_normal((577, 768), np.float32), digest, dtype) for _ in range(count)]
        table = pa.table({"features": pa.array(blobs, pa.binary())})
        parquet.write_table(
            table, folder / f"{part}.parquet", compression="none", use_dictionary=False, row_group_size=16
        )
    return folder


def scan(folder: str, wanted: np.ndarray) -> list[tuple[int, float]]:
    """The plain alternative: file by file on all of numpy's threads."""
    from pyarrow import parquet

    best: list[tuple[int, float]] = []
    for file in sorted(Path(folder).glob("*.parquet")):
        table = parquet.read_table(file)
        rows = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, len(wanted))
        scores = rows @ wanted
        top = np.argpartition(-scores, 10)[:10]
        ids = table["id"].to_numpy()[top]
        best = sorted([*best, *zip(ids.tolist(), scores[top].tolist(), strict=True)], key=lambda pair: -pair[1])[:10]
    return best


def sentence_of(tokens: int, tokenizer: Any) -> str:
    """A sentence of so many tokens, first and last special ones included."""
    words = (SENTENCE.split() * 8)[: tokens - 2]
    text = " ".join(words)
    if len(tokenizer(text)["input_ids"]) != tokens:
        raise ValueError(f"expected {tokens} tokens of {text!r}, got {len(tokenizer(text)['input_ids'])}")
    return text
