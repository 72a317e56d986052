"""The ways of `peers_embed` and `peers_search` in turn, each time in a new process -> medians, spread, ratios."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import numpy as np

from blip_udfs.blip.checkpoint import DEMO
from blip_udfs.measure import peers_embed, peers_search
from blip_udfs.measure.bench import Result, spread
from blip_udfs.measure.bench_alternatives import base_model, drawn

PEERS = ("daft", "ray", "duckdb", "lancedb")
LARGE, SMALL = ((1920, 1020), 25, 6), ((960, 510), 150, 10)  # size of a JPEG, sequences, frames of each of two cameras
ROWS = 1_000_000
QUERIES = 21  # the first of which is the cold one
SAME = 0.98  # cosine of two ways' embeddings of an image; they decode JPEGs by other libraries


def versions() -> dict[str, str]:
    """Raises ClickException where a peer is not installed."""
    try:
        return {"peers": ", ".join(f"{name} {version(name)}" for name in PEERS)}
    except PackageNotFoundError as error:
        raise click.ClickException(
            f"bench peers: {error.name} is not installed here: pip install 'blip-udfs[peers]'"
        ) from None


def peers(folder: Path, rounds: int, share: float = 1.0) -> list[Result]:
    """Embedding with the bundled model and with base, then search. `share` of the images and rows, for a try."""
    versions()
    base = str(base_model(folder / "base"))
    large, small = (files(folder, *each, share) for each in (LARGE, SMALL))
    few = large[:: 3 if share == 1 else 1]  # base takes minutes for a hundred, and its rate is the same for more
    out: list[Result] = []
    for images, size, model, name in (
        (large, LARGE[0], str(DEMO), "bundled model"),
        (small, SMALL[0], str(DEMO), "bundled model"),
        (few, LARGE[0], base, "base"),
    ):
        task = f"embed {len(images)} JPEGs of {size[0]}x{size[1]} px to Parquet, {name}"
        out += embedding(task, images, model, folder, rounds)
    return out + search(folder, rounds, round(ROWS * share))


def files(folder: Path, size: tuple[int, int], sequences: int, frames: int, share: float) -> list[str]:
    """At least two sequences of them."""
    root = drawn(folder, max(2, round(sequences * share)), frames, size)
    return [str(file.resolve()) for file in sorted((root / "data").rglob("*.jpg"))]


def embedding(task: str, images: list[str], model: str, folder: Path, rounds: int) -> list[Result]:
    """Images/s of the job, started and warm, and how long the process takes with starting, warming and all."""
    job: dict[str, list[float]] = {way: [] for way in peers_embed.WAYS}
    whole: dict[str, list[float]] = {way: [] for way in peers_embed.WAYS}
    first: dict[str, np.ndarray] = {}
    for turn in range(rounds):
        for way in peers_embed.WAYS:
            out = folder / "peers_embedded"
            for kept in (out, Path(f"{out}_few")):
                shutil.rmtree(kept, ignore_errors=True)
            asked = {"way": way, "files": images, "model": model, "out": str(out), "work": str(folder)}
            said = ask(peers_embed.__name__, asked)
            job[way].append(said["job"])
            whole[way].append(said["whole"])
            if turn == 0 and way != "the notebooks' way":  # which keeps patch features, no embedding
                found = peers_embed.embedded(str(out))
                first = first or found
                check(way, found, first)
    return compared(task, "images/s", len(images), job) + compared(f"{task}: the whole process", "s", None, whole)


def check(way: str, found: dict[str, np.ndarray], first: dict[str, np.ndarray]) -> None:
    """Raises ValueError where a way has other images than the first, or other embeddings of them."""
    if found.keys() != first.keys():
        raise ValueError(f"{way}: expected embeddings of {len(first)} images, got {len(found)}")
    least = min(float(found[name] @ first[name]) for name in first)
    if least < SAME:
        raise ValueError(
            f"{way}: expected embeddings of a cosine of {SAME} or more to the first way's, got {least:.3f}"
        )


def ask(module: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What the module says when it is run so. Raises RuntimeError with the end of what it writes where it fails."""
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{asked['way']}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compared(task: str, unit: str, work: int | None, seconds: dict[str, list[float]]) -> list[Result]:
    """`work` a call as a rate, or the seconds themselves; ratios of each round to the first way."""
    ours, out = next(iter(seconds.values())), []
    for way, own in seconds.items():
        middle = statistics.median(own)
        ratio = statistics.median(theirs / mine for theirs, mine in zip(own, ours, strict=True))
        value = round(work / middle, 2) if work else round(middle, 3)
        out.append(Result(task, way, value, unit, spread(own), round(ratio, 2), len(own)))
    return out


def search(folder: Path, rounds: int, rows: int) -> list[Result]:
    """The ten nearest of `rows` vectors: the first query, with the files out of the page cache, later ones, and both
    with a WHERE that keeps 1 %."""
    vectors, tables = peers_search.vectors(folder / f"peers_vectors_{rows}", rows), folder / f"peers_lance_{rows}"
    asked = {"folder": str(vectors), "work": str(tables), "queries": QUERIES}
    took = ask(peers_search.__name__, asked | {"way": "prepare"})
    said: dict[str, list[dict[str, Any]]] = {way: [] for way in peers_search.WAYS}
    for _ in range(rounds):
        for way, answers in said.items():
            answers.append(ask(peers_search.__name__, asked | {"way": way}))
    out: list[Result] = []
    what = f"top 10 of {rows:,} x {peers_search.WIDTH}"
    for kept, name in (("all", what), ("1 %", f"{what}, WHERE keeps 1 %")):
        expected = peers_search.truth(str(vectors), peers_search.queries(QUERIES), kept == "1 %")
        for when in ("warm", "cold"):
            seconds = {way: [each[kept][when] for each in answers] for way, answers in said.items()}
            out += compared(f"{name}, {when}", "s", None, seconds)
        for way, answers in said.items():
            found = recall(answers[0][kept]["ids"], expected)
            out.append(Result(f"{name}, recall@10", way, found, "recall", 0.0, None, 1))
    out += compared(
        f"{what}: start of process and session", "s", None, {w: [e["start"] for e in a] for w, a in said.items()}
    )
    for part, spent in took.items():
        out.append(Result(f"{what}: made once", f"LanceDB, {part}", round(spent, 1), "s", 0.0, None, 1))
    return out


def recall(found: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]) -> float:
    """The mean share of the true nearest that is among those found."""
    shares = [len(set(own) & set(true)) / len(true) for own, true in zip(found, expected, strict=True)]
    return round(statistics.fmean(shares), 3)
