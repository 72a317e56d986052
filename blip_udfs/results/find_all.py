"""A table with embeddings, a sentence, a threshold -> all rows that match, of a promised share, with fewer scored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from blip_udfs.blip.recall import BINS, HALF, Promise, Seen, bound, first_rates, plan
from blip_udfs.results.candidates import (
    OTHER,
    REFUSED,
    SIMILARITY,
    Names,
    check_columns,
    coalesced,
    labels_of_others,
    measured,
    none_left,
    quoted,
)
from blip_udfs.results.search import nearness

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

BIN, KEY, COUNT, LABEL = "blip_bin", "blip_key", "blip_count", "blip_label"
UNREAD = ("map<", "binary", "variant", "void", "geo")  # types that have no hash, or are too large to be read for one
DOUBLES = 1_000_000  # keys that are sent to every executor at most
LOG = logging.getLogger(__name__)


def find_all(
    df: DataFrame,
    text: str,
    threshold: float,
    recall: float = 0.95,
    confidence: float = 0.95,
    image: str = "image",
    embedding: str = "embedding",
    where: str | None = None,
    seed: int = 0,
) -> DataFrame:
    """The rows of `df` whose blip_itm(image, text) is above `threshold`, with it as their `score`, in no order: with a
    probability of `confidence` at least the share `recall` of those that scoring every row would give.

    Two samples are scored at once, drawn by similarity of the stored `embedding` to the text, and show below which
    similarity no row need be scored: so much is promised whatever images and embeddings are. The rows above it are
    scored when the result is asked for, those of the samples not again. Where no bound is proven, and with a `recall`
    of 1, every row is scored. The log (`blip_udfs`, INFO) has a line with the rows, those of the samples, those that
    are scored in all, the bound and the promise.

    A promise takes about a hundred matches in the samples, so that small tables save nothing. The same `seed` draws the
    same rows of the same table; the promise is of one call, not of the best of several seeds.

    Rows whose `model` is another than the session's, older `version`s of an image and rows with an `error` in place of
    an embedding take no part, as in `search`. Rows whose embedding cannot be compared, and those that are there more
    than once, are always scored. Images that do not decode have no score and match nothing. `where` is a condition in
    SQL, asked of the rows after their versions. A column `score` of `df` is replaced.

    Raises ValueError for a `threshold` outside of 0 to 1, a `recall` that is not above 0 and at most 1, a `confidence`
    that is not between 0 and 1, an empty `text`, a column that `df` does not have, or where nothing but rows of another
    model is left.
    """
    check_promise(text, threshold, recall, confidence)
    check_columns(df, [image, embedding])
    df = df.drop("score")
    names = Names.of(df, image, embedding)
    near, size, ours = nearness(df, embedding, [text], [], False)
    rows = with_keys(measured(df, names, near, size, ours, where), df)
    rows, counted = binned(rows, labels_of_others(rows, names, ours), ours)
    asked = Asked(rows, image, text, threshold, Promise(recall, confidence), seed)
    found = asked.answer(counted)
    return found.select(*(quoted(name) for name in df.columns), "score")


def check_promise(text: str, threshold: float, recall: float, confidence: float) -> None:
    if not text:
        raise ValueError("text: expected a sentence, got none")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold: expected a probability from 0 to 1, got {threshold}")
    if not 0 < recall <= 1:
        raise ValueError(f"recall: expected a share above 0, 1 at most, got {recall}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a probability between 0 and 1, got {confidence}; recall=1 is certain")


def with_keys(rows: DataFrame, df: DataFrame) -> DataFrame:
    """With the bin of the similarity, and a hash of what is quickly read of `df`'s columns."""
    from pyspark.sql import functions as F

    read = [field.name for field in df.schema if not any(each in field.dataType.simpleString() for each in UNREAD)]
    place = F.floor((F.col(SIMILARITY).cast("double") + 1) * HALF)
    within = F.greatest(F.lit(0), F.least(F.lit(BINS - 1), place)).cast("int")
    at = F.when(F.col(SIMILARITY).isNotNull(), within)
    return rows.withColumns({BIN: at, KEY: F.xxhash64(*map(quoted, read))})


@dataclass(frozen=True)
class Counted:
    """The rows of each bin, and how many lie in none and are always scored."""

    of_bins: np.ndarray
    of_none: int

    @property
    def total(self) -> int:
        return int(self.of_bins.sum()) + self.of_none


def binned(rows: DataFrame, others: list[Column], ours: str) -> tuple[DataFrame, Counted]:
    """The rows that take part, and how many they are; those that have a double, whose draws would be one draw, lie in
    no bin. Raises ValueError where all are of another model than `ours`."""
    from pyspark.sql import functions as F

    other = F.when(F.col(REFUSED) == OTHER, coalesced(others)) if others else F.lit(None).cast("string")
    of_keys = rows.groupBy(REFUSED, BIN, KEY).agg(F.count("*").alias(COUNT), F.max(other).alias(LABEL))
    doubled = F.col(COUNT) > 1
    sums = [F.sum(F.when(is_it, F.col(COUNT)).otherwise(0)) for is_it in (~doubled, doubled)]
    of_bins = of_keys.groupBy(REFUSED, BIN).agg(*sums, F.count(F.when(doubled, 1)), F.max(LABEL)).collect()
    ours_only = [row for row in of_bins if row[0] is None]
    if not ours_only and (labels := [row[5] for row in of_bins if row[5]]):
        before, after = none_left(ours)
        raise ValueError(f"{before}{max(labels)}{after}")
    counted, keys = np.zeros(BINS), 0
    none = 0
    for _, at, single, double, doubles, _ in ours_only:
        counted[at or 0] += 0 if at is None else single
        none, keys = none + double + (single if at is None else 0), keys + doubles
    taken = rows.where(F.col(REFUSED).isNull())
    if not keys:
        return taken, Counted(counted, none)
    if keys > DOUBLES:
        return taken.withColumn(BIN, F.lit(None).cast("int")), Counted(counted * 0, int(counted.sum()) + none)
    twice = of_keys.where(doubled & F.col(REFUSED).isNull()).select(KEY).distinct().withColumn(COUNT, F.lit(True))
    joined = taken.join(F.broadcast(twice.localCheckpoint()), KEY, "left")
    return joined.withColumn(BIN, F.when(F.col(COUNT).isNull(), F.col(BIN))).drop(COUNT), Counted(counted, none)


@dataclass(frozen=True)
class Asked:
    """Rows with BIN and KEY, what is asked of them, and with what promise."""

    rows: DataFrame
    image: str
    text: str
    threshold: float
    promise: Promise
    seed: int

    def answer(self, counted: Counted) -> DataFrame:
        """The rows above the bound that match, and those of the samples."""
        from pyspark.sql import functions as F

        if self.promise.recall == 1:
            LOG.info("find_all: %d rows, all to be scored, for a recall of 1", counted.total)
            return self.matches(self.rows)
        drawn, labels, seen, cut = self.proven(counted.of_bins)
        above = counted.of_bins[cut or 0 :].sum() - seen[cut or 0 :].sum()
        self.report(counted, int(seen.sum()), int(seen.sum() + above) + counted.of_none, cut)
        rest = self.rows.where(~drawn & (F.col(BIN).isNull() | (F.col(BIN) >= (cut or 0))))
        found = labels.where(F.col("score") > self.threshold).select(KEY, "score")
        return self.matches(rest).unionByName(self.rows.join(F.broadcast(found), KEY))

    def report(self, counted: Counted, labels: int, scored: int, cut: int | None) -> None:
        LOG.info(
            "find_all: %d rows, %d in the samples, %d to be scored in all, %s: a share of %g of the matches, "
            "with a probability of %g",
            *(counted.total, labels, scored),
            "no bound" if cut is None else f"those of a similarity of {cut / HALF - 1:.4f} and more",
            *(self.promise.recall, self.promise.confidence),
        )

    def proven(self, rows: np.ndarray) -> tuple[Column, DataFrame, np.ndarray, int | None]:
        """What is drawn, its KEY, BIN and `score`, how many those are of each bin, and the first bin that is kept."""
        first = self.draw(1) < rate(first_rates(rows), rows)
        labels = self.labelled(first)
        labelled, matched = self.seen(labels)
        seen = Seen(rows, labelled, matched)
        chosen = plan(seen, self.promise)
        if chosen is None:
            return first, labels, labelled, None
        second = ~first & (self.draw(2) < rate(chosen.rates, rows))
        more = self.labelled(second)
        labelled_too, found = self.seen(more)
        cut = bound(seen, self.promise, chosen, found)
        return first | second, labels.union(more), labelled + labelled_too, cut

    def draw(self, sample: int) -> Column:
        """A number from 0 to 1 for each row, by its key and the seed."""
        from pyspark.sql import functions as F

        number = F.xxhash64(KEY, F.lit(self.seed), F.lit(sample))
        return F.shiftrightunsigned(number, 11) * F.lit(2.0**-53)

    def score(self) -> Column:
        from blip_udfs.spark import catalog as BF

        return BF.try_blip_itm(self.image, self.text).cast("double")

    def labelled(self, drawn: Column) -> DataFrame:
        return self.rows.where(drawn).select(KEY, BIN, self.score().alias("score")).localCheckpoint()

    def seen(self, labels: DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Of each bin how many have a label, and how many of those match."""
        from pyspark.sql import functions as F

        matched = F.count(F.when(F.col("score") > self.threshold, 1))
        out = np.zeros((2, BINS))
        for at, *counts in labels.groupBy(BIN).agg(F.count("*"), matched).collect():
            out[:, at] = counts
        return out[0], out[1]

    def matches(self, rows: DataFrame) -> DataFrame:
        from pyspark.sql import functions as F

        # from an array, so that the condition is not pushed below and the function called for it too
        scored = rows.withColumn("score", F.explode(F.array(self.score())))
        return scored.where(F.col("score") > self.threshold)


def rate(rates: np.ndarray, rows: np.ndarray) -> Column:
    """The rate of a row by its bin, 0 in none. Rates are equal over many bins: a step for each change."""
    from pyspark.sql import functions as F

    filled = np.nonzero(rows)[0]
    out = F.when(F.col(BIN).isNull(), 0.0)
    for at, following in zip(filled[:-1], filled[1:], strict=True):
        if rates[at] != rates[following]:
            out = out.when(F.col(BIN) < int(following), float(rates[at]))
    return out.otherwise(float(rates[filled[-1]]) if len(filled) else 0.0)
