"""Vectors in Parquet -> the ten nearest of each query, by this package and by systems that people would use instead.

Each way runs in a Python process of its own, as in `peers_embed`. It prints what its first query takes with the files
out of the page cache, what later ones take, without and with a WHERE that keeps 1 %, and which rows they find.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from blip_udfs.measure.bench_scan import forget
from blip_udfs.measure.peers_embed import CORES, on_two_cores

K = 10
WIDTH = 256
SCENES = 100  # of which a WHERE asks for one
SCENE = 7
CENTRES = 2_000  # that vectors lie around: such as those of images, unlike random ones, have near neighbours
PER_FILE = 62_500
Ask = Callable[[np.ndarray, bool], list[int]]  # a query, and whether only of one scene -> ids, best first


def vectors(folder: Path, rows: int) -> Path:
    """Unit vectors as Parquet, kept from run to run: id BIGINT, scene BIGINT, embedding ARRAY<FLOAT>."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, rows, PER_FILE):
        file, count = folder / f"{start:09}.parquet", min(PER_FILE, rows - start)
        if not file.exists():
            values = near_centres(np.random.default_rng([1, start]), count)
            ends = np.arange(0, count * WIDTH + 1, WIDTH, dtype=np.int32)
            ids = np.arange(start, start + count)
            columns = {"id": ids, "scene": ids % SCENES, "embedding": pa.ListArray.from_arrays(ends, values.ravel())}
            parquet.write_table(pa.table(columns), file, compression="none", use_dictionary=False)
    return folder


def near_centres(rng: np.random.Generator, count: int) -> np.ndarray:
    centres = np.random.default_rng(0).standard_normal((CENTRES, WIDTH), np.float32)
    values = centres[rng.integers(0, CENTRES, count)] + 0.7 * rng.standard_normal((count, WIDTH), np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def queries(count: int) -> np.ndarray:
    return near_centres(np.random.default_rng(2), count)


def read(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids and vectors of all files, in their order."""
    from pyarrow import parquet

    tables = [parquet.read_table(file) for file in sorted(Path(folder).glob("*.parquet"))]
    values = [table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, WIDTH) for table in tables]
    return np.concatenate([table["id"].to_numpy() for table in tables]), np.concatenate(values)


def truth(folder: str, wanted: np.ndarray, of_scene: bool) -> list[list[int]]:
    ids, values = read(folder)
    if of_scene:
        ids, values = ids[ids % SCENES == SCENE], values[ids % SCENES == SCENE]
    scores = wanted @ values.T  # (Q, rows)
    return [ids[np.argsort(-row)[:K]].tolist() for row in scores]


def by_sql(folder: str, work: str) -> Ask:
    from blip_udfs.measure.bench_alternatives import session

    spark = session(Path(work), "demo", str(CORES))
    spark.read.parquet(folder).createOrReplaceTempView("vectors")

    def ask(query: np.ndarray, of_scene: bool) -> list[int]:
        where = f"WHERE scene = {SCENE}" if of_scene else ""
        literal = f"array({', '.join(f'{value!r}F' for value in query.tolist())})"
        ranked = f"ORDER BY blip_similarity(embedding, {literal}) DESC LIMIT {K}"
        return [row[0] for row in spark.sql(f"SELECT id FROM vectors {where} {ranked}").collect()]

    return ask


def by_duckdb(folder: str, work: str) -> Ask:
    import duckdb

    connection = duckdb.connect(config={"threads": CORES})

    def ask(query: np.ndarray, of_scene: bool) -> list[int]:
        where = f"WHERE scene = {SCENE}" if of_scene else ""
        size = f"FLOAT[{WIDTH}]"
        ranked = f"ORDER BY array_inner_product(embedding::{size}, $1::{size}) DESC LIMIT {K}"
        statement = f"SELECT id FROM read_parquet('{folder}/*.parquet') {where} {ranked}"
        return [row[0] for row in connection.execute(statement, [query.tolist()]).fetchall()]

    return ask


def by_lancedb(folder: str, work: str, index: bool = False, refine: int | None = None) -> Ask:
    """A table of its own of the same rows; with `index` IVF_PQ by its own defaults, where `refine` has it look up so
    many times ten rows' own vectors."""
    import lancedb

    table = lancedb.connect(work).open_table("indexed" if index else "plain")

    def ask(query: np.ndarray, of_scene: bool) -> list[int]:
        search = table.search(query).distance_type("dot").limit(K).select(["id", "_distance"])
        search = search.where(f"scene = {SCENE}", prefilter=True) if of_scene else search
        search = search.refine_factor(refine) if refine else search
        return [row["id"] for row in search.to_list()]

    return ask


def into_lancedb(folder: str, work: str) -> dict[str, float]:
    """Both tables; seconds that they and the index take, if they are not there from an earlier run."""
    import lancedb
    import pyarrow as pa
    from pyarrow import parquet

    database, took = lancedb.connect(work), {}
    for name in {"plain", "indexed"} - set(database.table_names()):
        began = time.perf_counter()
        table = None
        for file in sorted(Path(folder).glob("*.parquet")):
            rows = parquet.read_table(file)
            values = rows["embedding"].combine_chunks().flatten()
            part = rows.drop_columns("embedding").append_column(
                "vector", pa.FixedSizeListArray.from_arrays(values, WIDTH)
            )
            table = table.add(part) and table if table else database.create_table(name, part)
        took[name] = time.perf_counter() - began
        if table is not None and name == "indexed":
            table.create_index(metric="dot", vector_column_name="vector")
            took["index"] = time.perf_counter() - began - took[name]
    return took


WAYS: dict[str, Callable[[str, str], Ask]] = {
    "ORDER BY blip_similarity, SQL": by_sql,
    "DuckDB, scan of the same Parquet": by_duckdb,
    "LanceDB, no index": by_lancedb,
    "LanceDB, IVF_PQ": partial(by_lancedb, index=True),
    "LanceDB, IVF_PQ, refine_factor 10": partial(by_lancedb, index=True, refine=10),
}


def main(asked: dict[str, Any]) -> None:
    began = time.perf_counter()
    on_two_cores()
    folder, work, wanted = asked["folder"], asked["work"], queries(asked["queries"])
    if asked["way"] == "prepare":
        print(json.dumps(into_lancedb(folder, work)), flush=True)
        return
    found: dict[str, Any] = {}
    ask = WAYS[asked["way"]](folder, work)
    found["start"] = time.perf_counter() - began
    for of_scene, name in ((False, "all"), (True, "1 %")):
        forget(Path(folder), Path(work))
        seconds, ids = [], []
        for query in wanted:
            before = time.perf_counter()
            ids.append(ask(query, of_scene))
            seconds.append(time.perf_counter() - before)
        found[name] = {"cold": seconds[0], "warm": statistics.median(seconds[1:]), "ids": ids}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(json.load(sys.stdin))
