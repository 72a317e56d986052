"""What a dataset must give: a tree -> one row per image, of which the job keeps a table of embeddings.

ONCE (`once`) is the first. Another is a module with its own Dataset, and that one's entry in `known.DATASETS`.
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


# what each dataset must have among its columns, as files are listed
FILE = (
    Column("image", "STRING"),
    Column("modified", "TIMESTAMP", searched=False),
    Column("length", "BIGINT", searched=False),
)


@dataclass(frozen=True)
class Dataset:
    """`read(spark, root)` gives the `columns` of every image of the tree at `root`, those of FILE among them, and
    raises ValueError for a root that is no such tree.

    Its images lie in the folder `below` the root. They are told apart by the columns of `series`, which take their
    frames one after another, and in each by the column `order`; the table is partitioned by the first of the series.
    """

    columns: tuple[Column, ...]
    series: tuple[str, ...]
    order: str
    below: str
    read: Callable[[SparkSession, str], DataFrame]

    def __post_init__(self) -> None:
        missing = [each.name for each in FILE if each not in self.columns]
        missing += [name for name in self.key if name not in [each.name for each in self.columns if each.kept]]
        if missing:
            raise ValueError(f"dataset: expected the column {missing[0]}, kept as FILE says, among its columns")

    @property
    def key(self) -> tuple[str, ...]:
        """What an image is told from all others by, in the order of the tree."""
        return (*self.series, self.order)

    @property
    def partition(self) -> str:
        return self.series[0]
