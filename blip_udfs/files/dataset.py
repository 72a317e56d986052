"""What a dataset must give: a tree -> one row per image, of which the job keeps a table of embeddings.

ONCE (`once`) is the first. Another is a module with its own Dataset, and that one's entry in `known.DATASETS`. The job
makes one of any table with a column of images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Column:
    """One column of an image's row. `kept`: a table of embeddings has it too, `searched`: so has the view of that
    table's rows that a search wants."""

    name: str
    type: str  # as Spark's DDL says it, in capitals and without spaces
    kept: bool = True
    searched: bool = True


# what each dataset of a tree must have among its columns, as files are listed
FILE = (
    Column("image", "STRING"),
    Column("modified", "TIMESTAMP", searched=False),
    Column("length", "BIGINT", searched=False),
)


@dataclass(frozen=True)
class Dataset:
    """`read(spark, root)` gives the `columns` of every image of the tree at `root`, those of FILE among them, and
    raises ValueError for a root that is no such tree.

    Its images lie in the folder `below` the root; None: what it reads is all that the table has rows of. They are told
    apart by the columns of `series`, which take their frames one after another, and in each by the column `order`.
    Between two runs an image is the same by the columns `identity`, and unchanged by `stamp`. The table is partitioned
    by the columns `partitions`: None is the first of the series.
    """

    columns: tuple[Column, ...]
    series: tuple[str, ...]
    order: str
    below: str | None
    read: Callable[[SparkSession, str], DataFrame]
    identity: tuple[str, ...] = ("image",)
    stamp: tuple[str, ...] = ("modified", "length")
    partitions: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        missing = [each.name for each in FILE if self.below is not None and each not in self.columns]
        wanted = (*self.key, *self.identity, *self.stamp, *self.partition)
        missing += [name for name in wanted if name not in [each.name for each in self.columns if each.kept]]
        if missing:
            raise ValueError(f"dataset: expected the column {missing[0]}, kept as FILE says, among its columns")

    @property
    def key(self) -> tuple[str, ...]:
        """What an image is told from all others by, in the order of the tree."""
        return (*self.series, self.order)

    @property
    def partition(self) -> tuple[str, ...]:
        return self.series[:1] if self.partitions is None else self.partitions

    @property
    def has_bytes(self) -> bool:
        """Whether its images are encoded bytes, not paths."""
        return ("image", "BINARY") in [(each.name, each.type) for each in self.columns]
