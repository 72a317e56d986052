"""Rows whose embeddings say something of their scores, as a table in which all that match a sentence are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from blip_udfs.blip.model import load

TEXT = "a truck at night"
ROWS, UNLIKE = 2400, 20
SCHEMA = "id INT, image STRING, embedding ARRAY<FLOAT>, model STRING, version INT, camera STRING"


@dataclass(frozen=True)
class Similar:
    """The rows as SCHEMA says, ITM and its logit by image, and a threshold that the best of three images pass."""

    rows: list[tuple]
    scores: dict[str, float]
    logits: dict[str, float]
    threshold: float

    def matching(self, rows: list[tuple] | None = None) -> set[int]:
        return {row[0] for row in (self.rows if rows is None else rows) if self.scores[row[1]] > self.threshold}


def stored(spark: SparkSession, model_folder: Path, tree: Path, name: str) -> Similar:
    """Many rows of a tree's images, the embeddings of those that match mostly more similar to the text, the last UNLIKE
    without one, as the table `name`."""
    spark.conf.set("spark.blip.model", str(model_folder))
    calls = f"blip_itm(image, '{TEXT}') AS s, blip_itm_logit(image, '{TEXT}') AS l"
    images = spark.sql(f"SELECT image, {calls} FROM read_once('{tree}')").collect()
    spark.conf.unset("spark.blip.model")
    scores, ordered = {row.image: row.s for row in images}, sorted(row.s for row in images)
    threshold = float(ordered[len(ordered) * 2 // 3] + ordered[len(ordered) * 2 // 3 - 1]) / 2
    rng, model = np.random.default_rng(2), load(str(model_folder))
    text, paths = model.embed_texts([TEXT])[0], sorted(scores)
    rows = []
    for at in range(ROWS):
        image = paths[rng.integers(len(paths))]
        near = (0.5 if scores[image] > threshold else 0.2) + 0.05 * rng.normal()
        vector = rng.normal(size=len(text))
        vector -= vector @ text * text
        vector = near * text + np.sqrt(1 - near**2) * vector / np.linalg.norm(vector)
        embedding = None if at >= ROWS - UNLIKE else vector.astype(np.float32).tolist()
        rows.append((at, image, embedding, model.label, 1, f"cam{at % 2}"))
    spark.createDataFrame(rows, SCHEMA).write.mode("overwrite").saveAsTable(name)
    return Similar(rows, scores, {row.image: row.l for row in images}, threshold)
