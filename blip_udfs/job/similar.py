"""Images of a table in the order of their frames -> which of them may take an earlier frame's embedding."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from blip_udfs.files.images import ImageError, decode
from blip_udfs.spark.batches import DECODERS, ahead, chunked, null_as_none

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from blip_udfs.job.tables import Tables

AT_ONCE = 64  # images between two looks at the clock
SIDE = 16  # pixels of a thumbnail: what moves by less than a sixteenth of the picture is the same scene


def mark(rows: DataFrame, tables: Tables, image: Column, threshold: float) -> DataFrame:
    """`rows` with `similar_to`: the image whose embedding a row may take, NULL where it needs its own.

    A row is similar when its thumbnail (SIDE x SIDE, grey) differs from that of the frame before it, of the dataset's
    series and among `rows`, by less than `threshold` grey levels (of 255) on average. Of a run of similar frames the
    first is embedded. An image that does not decode is similar to none.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    by_frame = Window.partitionBy(*tables.dataset.series).orderBy(tables.dataset.order, tables.called())
    before = F.lag("blip_thumbnail").over(by_frame)
    is_first = ~F.coalesce(difference(F.col("blip_thumbnail"), before) < threshold, F.lit(False))
    rows = rows.withColumn("blip_thumbnail", thumbnail_column(image)).withColumn("blip_first", is_first)
    first = F.last(F.when(F.col("blip_first"), tables.called()), ignorenulls=True).over(by_frame)
    return rows.withColumn("similar_to", F.when(~F.col("blip_first"), first)).drop("blip_thumbnail", "blip_first")


def spread(rows: DataFrame, tables: Tables) -> DataFrame:
    """`rows` in which those with `similar_to` have the embedding, and the error, of the row that it names."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    same = Window.partitionBy(*tables.dataset.series, F.coalesce("similar_to", tables.called()))
    first_of_them = same.orderBy(F.col("similar_to").isNotNull())
    columns = {name: F.first(name).over(first_of_them) for name in ("embedding", "error")}
    return rows.withColumns(columns)


def difference(one: Column, other: Column) -> Column:
    """Mean absolute difference of two thumbnails, in grey levels; NULL if one is NULL."""
    from pyspark.sql import functions as F

    apart = F.zip_with(one, other, lambda a, b: F.abs(a - b))
    return F.aggregate(apart, F.lit(0), lambda total, each: total + each) / (SIDE * SIDE)


def thumbnail_column(image: Column) -> Column:
    from pyspark.sql import functions as F

    return F.pandas_udf(thumbnails, "array<int>")(image)  # type: ignore[call-overload]


def thumbnails(images: Iterator[pd.Series]) -> Iterator[pd.Series]:
    with ThreadPoolExecutor(DECODERS) as pool:
        for batch in images:
            made = chain.from_iterable(ahead(pool, thumbnail, chunked(null_as_none(batch), AT_ONCE)))
            yield pd.Series(list(made), dtype=object)


def thumbnail(image: bytes | str | None) -> np.ndarray | None:
    """Grey levels (SIDE * SIDE,) int32, each the mean of its part of the picture; None if it does not decode."""
    from PIL import Image

    try:
        return (
            None
            if image is None
            else np.asarray(decode(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.int32).reshape(-1)
        )
    except ImageError:
        return None
