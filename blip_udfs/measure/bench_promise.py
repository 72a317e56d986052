"""A table of embedded images, sentences -> how often a promise of a share of all matches is kept; what it saves.

`python -m blip_udfs.measure.bench_promise demo_output/warehouse/once_embeddings` prints it. Each sentence's
similarities and scores are resampled to a table of 200,000 rows (see promise.py), and sampled with 100 seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np

from blip_udfs.blip.recall import Promise
from blip_udfs.measure.promise import Table, binned, oracle, outcome, resampled

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS, SEEDS = 200_000, 100
THRESHOLD = 0.60  # which the bundled model's card recommends
SHARES = (0.01, 0.35)  # of matches, that a sentence may have
CONFIDENCE = 0.95
SENTENCES = (
    *("a truck in the rain", "a truck", "in the rain", "at night", "a car at night", "a rainy day", "a cyclist"),
    *("a pedestrian", "a bus", "a bus in the rain", "a cyclist at night", "a pedestrian in the rain", "a white car"),
    *("a truck at night", "a red car", "a black car", "a highway", "an intersection", "a bridge", "a tunnel"),
    *("a car on a highway", "a car on an intersection", "a bus at night", "a cloudy day", "a cyclist on the left"),
    *("a truck on the right", "a pedestrian on the right", "a white truck", "two cars", "a car and a pedestrian"),
    *("a bus and a cyclist", "morning", "a car in the rain at night", "a truck far away", "a bus nearby"),
    *("a pedestrian at night", "a truck and a bus", "a silver car", "a blue car", "a yellow bus"),
)


@dataclass(frozen=True)
class Kept:
    """Of one sentence: the share of rows that match, in how many runs the promised share of them was kept, the median
    share of rows that ITM scored, and that which knowing all labels would score."""

    matching: float
    kept: int
    scored: float
    least: float


def measured(table: DataFrame, sentences: tuple[str, ...] = SENTENCES) -> tuple[np.ndarray, np.ndarray]:
    """(rows, sentences): similarities, and match logits less those of no match."""
    texts = "array(" + ", ".join(f"'{each}'" for each in sentences) + ")"
    rows = table.selectExpr("embedding", f"blip_itm_many(image, {texts}) AS scores").collect()
    asked = table.sparkSession.createDataFrame([(each,) for each in sentences], "t STRING")
    vectors = {row.t: row.e for row in asked.selectExpr("t", "blip_text_embed(t) AS e").collect()}
    scores = np.clip([row.scores for row in rows], 1e-9, 1 - 1e-9)
    near = np.array([row.embedding for row in rows]) @ np.array([vectors[each] for each in sentences]).T
    return near, np.log(scores / (1 - scores))


def kept(similarity: np.ndarray, logit: np.ndarray, recall: float, rows: int, seeds: int, draw: int) -> Kept | None:
    """None for a sentence that too few rows match, or too many. `draw`: the seed of the table."""
    near, logits = resampled(similarity, logit, rows, np.random.default_rng(draw))
    matches = logits > np.log(THRESHOLD / (1 - THRESHOLD))
    if not SHARES[0] <= matches.mean() <= SHARES[1]:
        return None
    table = Table.of(binned(near), matches)
    runs = [outcome(table, Promise(recall, CONFIDENCE), seed) for seed in range(seeds)]
    held = sum(run.kept >= recall for run in runs)
    return Kept(matches.mean(), held, np.median([run.scored for run in runs]) / rows, oracle(table, recall) / rows)


def line(recall: float, found: list[Kept]) -> str:
    scored, ratio = ([of(each) for each in found] for of in (lambda k: k.scored, lambda k: k.scored / k.least))
    return (
        f"recall {recall:g}: {len(found)} sentences, kept in {min(each.kept for each in found)} runs or more, median "
        f"{np.median(scored):.2f} of the rows scored ({min(scored):.2f} to {max(scored):.2f}), {np.median(ratio):.2f} "
        "times what knowing all labels would score"
    )


@click.command()
@click.argument("table", type=click.Path(exists=True))
def main(table: str) -> None:
    import blip_udfs

    spark = blip_udfs.builder().master("local[*]").config("spark.log.level", "ERROR").getOrCreate()
    near, logits = measured(spark.read.parquet(table))
    for recall in (0.9, 0.95):
        of_each = [kept(near[:, at], logits[:, at], recall, ROWS, SEEDS, at) for at in range(near.shape[1])]
        click.echo(line(recall, [each for each in of_each if each]))


if __name__ == "__main__":
    main()
