"""What a Spark worker runs for each SQL function, under the function's own name, and with which settings.

The extension's commands and those of `register` name the functions by this module: its names are part of the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from blip_udfs.blip import recall
from blip_udfs.files import records
from blip_udfs.spark import batches
from blip_udfs.spark.batches import (
    DECODERS,
    TEXTS_AT_ONCE,
    ahead,
    as_frame,
    checked_text,
    chunked,
    embeddings,
    everything,
    match_logits,
    match_probabilities,
    match_probabilities_of_many,
    null_as_none,
    over_images,
    packed_features,
    reason,
    text_embeddings,
)
from blip_udfs.spark.settings import Settings

Pair = tuple[pd.Series, pd.Series]
Row = tuple[pd.Series, ...]


def with_settings(function: Callable, settings: Settings | None) -> Callable:
    """One of the functions below with its settings, still of the name and the types by which Spark knows its kind."""

    def of_batches(rows: Any) -> Any:
        return function(rows, settings)

    def of_nothing() -> Any:
        return function(settings)

    hints = dict(function.__annotations__)
    del hints["settings"]
    out = of_batches if len(hints) > 1 else of_nothing
    out.__annotations__ = dict(zip(["rows"] * (len(hints) - 1) + ["return"], hints.values(), strict=True))
    out.__name__ = function.__name__
    return out


def blip_image_embed(images: Iterator[pd.Series], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(images, embeddings, settings or Settings.of_task())


def try_blip_image_embed(images: Iterator[pd.Series], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(images, embeddings, settings or Settings.of_task(), tolerant=True)


def embedded_or_why_not(images: Iterator[pd.Series], settings: Settings | None = None) -> Iterator[pd.DataFrame]:
    """What the embedding job runs: both in one decoding, in one worker."""
    return over_images(images, embeddings, settings or Settings.of_task(), reasons=True)


def blip_image_features(images: Iterator[pd.Series], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(images, packed_features, settings or Settings.of_task())


def try_blip_image_features(images: Iterator[pd.Series], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(images, packed_features, settings or Settings.of_task(), tolerant=True)


def blip_itm(pairs: Iterator[Pair], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(pairs, match_probabilities, settings or Settings.of_task())


def try_blip_itm(pairs: Iterator[Pair], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(pairs, match_probabilities, settings or Settings.of_task(), tolerant=True)


def blip_itm_logit(pairs: Iterator[Pair], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(pairs, match_logits, settings or Settings.of_task())


def try_blip_itm_logit(pairs: Iterator[Pair], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(pairs, match_logits, settings or Settings.of_task(), tolerant=True)


def blip_itm_many(pairs: Iterator[Pair], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(pairs, match_probabilities_of_many, settings or Settings.of_task())


def try_blip_itm_many(pairs: Iterator[Pair], settings: Settings | None = None) -> Iterator[pd.Series]:
    return over_images(pairs, match_probabilities_of_many, settings or Settings.of_task(), tolerant=True)


def blip_together(rows: Iterator[Row], settings: Settings | None = None) -> Iterator[pd.DataFrame]:
    return map(as_frame, over_images(rows, everything, settings or Settings.of_task()))


def try_blip_together(rows: Iterator[Row], settings: Settings | None = None) -> Iterator[pd.DataFrame]:
    return map(as_frame, over_images(rows, everything, settings or Settings.of_task(), tolerant=True))


def blip_text_embed(texts: Iterator[pd.Series], settings: Settings | None = None) -> Iterator[pd.Series]:
    for batch in texts:
        model = batches.model_of(settings or Settings.of_task())
        yield pd.Series(text_embeddings(model, [checked_text(text) for text in null_as_none(batch)]), dtype=object)


def blip_similarity(pairs: Iterator[Pair], settings: Settings | None = None) -> Iterator[pd.Series]:
    """Where neither the extension's jar nor Spark has an inner product of its own."""
    for a, b in pairs:
        yield pd.Series(list(map(inner_product, null_as_none(a), null_as_none(b))), dtype=object)


def inner_product(a: np.ndarray | None, b: np.ndarray | None) -> float | None:
    """Of two vectors (float32); ValueError when their lengths differ."""
    if a is None or b is None:
        return None
    if len(a) != len(b):
        raise ValueError(f"blip_similarity: expected two vectors of the same length, got {len(a)} and {len(b)}")
    return float(np.dot(np.asarray(a, np.float32), np.asarray(b, np.float32)))


def blip_image_error(images: Iterator[pd.Series], settings: Settings | None = None) -> Iterator[pd.Series]:
    with ThreadPoolExecutor(DECODERS) as pool:
        for batch in images:
            why = partial(reason, settings or Settings.of_task())
            reasons = chain.from_iterable(ahead(pool, why, chunked(null_as_none(batch), TEXTS_AT_ONCE)))
            yield pd.Series(list(reasons), dtype=object)


def blip_model(settings: Settings | None = None) -> str:
    return batches.model_of(settings or Settings.of_task()).label


def once_text(files: Iterator[Pair], settings: Settings | None = None) -> Iterator[pd.Series]:
    for paths, contents in files:
        yield pd.Series([records.once_text(*file) for file in zip(paths, contents, strict=True)], dtype=object)


def blip_bound(requests: Iterator[pd.Series], settings: Settings | None = None) -> Iterator[pd.Series]:
    for batch in requests:
        yield batch.map(recall.step)
