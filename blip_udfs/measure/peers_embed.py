"""JPEG files and a model -> a Parquet table of embeddings, by this package and by what people would use instead.

Each way runs in a Python process of its own, `python -m blip_udfs.measure.peers_embed`, on two cores: first a few
images, then all of them. It reads a JSON record and prints one: seconds of the job, and of all since the process began.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

CORES = 2
BATCH = 8
FEW = 4  # images that warm up, for each core
Job = Callable[[list[str], str], object]  # files, the folder of Parquet that they become


def on_two_cores() -> None:
    if hasattr(os, "sched_setaffinity"):  # else the machine's own number of cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def by_sql(model: str, work: str) -> Job:
    from blip_udfs.measure.bench_alternatives import session

    spark = session(Path(work), model, str(CORES))

    def job(files: list[str], out: str) -> None:
        paths = spark.createDataFrame([(file,) for file in files], "path STRING").repartition(CORES)
        paths.localCheckpoint().createOrReplaceTempView("files")
        spark.sql("SELECT path, blip_image_embed(path) AS embedding FROM files").write.mode("overwrite").parquet(out)

    return job


class TransformersBlip:
    """What a user of transformers writes: its processor, its model, the projection of [CLS]; in float32, as we compute,
    where transformers would take the type that a checkpoint is stored in."""

    def __init__(self, model: str, threads: int = 1) -> None:
        import torch
        from transformers import BlipForImageTextRetrieval, BlipImageProcessor

        torch.set_num_threads(threads)
        self.model = BlipForImageTextRetrieval.from_pretrained(model, dtype="float32").eval()
        self.processor = BlipImageProcessor.from_pretrained(model)

    def __call__(self, images: list[np.ndarray]) -> np.ndarray:
        """uint8 (height, width, 3) each -> L2-normalised (B, D)."""
        import torch
        from PIL import Image

        pixels = self.processor(images=[Image.fromarray(each) for each in images], return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            first = self.model.vision_model(pixels).last_hidden_state[:, 0]
            return torch.nn.functional.normalize(self.model.vision_proj(first), dim=-1).numpy()


class OurBlip:
    """This package's engine without Spark: paths to embeddings."""

    def __init__(self, model: str) -> None:
        from blip_udfs.blip.model import load, set_threads

        set_threads(1)
        self.model = load(model)

    def __call__(self, paths: list[str]) -> np.ndarray:
        from blip_udfs.files.images import pixels

        return self.model.embed_images(np.stack([pixels(path, self.model.image_size) for path in paths]))


def by_daft(model: str, work: str, kind: type, decoded: bool) -> Job:
    """As docs.daft.ai has it under "Stateful Class UDFs": a class whose method takes batches. An instance is shared by
    as many threads as there are cores, so each computes with one."""
    os.environ["DAFT_PROGRESS_BAR"] = "0"
    import daft
    from daft import DataType, Series
    from daft.functions import decode_image, download

    @daft.cls
    class Embedder:
        def __init__(self, model: str) -> None:
            self.embed = kind(model)

        @daft.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=BATCH)
        def of(self, images: Series) -> Any:
            return list(self.embed(images.to_pylist()))

    embedder = Embedder(model)

    def job(files: list[str], out: str) -> None:
        frame = daft.from_pydict({"path": files}).into_partitions(CORES)
        images = decode_image(download(frame["path"]), mode="RGB") if decoded else frame["path"]
        frame.select("path", embedder.of(images).alias("embedding")).write_parquet(out, write_mode="overwrite")

    return job


class RayEmbedder:
    """As docs.ray.io has it under "Working with Images": a callable class over batches of a column `image`."""

    def __init__(self, model: str) -> None:
        self.embed = TransformersBlip(model)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"path": batch["path"], "embedding": self.embed(list(batch["image"]))}


def by_ray(model: str, work: str) -> Job:
    """Two actors, each with half of a core of Ray's two, so that tasks which read find room beside them."""
    import ray

    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False

    def job(files: list[str], out: str) -> None:
        images = ray.data.read_images(files, mode="RGB", include_paths=True)
        actors = {"concurrency": CORES, "num_cpus": 0.5, "fn_constructor_args": (model,)}
        images.map_batches(RayEmbedder, batch_size=BATCH, **actors).write_parquet(out)

    return job


def notebooks_way(model: str, work: str) -> Job:
    """A pandas UDF that loads transformers' model where it is called, takes image after image, and returns all patch
    features as a list of floats."""
    import pandas as pd
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import pandas_udf

    spark = SparkSession.builder.master(f"local[{CORES}]").config("spark.ui.enabled", "false").getOrCreate()

    @pandas_udf("array<float>")  # type: ignore[call-overload]
    def features(paths: pd.Series) -> pd.Series:
        import torch
        from PIL import Image
        from transformers import BlipForImageTextRetrieval, BlipImageProcessor

        network = BlipForImageTextRetrieval.from_pretrained(model, dtype="float32").eval()
        processor = BlipImageProcessor.from_pretrained(model)
        out = []
        for path in paths:
            pixels = processor(images=Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]
            with torch.no_grad():
                out.append(network.vision_model(pixels).last_hidden_state[0].flatten().numpy())
        return pd.Series(out)

    def job(files: list[str], out: str) -> None:
        paths = spark.createDataFrame([(file,) for file in files], "path STRING").repartition(CORES).localCheckpoint()
        paths.select("path", features("path").alias("features")).write.mode("overwrite").parquet(out)

    return job


WAYS: dict[str, Callable[[str, str], Job]] = {
    "blip_image_embed, SQL": by_sql,
    "Daft, class UDF, transformers": partial(by_daft, kind=TransformersBlip, decoded=True),
    "Ray Data, transformers": by_ray,
    "Daft, class UDF, this engine": partial(by_daft, kind=OurBlip, decoded=False),
    "the notebooks' way": notebooks_way,
}


def embedded(folder: str) -> dict[str, np.ndarray]:
    """Of each file, by its name, the vector that the Parquet files have."""
    from pyarrow import parquet

    rows: Iterator[dict[str, Any]] = (
        row for file in Path(folder).rglob("*.parquet") for row in parquet.read_table(file).to_pylist()
    )
    return {name(row["path"]): np.array(row["embedding"], np.float32) for row in rows}


def name(path: str) -> str:
    return "/".join(path.split("/")[-3:])  # sequence, camera, file


def main(asked: dict[str, Any]) -> None:
    began = time.perf_counter()
    on_two_cores()
    files, out = asked["files"], asked["out"]
    job = WAYS[asked["way"]](asked["model"], asked["work"])
    job(files[: FEW * CORES], f"{out}_few")
    started = time.perf_counter()
    job(files, out)
    over = time.perf_counter()
    print(json.dumps({"job": over - started, "whole": over - began}), flush=True)


if __name__ == "__main__":
    main(json.load(sys.stdin))
