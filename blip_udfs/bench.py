"""This package and its alternatives, interleaved in one run -> medians, spread and ratios beside the machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SENTENCE = "a car on a wet road at night"  # 9 tokens with [ENC] and [SEP]
TOKENS = (5, 9, 20, 35)
NOTEBOOK_TOKENS = 35  # what the notebooks pad every text to


@dataclass(frozen=True)
class Result:
    """One way of doing the work: seconds of each round; `ratio`, how many times faster than it the first way is."""

    task: str
    way: str
    unit: str
    per_second: float
    spread: float  # (slowest - fastest) / median of the rounds
    ratio: float
    rounds: int


def interleaved(task: str, unit: str, work: int, ways: dict[str, Callable[[], Any]], rounds: int) -> list[Result]:
    """Each way once to warm up, then `rounds` times in turn; the first is ours. Ratios are medians over rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    ours = seconds[next(iter(ways))]
    out = []
    for name, own in seconds.items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(own, ours, strict=True))
        middle = statistics.median(own)
        spread = (max(own) - min(own)) / middle
        out.append(Result(task, name, unit, round(work / middle, 2), round(spread, 2), round(ratio, 2), rounds))
    return out


def machine() -> dict[str, str]:
    """What the figures depend on."""
    import pyspark
    import torch
    import transformers

    names = [line.split(":")[1].strip() for line in cpu_lines() if line.startswith("model name")]
    return {
        "processor": f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "versions": f"Spark {pyspark.__version__}, torch {torch.__version__}, transformers {transformers.__version__}",
    }


def cpu_lines() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


def base_model(folder: Path) -> Path:
    """A BLIP base of 384 px with random weights: speed does not depend on their values."""
    import torch
    from transformers import BertTokenizer, BlipConfig, BlipForImageTextRetrieval, BlipImageProcessor

    from blip_udfs.checkpoint import DEMO

    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.txt").write_text(vocabulary_of(DEMO))
        text = {"num_attention_heads": 12, "vocab_size": 30524, "bos_token_id": 30522}
        BlipForImageTextRetrieval(BlipConfig(text_config=text)).save_pretrained(folder)
        BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
        BlipImageProcessor(size={"height": 384, "width": 384}).save_pretrained(folder)
    return folder


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


def session(folder: Path, model: str) -> SparkSession:
    from blip_udfs.session import builder

    settings = {"spark.blip.model": model, "spark.ui.enabled": "false", "spark.log.level": "ERROR"}
    settings |= {"spark.sql.warehouse.dir": str(folder / "warehouse"), "spark.driver.memory": "4g"}
    spark = builder().master("local[*]").appName("blip-udfs bench").config(map=dict(settings)).getOrCreate()
    spark.conf.set("spark.blip.model", model)  # a session of an earlier task goes on
    return spark


def drawn(folder: Path, sequences: int, frames: int, size: tuple[int, int]) -> Path:
    """A drawn tree that is kept from run to run."""
    from blip_udfs.demo.tree import draw_tree

    root = folder / f"once_{sequences}_{frames}_{size[0]}"
    if not (root / "ImageSets").exists():
        draw_tree(root, sequences, frames, ["cam01", "cam03"], size, seed=77)
    return root


def embed(folder: Path, rounds: int) -> list[Result]:
    """JPEG files of 1920x1020 px through SQL to a Parquet table, and by transformers' loop."""
    from blip_udfs.images import pixels
    from blip_udfs.model import load, set_threads

    model, root = base_model(folder / "base"), drawn(folder, 2, 6, (1920, 1020))
    files = sorted((root / "data").rglob("*.jpg"))
    spark, theirs = session(folder, str(model)), Transformers(model)
    engine = load(str(model))
    paths = spark.createDataFrame([(str(file),) for file in files], "image STRING").repartition(os.cpu_count() or 1)
    paths.localCheckpoint().createOrReplaceTempView("files")

    def through_sql() -> None:
        spark.sql("SELECT image, blip_image_embed(image) AS embedding FROM files").write.mode("overwrite").parquet(
            str(folder / "embeddings")
        )

    def plain_engine() -> None:
        set_threads(os.cpu_count() or 1)
        for start in range(0, len(files), engine.batch_size):
            chunk = files[start : start + engine.batch_size]
            engine.embed_images(np.stack([pixels(str(file), engine.image_size) for file in chunk]))

    ways: dict[str, Callable[[], Any]] = {
        "blip_image_embed, SQL to Parquet": through_sql,
        "this engine in plain Python": plain_engine,
        "transformers, batches of 8": lambda: theirs.embed(files),
    }
    return interleaved("embed", "images/s", len(files), ways, rounds)


def itm(folder: Path, rounds: int, rows: int = 64) -> list[Result]:
    """Stored patch features and one sentence through SQL, by transformers in batches of 32, and row by row."""
    from blip_udfs.features import pack_features, unpack_features

    model = base_model(folder / "base")
    spark, theirs = session(folder, str(model)), Transformers(model)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((rows, 577, 768)).astype(np.float16)
    digest = spark.sql("SELECT blip_model()").first()[0].partition("@")[2]  # type: ignore[index]
    blobs = [(bytearray(pack_features(each, digest)),) for each in noise]
    spark.createDataFrame(blobs, "features BINARY").repartition(os.cpu_count() or 1).write.mode("overwrite").parquet(
        str(folder / "features")
    )
    spark.read.parquet(str(folder / "features")).createOrReplaceTempView("stored")
    features = np.stack([unpack_features(bytes(blob)).astype(np.float32) for (blob,) in blobs])
    out: list[Result] = []

    def through_sql(text: str) -> list:
        return spark.sql(f"SELECT sum(blip_itm(features, '{text}')) FROM stored").collect()

    for tokens in TOKENS:
        text = sentence_of(tokens, theirs.tokenizer)
        ways: dict[str, Callable[[], Any]] = {
            "blip_itm on stored features, SQL": partial(through_sql, text),
            "transformers, batches of 32": partial(theirs.match, features, text),
        }
        if tokens == 9:
            ways["the notebooks' way, row by row"] = partial(theirs.match, features, text, 1, NOTEBOOK_TOKENS)
        out += interleaved(f"itm, {tokens} tokens", "pairs/s", rows, ways, rounds)
    return out


def sentence_of(tokens: int, tokenizer: Any) -> str:
    """A sentence of so many tokens, first and last special ones included."""
    words = (SENTENCE.split() * 8)[: tokens - 2]
    text = " ".join(words)
    if len(tokenizer(text)["input_ids"]) != tokens:
        raise ValueError(f"expected {tokens} tokens of {text!r}, got {len(tokenizer(text)['input_ids'])}")
    return text


def search(folder: Path, rounds: int, rows: int = 1_000_000) -> list[Result]:
    """The ten rows nearest to a sentence among a million vectors in Parquet: the sentence as a constant in SQL, its
    vector as a literal array in SQL, and a plain scan of the same files by pyarrow and numpy."""
    spark = session(folder, str(base_model(folder / "base")))
    files = str(vectors(folder / f"vectors_{rows}", rows))
    spark.read.parquet(files).createOrReplaceTempView("vectors")
    wanted = np.array(spark.sql(f"SELECT blip_text_embed('{SENTENCE}')").first()[0], np.float32)  # type: ignore[index]
    literal = f"array({', '.join(f'{value!r}F' for value in wanted.tolist())})"

    def nearest(vector: str) -> list:
        query = f"SELECT id, vector_inner_product(embedding, {vector}) AS similarity FROM vectors"
        return spark.sql(f"{query} ORDER BY similarity DESC LIMIT 10").collect()

    ways: dict[str, Callable[[], Any]] = {
        "ORDER BY similarity to blip_text_embed('...')": partial(nearest, f"blip_text_embed('{SENTENCE}')"),
        "the same with a literal array": partial(nearest, literal),
        "pyarrow and numpy": partial(scan, files, wanted),
    }
    return interleaved(f"top 10 of {rows:,} x 256", "queries/s", 1, ways, rounds)


def vectors(folder: Path, rows: int, width: int = 256) -> Path:
    """Random unit vectors as Parquet: id BIGINT, embedding ARRAY<FLOAT>; kept from run to run."""
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
            parquet.write_table(table, file, compression="none", use_dictionary=False)
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


def cascade(folder: Path, rounds: int) -> list[Result]:
    """The bundled model over 2,000 drawn images: the cascade of 256 candidates, and every row scored."""
    root = drawn(folder, 100, 10, (960, 510))
    spark = session(folder, "demo")
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW once AS SELECT * FROM read_once('{root}')")
    made = spark.sql("SELECT image, blip_image_embed(image) AS embedding FROM once")
    made.write.mode("overwrite").parquet(str(folder / "cascade"))
    spark.read.parquet(str(folder / "cascade")).createOrReplaceTempView("embedded")

    def ranked(candidates: int) -> list:
        spark.conf.set("spark.blip.search.candidates", candidates)
        query = "SELECT image, blip_itm(image, 'a car driving on an intersection') AS score FROM embedded"
        return spark.sql(f"{query} ORDER BY score DESC LIMIT 3").collect()

    ways: dict[str, Callable[[], Any]] = {
        "cascade, 256 candidates": partial(ranked, 256),
        "every row scored": partial(ranked, 0),
    }
    return interleaved("search of 2,000 images", "queries/s", 1, ways, rounds)


TASKS: dict[str, Callable[[Path, int], list[Result]]] = {
    "embed": embed,
    "itm": itm,
    "search": search,
    "cascade": cascade,
}
