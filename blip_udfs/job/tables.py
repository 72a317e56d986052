"""A dataset's columns -> those of the job's tables: the plan, the embeddings, the view that a search reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blip_udfs.files.dataset import Column, Dataset

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn

MADE = (  # beside what the dataset says of an image
    Column("embedding", "ARRAY<FLOAT>"),
    Column("model", "STRING"),
    Column("error", "STRING", searched=False),
    Column("similar_to", "STRING"),
    Column("version", "INT", searched=False),  # for the how manieth time it was embedded
)
BATCH = Column("batch", "STRING", searched=False)  # of one micro-batch, which a repetition replaces
OF_PLAN = ("model", "version")


@dataclass(frozen=True)
class Tables:
    """The columns of a dataset's tables, in order."""

    dataset: Dataset

    @property
    def image(self) -> tuple[Column, ...]:
        """What is kept of an image."""
        return tuple(each for each in self.dataset.columns if each.kept)

    @property
    def compared(self) -> tuple[Column, ...]:
        """What of an image says whether it is to be embedded, and the rest but for bytes."""
        return tuple(each for each in self.image if each.name != "image" or not self.dataset.has_bytes)

    @property
    def planned(self) -> tuple[Column, ...]:
        """An image to embed: by which model, for the how manieth time."""
        return (*self.image, *(each for each in MADE if each.name in OF_PLAN))

    @property
    def row(self) -> tuple[Column, ...]:
        """Of the table of embeddings, its partitions last."""
        inner = tuple(each for each in self.image if each.name not in self.dataset.partition)
        last = (each for name in self.dataset.partition for each in self.image if each.name == name)
        return (*inner, *MADE, *last, BATCH)

    @property
    def searched(self) -> tuple[Column, ...]:
        return tuple(each for each in (*self.image, *MADE) if each.searched)

    @property
    def place(self) -> list[str]:
        """Partitions: what one micro-batch writes of one of the dataset's, and is replaced as a whole."""
        return [*self.dataset.partition, BATCH.name]

    @property
    def key(self) -> list[str]:
        """Of a row."""
        return [*self.dataset.identity, *OF_PLAN]

    def called(self) -> SparkColumn:
        """What an image is called in messages, and by `similar_to`: its path, or its identity as JSON."""
        from pyspark.sql import functions as F

        if not self.dataset.has_bytes:
            return F.col("image")
        return F.to_json(F.array(*(F.col(name).cast("string") for name in self.dataset.identity)))


def names(columns: tuple[Column, ...]) -> list[str]:
    return [column.name for column in columns]


def ddl(columns: tuple[Column, ...]) -> str:
    """a STRING, b INT"""
    return ", ".join(f"{quoted(column.name)} {column.type}" for column in columns)


def quoted(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else f"`{name}`"
