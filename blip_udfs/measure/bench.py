"""This package and its alternatives, interleaved in one run -> medians, spread and ratios beside the machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blip_udfs.measure.bench_alternatives import (
    SENTENCE,
    Transformers,
    base_model,
    drawn,
    scan,
    sentence_of,
    session,
    stored,
    vectors,
)

if TYPE_CHECKING:
    from blip_udfs.blip.family import Model

TOKENS = (5, 9, 20, 35)
NOTEBOOK_TOKENS = 35  # what the notebooks pad every text to


@dataclass(frozen=True)
class Result:
    """One way of doing the work; `ratio`, how many times faster than it the first way is; None where none is asked."""

    task: str
    way: str
    value: float
    unit: str
    spread: float  # (slowest - fastest) / median of the rounds
    ratio: float | None
    rounds: int


def interleaved(
    task: str, unit: str, work: int | list[int], ways: Mapping[str, Callable[[], Any]], rounds: int
) -> list[Result]:
    """Each way once to warm up, then `rounds` times in turn; the first is ours. `work` is what a call does, of all ways
    or of each. Ratios are of rates, medians over rounds."""
    amounts = dict(zip(ways, work, strict=True)) if isinstance(work, list) else dict.fromkeys(ways, work)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, run in ways.items():
            taken = timed(run)
            if turn:
                seconds[name].append(taken)
    rates = {name: [amounts[name] / taken for taken in own] for name, own in seconds.items()}
    ours = rates[next(iter(ways))]
    out = []
    for name, own in rates.items():
        ratio = statistics.median(mine / theirs for theirs, mine in zip(own, ours, strict=True))
        out.append(
            Result(task, name, round(statistics.median(own), 2), unit, spread(seconds[name]), round(ratio, 2), rounds)
        )
    return out


def timed(run: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def spread(seconds: list[float]) -> float:
    """(slowest - fastest) / median."""
    return round((max(seconds) - min(seconds)) / statistics.median(seconds), 2)


def machine() -> dict[str, str]:
    """What the figures depend on."""
    import pyspark
    import torch
    import transformers

    names = [line.split(":")[1].strip() for line in cpu_lines() if line.startswith("model name")]
    return {
        "processor": f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU",
        "versions": f"Spark {pyspark.__version__}, torch {torch.__version__}, transformers {transformers.__version__}",
    }


def cpu_lines() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


def embed(folder: Path, rounds: int) -> list[Result]:
    """48 JPEG files of 1920x1020 px through SQL to a Parquet table, and by transformers' loop."""
    from blip_udfs.blip.model import load, set_threads
    from blip_udfs.files.images import pixels

    model, root = base_model(folder / "base"), drawn(folder, 4, 6, (1920, 1020))
    files = sorted((root / "data").rglob("*.jpg"))
    spark, theirs = session(folder, str(model)), Transformers(model)
    engine, compiled = load(str(model)), load(str(model), backend="openvino")
    paths = spark.createDataFrame([(str(file),) for file in files], "image STRING").repartition(os.cpu_count() or 1)
    paths.localCheckpoint().createOrReplaceTempView("files")

    def through_sql() -> None:
        spark.sql("SELECT image, blip_image_embed(image) AS embedding FROM files").write.mode("overwrite").parquet(
            str(folder / "embeddings")
        )

    def in_plain_python(blip: Model) -> None:
        set_threads(os.cpu_count() or 1)
        for start in range(0, len(files), blip.batch_size):
            chunk = files[start : start + blip.batch_size]
            blip.embed_images(np.stack([pixels(str(file), blip.image_size) for file in chunk]))

    ways: dict[str, Callable[[], Any]] = {
        "blip_image_embed, SQL to Parquet": through_sql,
        "this engine in plain Python": partial(in_plain_python, engine),
        "transformers, batches of 8": lambda: theirs.embed(files),
        "this engine in plain Python, backend openvino": partial(in_plain_python, compiled),
    }
    return interleaved("embed", "images/s", len(files), ways, rounds)


def read(folder: Path, rounds: int, sequences: int = 50) -> list[Result]:
    """The bundled model, which takes little time itself, over local JPEG files of 960x510 px in the job's batches: read
    by the workers, and by Spark, whose JVM hands them over. Raises ValueError where Spark does not read."""
    from blip_udfs.job.embed import IMAGES_A_TASK
    from blip_udfs.job.increment import setting

    root, spark = drawn(folder, sequences, 5, (960, 510)), session(folder, "demo")
    files = [(f"file:{file.resolve()}",) for file in sorted((root / "data").rglob("*.jpg"))]
    paths = spark.createDataFrame(files, "image STRING").repartition(os.cpu_count() or 1)
    paths.localCheckpoint().createOrReplaceTempView("to_read")

    def embedded(reader: str) -> None:
        with setting(spark, "spark.blip.read", reader):
            images = spark.sql("SELECT blip_image_embed(image) FROM to_read")
            plan = images._jdf.queryExecution().optimizedPlan().toString()
            if ("blip_file(" in plan) != (reader == "spark"):
                raise ValueError(f"spark.blip.read = {reader}: another reads, by the plan {plan}")
            images.write.format("noop").mode("overwrite").save()

    ways: dict[str, Callable[[], Any]] = {
        "read by the workers": partial(embedded, "worker"),
        "read by Spark": partial(embedded, "spark"),
    }
    with setting(spark, "spark.sql.execution.arrow.maxRecordsPerBatch", str(IMAGES_A_TASK)):
        return interleaved("embed JPEGs of 960x510 px, bundled model", "images/s", len(files), ways, rounds)


def itm(folder: Path, rounds: int, rows: int = 256) -> list[Result]:
    """One sentence and the stored patch features of as many images as the cascade has candidates, through SQL; a
    quarter of them, for less waiting, by transformers in batches of 32, and row by row."""
    from blip_udfs.blip.features import unpack_features

    model = base_model(folder / "base")
    spark, theirs = session(folder, str(model)), Transformers(model)
    files = stored(folder / "features", rows, spark.sql("SELECT blip_model()").collect()[0][0].partition("@")[2])
    spark.read.parquet(str(files)).createOrReplaceTempView("stored")
    few = spark.table("stored").limit(rows // 4).collect()
    features = np.stack([unpack_features(bytes(blob)).astype(np.float32) for (blob,) in few])
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
        work = [rows, *[len(features)] * (len(ways) - 1)]
        out += interleaved(f"itm, {tokens} tokens", "pairs/s", work, ways, rounds)
    return out


def features(folder: Path, rounds: int, rows: int = 512) -> list[Result]:
    """Stored patch features in the two forms of spark.blip.features: embedded, for which little is computed, so that
    reading is the limit, and scored with a sentence."""
    spark = session(folder, str(base_model(folder / "base")))
    digest = spark.sql("SELECT blip_model()").collect()[0][0].partition("@")[2]
    views: dict[str, str] = {}
    for dtype in ("int8", "float16"):
        files = stored(folder / f"features_{dtype}", rows, digest, dtype)
        spark.read.parquet(str(files)).createOrReplaceTempView(f"stored_{dtype}")
        (size,) = spark.table(f"stored_{dtype}").selectExpr("CAST(avg(length(features)) AS INT)").collect()[0]
        views[f"{dtype}, {size:,} bytes an image"] = f"stored_{dtype}"

    def summed(value: str, view: str) -> list:
        return spark.sql(f"SELECT sum({value}) FROM {view}").collect()

    out: list[Result] = []
    scored = f"blip_itm(features, '{SENTENCE}')"
    for task, unit, value in (
        ("stored features, embedded", "images/s", "blip_image_embed(features)[0]"),
        ("stored features, itm of 9 tokens", "pairs/s", scored),
    ):
        ways: dict[str, Callable[[], Any]] = {way: partial(summed, value, view) for way, view in views.items()}
        out += interleaved(task, unit, rows, ways, rounds)
    return out


def search(folder: Path, rounds: int, rows: int = 1_000_000) -> list[Result]:
    """The ten rows nearest to a sentence among a million vectors in Parquet: the sentence as a constant in SQL, its
    vector as a literal array in SQL, and a plain scan of the same files by pyarrow and numpy."""
    spark = session(folder, str(base_model(folder / "base")))
    files = str(vectors(folder / f"vectors_{rows}", rows))
    spark.read.parquet(files).createOrReplaceTempView("vectors")
    wanted = np.array(spark.sql(f"SELECT blip_text_embed('{SENTENCE}')").first()[0], np.float32)  # type: ignore[index]
    literal = f"array({', '.join(f'{value!r}F' for value in wanted.tolist())})"

    def nearest(vector: str) -> list:
        query = f"SELECT id, blip_similarity(embedding, {vector}) AS similarity FROM vectors"
        return spark.sql(f"{query} ORDER BY similarity DESC LIMIT 10").collect()

    ways: dict[str, Callable[[], Any]] = {
        "ORDER BY similarity to blip_text_embed('...')": partial(nearest, f"blip_text_embed('{SENTENCE}')"),
        "the same with a literal array": partial(nearest, literal),
        "pyarrow and numpy": partial(scan, files, wanted),
    }
    return interleaved(f"top 10 of {rows:,} x 256", "queries/s", 1, ways, rounds) + growth(folder, rounds)


def many(folder: Path, rounds: int, rows: int = 1_000_000) -> list[Result]:
    """The ten rows nearest to each of several sentences, beside those of one by a plain ORDER BY: the ratio is how many
    times longer they take. By blip_search in SQL, which `search(queries=...)` asks too, with the sentences' own
    embedding, of rows without an image, of which nothing is scored; and as `search` does where no extension is."""
    from blip_udfs.results.candidates import Names, judged
    from blip_udfs.results.many import nearest_of_each, with_sentences

    spark = session(folder, str(base_model(folder / "base")))
    table = spark.read.parquet(str(vectors(folder / f"vectors_{rows}", rows)))
    wanted = np.random.default_rng(1).standard_normal((100, 256), np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    table.selectExpr("id", "CAST(NULL AS STRING) AS image", "embedding").createOrReplaceTempView("vectors")
    literal = f"array({', '.join(f'{value!r}F' for value in wanted[0].tolist())})"
    query = f"SELECT id, blip_similarity(embedding, {literal}) AS similarity FROM vectors"
    names = Names("id", "embedding", None, None, None)
    texts = [f"sentence {at}" for at in range(len(wanted))]

    def nearest(count: int) -> list:
        among = with_sentences(judged(table, names, ""), names, wanted[:count], texts[:count], 10)
        return nearest_of_each(among, names, 10, count, "").select("id", "blip_asked").collect()

    def by_sql(count: int) -> list:
        saved = ", ".join(f"('{text}', '{text}')" for text in texts[:count])
        call = f"blip_search('vectors', queries => TABLE(VALUES {saved}), k => 10, candidates => 10)"
        return spark.sql(f"SELECT query, rank, id FROM {call}").collect()

    ways: dict[str, Callable[[], Any]] = {
        "one sentence, ORDER BY similarity": spark.sql(f"{query} ORDER BY similarity DESC LIMIT 10").collect,
        **{f"{count} sentences, blip_search": partial(by_sql, count) for count in (1, 10, 100)},
        **{f"{count} sentences, without the extension": partial(nearest, count) for count in (1, 100)},
    }
    return interleaved(f"top 10 of each, of {rows:,} x 256", "scans/s", 1, ways, rounds)


def growth(folder: Path, rounds: int) -> list[Result]:
    """The same query over more rows, which takes as many times longer if it grows linearly."""
    spark, sizes = session(folder, "demo"), [1_000_000, 4_000_000]
    ways: dict[str, Callable[[], Any]] = {}
    for rows in sizes:
        spark.read.parquet(str(vectors(folder / f"vectors_{rows}", rows))).createOrReplaceTempView(f"vectors_{rows}")
        vector = "array_repeat(CAST(0.0625 AS FLOAT), 256)"
        query = f"SELECT id, blip_similarity(embedding, {vector}) AS similarity FROM vectors_{rows}"
        ways[f"top 10 of {rows:,} x 256"] = spark.sql(f"{query} ORDER BY similarity DESC LIMIT 10").collect
    return interleaved("rows per second as a table grows", "rows/s", sizes, ways, rounds)


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


SPEED: dict[str, Callable[[Path, int], list[Result]]] = {
    "embed": embed,
    "read": read,
    "itm": itm,
    "features": features,
    "search": search,
    "many": many,
    "cascade": cascade,
}
