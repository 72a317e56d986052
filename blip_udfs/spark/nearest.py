"""Embeddings, the vectors of many sentences -> of each row the sentences of which it may be among the nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

HITS = "sentences ARRAY<INT>, similarities ARRAY<FLOAT>"
UNUSABLE, REFUSED = np.float32(-2e38), np.float32(-3e38)  # behind every similarity, one behind the other
NUMBERS = 1 << 22  # of a product at once: 16 MB


def hits(vectors: np.ndarray, count: int) -> Callable:
    """What a worker runs over the embeddings of a partition, and whether each row is no candidate (NULL where it is):
    the places in `vectors` (S, D) float32, and the similarities, of those that have a row among the `count` nearest so
    far (0: of all), NULL where none has. The nearest of the partition are among these; NaN is no similarity."""

    def of_batches(rows: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.DataFrame]:
        nearest = Nearest(len(vectors), count)
        for embeddings, refused in rows:
            parts = [
                nearest.hits(*measured(embeddings[at], vectors), refused[at].notna().to_numpy())
                for at in slices(len(embeddings), len(vectors))
            ]
            yield pd.concat(parts, ignore_index=True)

    return of_batches


def slices(rows: int, sentences: int) -> list[slice]:
    step = max(1, NUMBERS // sentences)
    return [slice(start, start + step) for start in range(0, max(rows, 1), step)]


def measured(embeddings: pd.Series, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarities (S, B), and whether they are any: an embedding may be NULL, of another length, zero or no number."""
    size = vectors.shape[1]
    fits = np.fromiter((each is not None and len(each) == size for each in embeddings), bool, len(embeddings))
    matrix = np.zeros((len(embeddings), size), np.float32)
    if fits.any():
        matrix[fits] = np.concatenate(embeddings.to_numpy()[fits]).reshape(-1, size)
    with np.errstate(all="ignore"):
        products = vectors @ matrix.T  # (S, D) (D, B)
    return products, np.isfinite(products) & matrix.any(axis=1)


class Nearest:
    """The nearest of each sentence among the rows so far."""

    def __init__(self, sentences: int, count: int) -> None:
        self.count = count
        self.kept = [np.empty(0, np.float32)] * sentences
        self.floor = np.full(sentences, -np.inf, np.float32)  # what a row must be above

    def hits(self, similarities: np.ndarray, usable: np.ndarray, refused: np.ndarray) -> pd.DataFrame:
        """Of similarities (S, B): a row of HITS for each of B."""
        ranks = np.where(refused, REFUSED, np.where(usable, similarities, UNUSABLE))
        rows, sentences = np.nonzero(self.among(ranks).T)
        near = np.where(usable, similarities, np.nan)[sentences, rows]
        out = pd.DataFrame({"sentences": None, "similarities": None}, index=range(ranks.shape[1]), dtype=object)
        there, starts = np.unique(rows, return_index=True)
        for name, values in (("sentences", sentences.astype(np.int32)), ("similarities", near.astype(np.float32))):
            column = np.full(ranks.shape[1], None, object)
            for row, value in zip(there, np.split(values, starts[1:]), strict=False):
                column[row] = value
            out[name] = column
        return out

    def among(self, ranks: np.ndarray) -> np.ndarray:
        """Whether each of (S, B) is among the nearest so far, which take it in."""
        if not self.count:
            return np.ones(ranks.shape, bool)
        above = ranks > self.floor[:, None]
        for sentence in np.flatnonzero(above.any(axis=1)):
            columns = np.flatnonzero(above[sentence])
            if len(columns) > self.count:
                columns = columns[np.argpartition(-ranks[sentence, columns], self.count - 1)[: self.count]]
                above[sentence] = False
                above[sentence, columns] = True
            self.take(int(sentence), ranks[sentence, columns])
        return above

    def take(self, sentence: int, ranks: np.ndarray) -> None:
        every = np.concatenate([self.kept[sentence], ranks])
        if len(every) >= self.count:
            every = np.partition(every, len(every) - self.count)[-self.count :]
            self.floor[sentence] = every.min()
        self.kept[sentence] = every
