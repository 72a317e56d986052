"""BLIP's choice of candidates in numpy, over rows as dictionaries: what the doors of a search are measured by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]


def similarity(embedding: Sequence[float] | None, text: np.ndarray) -> float | None:
    """None where an embedding cannot be compared."""
    if embedding is None or len(embedding) != len(text) or any(each is None for each in embedding):
        return None
    vector = np.array(embedding, np.float32)
    return float(vector @ text) if np.isfinite(vector).all() and vector.any() else None


def allowed(rows: Sequence[Row], ours: str, relation: Sequence[Row] | None = None) -> list[Row]:
    """Without rows of other models, older versions of an image in `relation`, and images that could not be embedded."""
    newest: dict[tuple, int] = {}
    for row in relation if relation is not None else rows:
        key = row["image"], row.get("model")
        newest[key] = max(newest.get(key, 1), row.get("version") or 1)
    return [
        row
        for row in rows
        if (row.get("model") == ours or not re.search(".@[0-9a-f]{12}$", row.get("model") or ""))
        and not ("version" in row and (row["version"] or 1) < newest[row["image"], row.get("model")])
        and not (row.get("error") is not None and row["embedding"] is None)
    ]


def nearest(rows: Sequence[Row], text: np.ndarray, count: int) -> list[Row]:
    """The `count` nearest; those without a similarity behind the others."""
    near = {id(row): similarity(row["embedding"], text) for row in rows}
    return sorted(rows, key=lambda row: (near[id(row)] is None, -(near[id(row)] or 0)))[:count]


def nearest_of_groups(rows: Sequence[Row], text: np.ndarray, count: int, k: int, group: str) -> list[Row]:
    """Of `count` (or `k`, if that is more) first the nearest of each of the `k` nearest groups, then the nearest."""
    ordered = nearest(rows, text, len(rows))
    best = list({row[group]: row for row in reversed(ordered)}.values())
    seeds = [row for row in ordered if any(row is each for each in best)][:k]
    rest = [row for row in ordered if not any(row is each for each in seeds)]
    return [*seeds, *rest][: max(count, k)]


def nearest_of_each(rows: Sequence[Row], text: np.ndarray, count: int, *group: str) -> dict[tuple, list[Row]]:
    """The `count` nearest of each group."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in group), []).append(row)
    return {key: nearest(each, text, count) for key, each in groups.items()}
