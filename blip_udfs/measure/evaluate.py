"""Images and their captions -> the paper's retrieval figures: recall by ITC, by the cascade, by ITM of all pairs."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

CANDIDATES = (16, 32, 64, 128, 256)
RECALL_AT = (1, 5, 10)
TEXTS_AT_ONCE = 128  # of one image in a forward pass


@dataclass(frozen=True)
class Captioned:
    """`images` (image_id INT from 0, image), texts, and `truth` bool (images, texts): which belong together."""

    images: DataFrame
    texts: list[str]
    truth: np.ndarray


@dataclass(frozen=True)
class Row:
    """One way of ranking and its figures: ITM pairs scored, seconds of scoring them, recalls in percent."""

    method: str
    pairs: int
    seconds: float
    figures: dict[str, float]


def karpathy(spark: SparkSession, file: str | Path, root: str, split: str = "test") -> Captioned:
    """COCO or Flickr30k in Karpathy's JSON (images: filename, filepath, split, sentences: raw); files below `root`.

    Raises ValueError when no image is of the split.
    """
    records = json.loads(Path(file).read_text(encoding="utf-8"))["images"]
    chosen = [record for record in records if record["split"] == split]
    if not chosen:
        splits = ", ".join(sorted({record["split"] for record in records}))
        raise ValueError(f"{file}: expected images of split '{split}', it has {splits}")
    paths = [f"{root}/{record.get('filepath', '')}/{record['filename']}".replace("//", "/") for record in chosen]
    owner = [(index, sentence["raw"]) for index, record in enumerate(chosen) for sentence in record["sentences"]]
    return captioned(spark, paths, [text for _, text in owner], [index for index, _ in owner])


def drawn(spark: SparkSession, root: str, count: int | None = None, seed: int = 0) -> Captioned:
    """A drawn tree: `count` images of it, each with the first caption that its record holds."""
    rows = scenes(spark, root)
    if count is not None and count < len(rows):
        rows = [rows[index] for index in np.random.default_rng(seed).choice(len(rows), count, replace=False)]
    captions = [row["scene"]["captions"][0] for row in rows]
    return captioned(spark, [row["image"] for row in rows], captions, list(range(len(rows))))


def scenes(spark: SparkSession, root: str) -> list[dict[str, Any]]:
    """What was drawn in each image of a drawn tree: image, weather, period, region, scene (road, objects, captions).

    Raises ValueError when the records hold no scenes, as those of the real dataset.
    """
    from pyspark.sql import functions as F

    from blip_udfs.files.listing import escaped
    from blip_udfs.files.once import read_once

    thing = "STRUCT<class: STRING, color: STRING, side: STRING, distance: STRING>"
    scene = f"STRUCT<road: STRING, objects: ARRAY<{thing}>, captions: ARRAY<STRING>>"
    schema = f"frames ARRAY<STRUCT<sequence_id: STRING, frame_id: STRING, scene: MAP<STRING, {scene}>>>"
    files = spark.read.schema(schema).option("multiLine", True).json(f"{escaped(root)}/data/*/*.json")
    frames = files.select(F.explode("frames").alias("f")).select("f.sequence_id", "f.frame_id", F.explode("f.scene"))
    keys = ["sequence_id", "frame_id", "camera"]
    rows = read_once(spark, root).join(frames.toDF("sequence_id", "frame_id", "camera", "scene"), keys)
    found = rows.select(*keys, "image", "weather", "period", "region", "scene").orderBy(*keys).collect()
    if not found:
        raise ValueError(f"{root}: expected a tree drawn by `blip-udfs synth`, whose records say what each image shows")
    return [row.asDict(recursive=True) for row in found]


def captioned(spark: SparkSession, paths: list[str], texts: list[str], owners: list[int]) -> Captioned:
    truth = np.zeros((len(paths), len(texts)), bool)
    truth[owners, np.arange(len(texts))] = True
    return Captioned(spark.createDataFrame(list(enumerate(paths)), "image_id INT, image STRING"), texts, truth)


def evaluate(data: Captioned, candidates: tuple[int, ...] = CANDIDATES, full: bool = True) -> list[Row]:
    """Recall at 1, 5 and 10 of text retrieval (TR, image to texts) and image retrieval (IR, text to images): by ITC
    alone, by the cascade with each number of candidates (match logit + ITC, as upstream's train_retrieval.py), and
    by ITM of all pairs. Images without an embedding are never found.
    """
    with tempfile.TemporaryDirectory() as folder:
        scorer = Scorer(data.images, data.texts, folder)
        out = [Row("ITC", 0, 0.0, recalls(scorer.itc, scorer.itc, data.truth))]
        steps = [(f"cascade, {number} candidates", number) for number in candidates]
        largest = max(data.truth.shape)
        for method, number in [*steps, ("ITM of all pairs", largest)] if full else steps:
            began = time.perf_counter()
            by_image, by_text = nearest(scorer.itc, number), nearest(scorer.itc.T, number).T
            match = scorer.itm(by_image | by_text)[..., 1] + scorer.itc
            seconds = time.perf_counter() - began
            figures = recalls(np.where(by_image, match, -np.inf), np.where(by_text, match, -np.inf), data.truth)
            out.append(Row(method, int((by_image | by_text).sum()), seconds, figures))
    return out


class Scorer:
    """Scores of images (image_id INT, image) and texts by the session's model. Embeddings and patch features are
    made once, and wait in `folder` as Parquet; all by Spark.

    `itc` float32 (images, texts): cosine similarities, -1 for an image that does not decode.
    """

    def __init__(self, images: DataFrame, texts: list[str], folder: str) -> None:
        from pyspark.sql import functions as F

        from blip_udfs.spark import catalog as BF

        self.spark, self.texts = images.sparkSession, texts
        self.partitions = self.spark.sparkContext.defaultParallelism * 4
        made = images.repartition(self.partitions).select(
            "image_id", BF.try_blip_image_features("image").alias("features")
        )
        made.write.mode("overwrite").option("compression", "none").parquet(f"{folder}/features")
        self.features = self.spark.read.parquet(f"{folder}/features")
        rows = self.features.select("image_id", BF.try_blip_image_embed("features").alias("e")).collect()
        lines = self.spark.createDataFrame(list(enumerate(texts)), "text_id INT, text STRING")
        vectors = lines.select("text_id", BF.blip_text_embed(F.col("text")).alias("e")).orderBy("text_id").collect()
        in_texts = np.array([row["e"] for row in vectors], np.float32)  # (texts, D)
        self.itc = np.full((len(rows), len(texts)), -1.0, np.float32)
        for row in rows:
            if row["e"] is not None:
                self.itc[row["image_id"]] = in_texts @ np.array(row["e"], np.float32)

    def itm(self, wanted: np.ndarray) -> np.ndarray:
        """float32 (images, texts, 2): the ITM head's logits, no match and match; -inf where not wanted, or where the
        image does not decode. `wanted` bool (images, texts)."""
        from blip_udfs.spark.lines import arrow_batches

        by_length = np.argsort([len(text) for text in self.texts], kind="stable")  # so that little is padded
        pairs = [(image, by_length[row[by_length]].tolist()) for image, row in enumerate(wanted) if row.any()]
        asked = self.spark.createDataFrame(pairs, "image_id INT, wanted ARRAY<INT>")
        rows = self.features.where("features IS NOT NULL").join(asked, "image_id").repartition(self.partitions)
        scored = rows.mapInPandas(scorer_of(self.texts), "image_id INT, text_ids ARRAY<INT>, logits ARRAY<FLOAT>")
        out = np.full((*wanted.shape, 2), -np.inf, np.float32)
        for batch in arrow_batches(scored):
            for image, text_ids, logits in zip(
                *(column.to_numpy(zero_copy_only=False) for column in batch), strict=True
            ):
                out[image, text_ids] = logits.reshape(-1, 2)
        return out


def scorer_of(texts: list[str]) -> Any:
    """What a worker runs: rows of image_id, patch features and the ids of wanted texts -> their logits, flattened."""

    def score(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        from blip_udfs.blip.features import unpack_features
        from blip_udfs.spark.batches import model_of
        from blip_udfs.spark.settings import Settings

        for batch in batches:
            settings = Settings.of_task()
            model = model_of(settings)
            logits = []
            for blob, ids in zip(batch["features"], batch["wanted"], strict=True):
                features = unpack_features(blob, model.digest)
                parts = [ids[start : start + TEXTS_AT_ONCE] for start in range(0, len(ids), TEXTS_AT_ONCE)]
                scores = [
                    model.itm_logits_of_many(features, [texts[i] for i in part], settings.itm_token) for part in parts
                ]
                logits.append(np.concatenate(scores).ravel())
            yield batch.assign(text_ids=batch["wanted"], logits=logits)[["image_id", "text_ids", "logits"]]

    return score


def nearest(scores: np.ndarray, number: int) -> np.ndarray:
    """bool (Q, C): the `number` highest of each row; of equal ones the first."""
    if number >= scores.shape[1]:
        return np.ones(scores.shape, bool)
    out = np.zeros(scores.shape, bool)
    np.put_along_axis(out, np.argsort(-scores, axis=1, kind="stable")[:, :number], True, axis=1)
    return out


def recalls(by_image: np.ndarray, by_text: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """TR@1, 5, 10 by the rows of `by_image`, IR@1, 5, 10 by the columns of `by_text`, in percent; all (images,
    texts)."""
    out: dict[str, float] = {}
    for name, ranks in (("TR", first_true(by_image, truth)), ("IR", first_true(by_text.T, truth.T))):
        out |= {f"{name}@{k}": round(100 * float((ranks <= k).mean()), 2) for k in RECALL_AT}
    return out


def first_true(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of each query (row) the rank of its best true candidate, from 1. A false candidate with the same score counts as
    better; a true one that is no candidate (-inf) has no rank (inf)."""
    best = np.where(truth, scores, -np.inf).max(1)  # (Q,)
    better = ((scores >= best[:, None]) & ~truth).sum(1)
    return np.where(np.isneginf(best), np.inf, 1.0 + better)


def chance(truth: np.ndarray) -> dict[str, float]:
    """The recalls of a random order, in percent."""
    out: dict[str, float] = {}
    for name, matrix in (("TR", truth), ("IR", truth.T)):
        total = matrix.shape[1]
        for k in RECALL_AT:
            misses = [np.prod([1 - own / (total - i) for i in range(min(k, total))]) for own in matrix.sum(1)]
            out[f"{name}@{k}"] = round(100 * float(1 - np.mean(misses)), 2)
    return out


def plot(rows: list[Row], file: Path) -> Path:
    """Quality against candidates, with the time that scoring them took. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    labels = [
        row.method.removeprefix("cascade, ").replace(" candidates", "").replace("ITM of all pairs", "all")
        for row in rows
    ]
    for name in ("IR@1", "IR@10", "TR@1", "TR@10"):
        left.plot(labels, [row.figures[name] for row in rows], marker="o", label=name)
    left.set(xlabel="ITM candidates per query", ylabel="recall, %", ylim=(0, 102))
    left.legend()
    right.plot(labels[1:], [row.seconds for row in rows[1:]], marker="o", color="#444444")
    right.set(xlabel="ITM candidates per query", ylabel="seconds of ITM", ylim=(0, None))
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return file
