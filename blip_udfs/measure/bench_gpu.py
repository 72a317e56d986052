"""A machine with an NVIDIA GPU -> are its numbers a CPU's, how fast, in how much memory, and is it kept busy."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import numpy as np

from blip_udfs.measure.bench import Result, interleaved, spread, timed
from blip_udfs.measure.bench_alternatives import SENTENCE, SIZES, drawn, random_model, sentence_of, session
from blip_udfs.measure.gpu_use import GpuUse

if TYPE_CHECKING:
    from blip_udfs.blip.retrieval import Blip

TOLERANCES = {  # largest difference to float32 on the CPU, of embeddings (whose length is 1) and of ITM logits
    "float32": (1e-5, 1e-4),
    "bfloat16": (2e-2, 2e-1),
    "float16": (2e-3, 2e-2),
}
WITHIN, BEYOND = "difference, within", "difference, BEYOND"
BATCHES = (64, 1, 4, 16, 32, 128, 256)  # the first is what `auto` takes
TOKENS = (9, 35)
TOO_MANY = 512  # images of one pass that the memory is made too small for
REPEATED = 40  # times that a query reads each of the drawn JPEGs


class NoGpu(click.ClickException):
    exit_code = 2


def need_gpu() -> None:
    """Raises NoGpu, before anything is made or measured."""
    import torch

    if not torch.cuda.is_available():
        raise NoGpu(
            f"bench gpu: torch {torch.__version__} has no NVIDIA GPU here; run it on a machine where `nvidia-smi -L` "
            "lists one, by `make gpu`, which installs a torch built for CUDA"
        )


def gpu(folder: Path, rounds: int) -> list[Result]:
    """Of base and large at 384 px; then base through SQL, with more and more cores to decode images for the GPU."""
    need_gpu()
    out: list[Result] = []
    for size, (vision, text) in SIZES.items():
        model = random_model(folder / f"gpu_{size}", vision, text, alive=True)
        out += parity(model, size, "cuda")
        for dtype in ("bfloat16", "float16", "float32"):
            out += sweep(model, f"{size}, {dtype}", "cuda", dtype, BATCHES, rounds)
        out += beside_transformers(model, size, "cuda", "bfloat16", rounds)
        out += too_many(model, size)
    return out + through_sql(folder, folder / "gpu_base", rounds)


def parity(model: Path, size: str, device: str, images: int = 4) -> list[Result]:
    """The largest differences to float32 on the CPU, each with how far it may be."""
    expected = numbers(str(model), "cpu", "float32", images)
    out = []
    for dtype, tolerances in TOLERANCES.items():
        found = numbers(str(model), device, dtype, images)
        for (what, values), theirs, tolerance in zip(found.items(), expected.values(), tolerances, strict=True):
            largest = float(abs(values - theirs).max())
            unit = f"{WITHIN if largest <= tolerance else BEYOND} {tolerance:g}"
            way = f"{dtype} on {device}, {what}"
            out.append(
                Result(f"parity with float32 on the CPU, {size}", way, float(f"{largest:.2g}"), unit, 0.0, None, 1)
            )
    return out


def numbers(model: str, device: str, dtype: str, images: int) -> dict[str, np.ndarray]:
    blip = loaded(model, device, dtype)
    pixels, texts = noise(images, blip.image_size), [SENTENCE, *["a bus"] * (images - 1)]
    vectors = [blip.embed_images(pixels), blip.embed_texts(texts)]
    features = blip.features(pixels)
    logits = [blip.itm_logits(features, texts), blip.itm_logits_of_many(features[0], texts)]
    return {"embeddings": np.concatenate(vectors), "ITM logits": np.concatenate(logits)}


def loaded(model: str, device: str, dtype: str) -> Blip:
    from blip_udfs.blip.model import load

    return cast("Blip", load(model, device, dtype))


def noise(images: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (images, side, side, 3), dtype=np.uint8)


def sweep(model: Path, what: str, device: str, dtype: str, sizes: Sequence[int], rounds: int) -> list[Result]:
    """Images/s of the vision encoder by batch size, decoded pixels in memory to embeddings in memory, and the largest
    batch's memory."""
    blip = loaded(str(model), device, dtype)
    pixels = noise(max(sizes), blip.image_size)

    def in_batches(size: int) -> None:
        for start in range(0, len(pixels), size):
            blip.embed_images(pixels[start : start + size])

    ways: dict[str, Callable[[], Any]] = {f"batches of {size}": partial(in_batches, size) for size in sizes}
    peaks = [
        Result(f"memory, {what}", f"a batch of {size}", peak(blip, pixels[:size]), "GB", 0.0, None, 1)
        for size in sorted(sizes)
    ]
    return interleaved(f"embed, {what}", "images/s", len(pixels), ways, rounds) + peaks


def peak(blip: Blip, pixels: np.ndarray) -> float:
    """GB of the GPU that torch had allocated at most, weights included; of a CPU nothing is known."""
    import torch

    if blip.device.type != "cuda":
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    blip.embed_images(pixels)
    return round(torch.cuda.max_memory_allocated() / 1e9, 2)


def beside_transformers(
    model: Path, size: str, device: str, dtype: str, rounds: int, images: int = 256, batch: int = 64
) -> list[Result]:
    """Ours from decoded pixels, and pairs from patch features in half precision, both in this process' memory;
    transformers' from what is already normalised, of its type and on the device, by its own attention and by SDPA."""
    import torch
    from transformers import AutoTokenizer, BlipForImageTextRetrieval

    from blip_udfs.files.images import normalise
    from blip_udfs.measure.sdpa import with_sdpa

    blip = loaded(str(model), device, dtype)
    tokenizer = AutoTokenizer.from_pretrained(model)
    pixels, how = noise(images, blip.image_size), blip.processor
    theirs = {
        name: changed(BlipForImageTextRetrieval.from_pretrained(model).eval().to(device, blip.dtype))
        for name, changed in (("transformers with SDPA", with_sdpa), ("transformers as it is", lambda same: same))
    }
    on_device = torch.from_numpy(normalise(pixels, how.mean, how.std, how.rescale)).to(device, blip.dtype)
    features = blip.features(pixels[:batch]).astype(np.float16)
    patches = torch.from_numpy(features).to(device, blip.dtype)
    steps = range(0, images, batch)

    @torch.inference_mode()
    def embed(network: Any) -> None:
        for start in steps:
            first = network.vision_model(on_device[start : start + batch]).last_hidden_state[:, 0]
            torch.nn.functional.normalize(network.vision_proj(first), dim=-1).float().cpu().numpy()

    @torch.inference_mode()
    def match(network: Any, text: str) -> None:
        tokens = tokenizer([text] * len(patches), return_tensors="pt").to(device)
        for _ in steps:
            hidden = network.text_encoder(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                encoder_hidden_states=patches,
                encoder_attention_mask=torch.ones(patches.shape[:2], dtype=torch.long, device=device),
            ).last_hidden_state
            network.itm_head(hidden[:, 0]).float().cpu().numpy()

    def ours() -> None:
        for start in steps:
            blip.embed_images(pixels[start : start + batch])

    def our_pairs(text: str) -> None:
        for _ in steps:
            blip.itm_logits(features, [text] * len(features))

    own = f"blip-udfs, batches of {batch}"
    ways = {own: ours} | {name: partial(embed, network) for name, network in theirs.items()}
    out = interleaved(f"embed beside transformers, {size}, {dtype}", "images/s", images, ways, rounds)
    for tokens in TOKENS:
        text = sentence_of(tokens, tokenizer)
        pairs = {own: partial(our_pairs, text)} | {name: partial(match, net, text) for name, net in theirs.items()}
        task = f"itm of {tokens} tokens, {size}, {dtype}"
        out += interleaved(task, "pairs/s", len(features) * len(steps), pairs, rounds)
    return out


def too_many(model: Path, size: str) -> list[Result]:
    """A pass for which the GPU is made too small: how many images it goes on with, and that they are the same."""
    import torch

    blip = loaded(str(model), "cuda", "bfloat16")
    pixels = noise(TOO_MANY, blip.image_size)
    idle, whole = torch.cuda.memory_allocated(), peak(blip, pixels) * 1e9
    expected = blip.embed_images(pixels)
    with memory_of(idle + (whole - idle) / 3):
        found = blip.embed_images(pixels)
    went_on = blip.fitting.most.pop("images", TOO_MANY)
    task, within = f"out of memory, {size}, bfloat16", TOLERANCES["bfloat16"][0]
    largest = float(abs(found - expected).max())
    unit = f"{WITHIN if largest <= within else BEYOND} {within:g}"
    return [
        Result(
            task, f"{TOO_MANY} in a third of the memory that they take: goes on with", went_on, "images", 0.0, None, 1
        ),
        Result(task, "embeddings, to those of one pass", float(f"{largest:.2g}"), unit, 0.0, None, 1),
    ]


@contextmanager
def memory_of(size: float) -> Iterator[None]:
    """So many bytes of the GPU for this process."""
    import torch

    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / torch.cuda.get_device_properties(0).total_memory))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def through_sql(folder: Path, model: Path, rounds: int) -> list[Result]:
    """JPEGs of 1920x1020 px by path: one task with more and more cores, as many as decode for it, then two tasks that
    share the GPU; each with the GPU's use over the time. Where more cores make it faster, the decoder is the limit."""
    cores = os.cpu_count() or 1
    plans = [(1, count) for count in (2, 4, 8, 16, 32) if count <= cores] or [(1, cores)]
    plans += [(2, cores // 2)] if cores > 1 else []
    files = [f"file:{file.resolve()}" for file in sorted((drawn(folder, 4, 6, (1920, 1020)) / "data").rglob("*.jpg"))]
    return [row for plan in plans for row in one_plan(folder, model, files, *plan, rounds)]


def one_plan(folder: Path, model: Path, files: list[str], tasks: int, cores: int, rounds: int) -> list[Result]:
    import torch

    spark = session(folder, str(model), str(tasks * cores), {"spark.task.cpus": str(cores)})
    try:
        spark.conf.set("spark.blip.device", "cuda")
        spark.conf.set("spark.blip.read", "worker")
        paths = spark.createDataFrame([(file,) for file in files * REPEATED], "image STRING").repartition(tasks)
        paths.localCheckpoint().createOrReplaceTempView("files")
        embedded = spark.sql("SELECT blip_image_embed(image) FROM files")
        run = embedded.write.format("noop").mode("overwrite").save
        run()  # the model is loaded, the files are in the page cache
        with GpuUse(f"GPU-{torch.cuda.get_device_properties(0).uuid}") as use:
            seconds = [timed(run) for _ in range(rounds)]
    finally:
        spark.stop()
    rate = round(statistics.median(len(files) * REPEATED / each for each in seconds), 1)
    task = f"through SQL, base, {tasks} task{'s' * (tasks > 1)} of {cores} cores"
    over_time = " ".join(map(str, use.over_time()))
    return [
        Result(task, "JPEGs of 1920x1020 px embedded", rate, "images/s", spread(seconds), None, rounds),
        Result(task, f"GPU in use, and in each tenth of the time: {over_time}", round(use.mean()), "%", 0.0, None, 1),
        Result(task, "GPU memory at most", round(max(use.mebibytes, default=0) / 953.7, 2), "GB", 0.0, None, 1),
    ]
