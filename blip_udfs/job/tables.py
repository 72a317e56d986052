"""A dataset's columns -> those of the job's tables: the plan, the embeddings, the view that a search reads."""

from __future__ import annotations

from dataclasses import dataclass

from blip_udfs.files.dataset import Column, Dataset

MADE = (  # beside what the dataset says of an image
    Column("embedding", "ARRAY<FLOAT>"),
    Column("model", "STRING"),
    Column("error", "STRING", searched=False),
    Column("similar_to", "STRING"),
    Column("version", "INT", searched=False),  # for the how manieth time it was embedded
)
BATCH = Column("batch", "STRING", searched=False)  # of one micro-batch, which a repetition replaces
OF_PLAN = ("model", "version")
KEY = ["image", "model", "version"]  # of a row


@dataclass(frozen=True)
class Tables:
    """The columns of a dataset's tables, in order."""

    dataset: Dataset

    @property
    def image(self) -> tuple[Column, ...]:
        """What is kept of an image."""
        return tuple(each for each in self.dataset.columns if each.kept)

    @property
    def planned(self) -> tuple[Column, ...]:
        """An image to embed: by which model, for the how manieth time."""
        return (*self.image, *(each for each in MADE if each.name in OF_PLAN))

    @property
    def row(self) -> tuple[Column, ...]:
        """Of the table of embeddings, its partitions last."""
        inner = (*(each for each in self.image if each.name != self.dataset.partition), *MADE)
        return (*inner, next(each for each in self.image if each.name == self.dataset.partition), BATCH)

    @property
    def searched(self) -> tuple[Column, ...]:
        return tuple(each for each in (*self.image, *MADE) if each.searched)

    @property
    def place(self) -> list[str]:
        """Partitions: what one micro-batch writes of one of the dataset's, and is replaced as a whole."""
        return [self.dataset.partition, BATCH.name]


def names(columns: tuple[Column, ...]) -> list[str]:
    return [column.name for column in columns]


def ddl(columns: tuple[Column, ...]) -> str:
    """a STRING, b INT"""
    return ", ".join(f"{column.name} {column.type}" for column in columns)
