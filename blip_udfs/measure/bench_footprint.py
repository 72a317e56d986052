"""Sessions and workers at work -> what they take: memory, seconds until an answer, where an image's time goes."""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from blip_udfs.measure.bench import Result, spread, timed
from blip_udfs.measure.bench_alternatives import base_model, drawn, session

if TYPE_CHECKING:
    import psutil

    from blip_udfs.blip.engine import VisionLayer
    from blip_udfs.blip.retrieval import Blip

IMAGES = {"demo": 5000, "base": 96}  # with base as many as fill two Arrow batches of each worker
PROFILE = "profile of an image, core-seconds"
CODECS = ("none", "snappy", "lz4", "zstd")
GB = 1e9
DAEMONS = ("pyspark.daemon", "blip_udfs.spark.daemon")


def memory(folder: Path, rounds: int) -> list[Result]:
    """What one more worker adds, and the most that a worker takes for images of 2 MB in Arrow batches of Spark's size.

    One run of each model: a worker's memory is that of all its batches. Private memory excludes the weights, which
    all workers map from one file; the peak includes them.
    """
    out = []
    for name, images in IMAGES.items():
        spark = session(folder, "demo" if name == "demo" else str(base_model(folder / name)))
        spark.sql(f"SELECT image FROM VALUES (X'{large_jpeg().hex()}') AS t(image)").localCheckpoint().crossJoin(
            spark.range(0, images, 1, os.cpu_count())
        ).createOrReplaceTempView("large")
        spark.sql("SELECT count(blip_image_embed(image)) FROM large").collect()
        private, peak = worker_memory()
        task = f"memory, {images:,} images of 2 MB, {name} model"
        out.append(Result(task, "private memory of one more worker", round(min(private) / GB, 2), "GB", 0.0, None, 1))
        out.append(Result(task, "peak of a worker, shared weights too", round(max(peak) / GB, 2), "GB", 0.0, None, 1))
        spark.stop()
    return out


def large_jpeg() -> bytes:
    """1920x1020 px of noise, which fill about 2 MB."""
    noise = np.random.default_rng(0).integers(0, 256, (1020, 1920, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "JPEG", quality=92)
    return data.getvalue()


def worker_memory() -> tuple[list[int], list[int]]:
    """Bytes of private memory now, and of resident memory at the peak, of each Python worker below this process."""
    below = workers()
    return [each.memory_full_info().uss for each in below], [peak_bytes(each.pid) for each in below]


def workers() -> list[psutil.Process]:
    """Those below this process that a daemon of Spark's has forked."""
    import psutil

    ours = {each.pid for each in psutil.Process().children(recursive=True)}
    every = psutil.process_iter(["ppid", "cmdline", "status"])  # which leaves out those that end meanwhile
    below = [each for each in every if each.pid in ours and each.info["status"] != psutil.STATUS_ZOMBIE]
    daemons = {each.pid for each in below if is_daemon(each.info["cmdline"] or [])}
    return [each for each in below if each.info["ppid"] in daemons]


def is_daemon(words: list[str]) -> bool:
    return any(words[at : at + 2] in (["-m", module] for module in DAEMONS) for at in range(len(words)))


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def startup(folder: Path, rounds: int) -> list[Result]:
    """Seconds until an answer with the bundled model: the import, the first call of a session, calls after it."""
    importing = [
        timed(lambda: subprocess.run([sys.executable, "-c", "import blip_udfs"], check=True)) for _ in range(rounds)
    ]
    spark = session(folder, "demo")

    def ask(words: str) -> Callable[[], object]:
        return lambda: spark.sql(f"SELECT blip_text_embed('{words}')").collect()

    first = timed(ask("a car"))
    warm = [timed(ask(f"a car and {number} trucks")) for number in range(10 + rounds)][10:]
    spark.stop()
    return [
        seconds("startup", "SELECT blip_text_embed('...') in a session that had one, each a new text", warm, warm),
        seconds("startup", "the first of a session", [first], warm),
        seconds("startup", "import blip_udfs in a new Python", importing, warm),
    ]


def seconds(task: str, way: str, values: list[float], beside: list[float] | None = None) -> Result:
    """`beside`: what the first way took."""
    middle = statistics.median(values)
    ratio = round(middle / statistics.median(beside), 2) if beside else None
    return Result(task, way, round(middle, 3), "s", spread(values), ratio, len(values))


def profile(folder: Path, rounds: int) -> list[Result]:
    """Where the core-seconds of embedding one drawn JPEG of 1920x1020 px go, with base at 384 px, and what share of
    the processor's own matrix-multiply rate the vision encoder reaches."""
    from blip_udfs.blip.model import load, set_threads

    model = base_model(folder / "base")
    files = [str(file) for file in sorted((drawn(folder, 2, 6, (1920, 1020)) / "data").rglob("*.jpg"))]
    engine, spark = cast("Blip", load(str(model))), session(folder, str(model))
    rows = spark.createDataFrame([(file,) for file in files], "image STRING").repartition(os.cpu_count() or 1)
    rows.localCheckpoint().createOrReplaceTempView("files")
    set_threads(1)  # as in a worker whose task has one core
    batch = stages(engine, files)
    parts: dict[str, list[float]] = {name: [] for name in [*batch, "all of it, through SQL"]}
    for turn in range(rounds + 1):  # the first warms up
        spent = {name: timed(run) / len(files) for name, run in batch.items()}
        all_of_it = timed(lambda: spark.sql("SELECT count(blip_image_embed(image)) FROM files").collect())
        spent["all of it, through SQL"] = all_of_it * (os.cpu_count() or 1) / len(files)
        for name in parts:
            parts[name] += [spent[name]] if turn else []
    spark.stop()
    out = [seconds(PROFILE, name, values) for name, values in parts.items()]
    rest = out[-1].value - sum(each.value for each in out[:-1])
    out.append(seconds(PROFILE, "the rest: Spark, Arrow, cores that share memory", [rest]))
    return [*out, share_of_peak(engine, out[-3].value)]


def stages(engine: Blip, files: list[str]) -> dict[str, Callable[[], object]]:
    """The work on all files, one kind after the other; each takes what the one before would give it."""
    from blip_udfs.files.images import decode, normalise

    images = [decode(file) for file in files]
    size = (engine.image_size, engine.image_size)
    small = np.stack([np.asarray(image.resize(size, Resampling.BICUBIC)) for image in images])
    step = engine.batch_size
    return {
        "read and decode": lambda: [decode(file) for file in files],
        "resize": lambda: [image.resize(size, Resampling.BICUBIC) for image in images],
        "normalise": lambda: normalise(small, engine.processor.mean, engine.processor.std),
        "vision encoder": lambda: [engine.embed_images(small[at : at + step]) for at in range(0, len(small), step)],
    }


def share_of_peak(blip: Blip, seconds_per_image: float) -> Result:
    """The vision encoder's floating-point rate as a share of that of a large matrix product, by whichever of torch's
    two libraries is faster, on the same core."""
    import torch

    from blip_udfs.blip.engine import linear

    left, right = torch.randn(4608, 3072), torch.randn(768, 3072)
    with torch.inference_mode():
        products = [
            statistics.median(timed(product) for _ in range(9))
            for product in (lambda: torch.nn.functional.linear(left, right), lambda: linear(left, right))
        ]
    peak = 2 * len(left) * right.numel() / min(products)
    share = operations(blip) / seconds_per_image / peak
    way = "vision encoder's rate, of that of one large matrix product"
    return Result("profile", way, round(100 * share), "%", 0.0, None, 1)


def operations(blip: Blip) -> int:
    """Floating-point operations of the matrix products in embedding one image."""
    vision = blip.network.vision_model
    layers = cast("list[VisionLayer]", vision.encoder["layers"])
    rows, width = blip.features_shape
    inner, pixels = layers[0].mlp.fc1.out_features, vision.embeddings.patch_embedding.weight[0].numel()

    def layer(queries: int) -> int:
        projections = 2 * width * width * (2 * queries + 2 * rows)  # of queries and results, of keys and values
        return projections + 4 * queries * rows * width + 4 * queries * width * inner

    first = 2 * (rows - 1) * pixels * width  # patches as one product
    return first + (len(layers) - 1) * layer(rows) + layer(1) + 2 * width * blip.embed_dim


def codecs(folder: Path, rounds: int) -> list[Result]:
    """What Parquet's codecs gain on the bundled model's patch features of drawn images, and how fast one core reads."""
    import pyarrow as pa
    from pyarrow import parquet

    from blip_udfs.blip.model import load
    from blip_udfs.files.images import pixels

    engine, file = load("demo"), folder / "codec.parquet"
    images = sorted((drawn(folder, 100, 10, (960, 510)) / "data").rglob("*.jpg"))[:64]
    encoded = engine.features(np.stack([pixels(str(image), engine.image_size) for image in images]))
    blobs = [engine.pack(each) for each in encoded]
    table, size, out = pa.table({"features": pa.array(blobs, pa.binary())}), sum(map(len, blobs)), []
    plain: list[float] = []  # what the first codec, none, took
    for codec in CODECS:
        parquet.write_table(table, file, compression=codec, use_dictionary=False)
        _, *taken = [timed(lambda: parquet.read_table(file, use_threads=False)) for _ in range(5 * rounds + 1)]
        plain = plain or taken
        way = f"{codec}, {100 * file.stat().st_size / size:.0f} % of the bytes: read by one core"
        out.append(seconds("Parquet of patch features", way, taken, plain))
    return out


FOOTPRINT = {"memory": memory, "startup": startup, "profile": profile, "codecs": codecs}


def plot_profile(results: list[Result], file: Path) -> None:
    """The parts of `profile` as bars, each as its share of all. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parts = [each for each in results if each.task == PROFILE and not each.way.startswith("all of it")]
    figure, axes = pyplot.subplots(figsize=(7, 2.2))
    whole = sum(each.value for each in parts) / 100
    bars = axes.barh([each.way for each in parts], [each.value / whole for each in parts], color="#3b6ea5")
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("% of the core-seconds of an image of 1920x1020 px")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110, bbox_inches="tight")
    pyplot.close(figure)
