"""`spark.blip.*` settings of a SQL session -> what a worker reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PREFIX = "spark.blip."


@dataclass(frozen=True)
class Setting:
    """One `spark.blip.*` key: its default, what it means, and what it accepts."""

    key: str
    default: str
    meaning: str
    parse: Callable[[str], Any] = str

    def read(self, text: str | None) -> Any:
        """The value of `text` (the default when it is None); ValueError names the key, the value and the mend."""
        value = self.default if text is None else text.strip()
        try:
            return self.parse(value)
        except ValueError as error:
            raise ValueError(f"{self.key} = '{value}': {error}; SET {self.key} = {self.default} mends it") from None


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text.lower()

    return parse


def batch_size(text: str) -> int | None:
    """`auto` is None: the model chooses for its device."""
    if text.lower() == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise ValueError("expected auto or a whole number of images, 1 or more")
    return int(text)


def candidates(text: str) -> int:
    if not text.isdigit():
        raise ValueError("expected a whole number of rows, 0 for all")
    return int(text)


def share_of_matches(text: str) -> float:
    value = number(text)
    if not 0 < value <= 1:
        raise ValueError("expected a share above 0, 1 for all rows")
    return value


def probability(text: str) -> float:
    value = number(text)
    if not 0 < value < 1:
        raise ValueError("expected a share above 0 and below 1")
    return value


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # which no range has


def rows_to_warn_of(text: str) -> int:
    if not text.isdigit():
        raise ValueError("expected a whole number of rows, 0 for no warning")
    return int(text)


SETTINGS = (
    Setting(
        PREFIX + "model",
        "demo",
        "demo (bundled), a local folder (Hugging Face layout) or a hub id such as Salesforce/blip-itm-base-coco",
    ),
    Setting(
        PREFIX + "device",
        "auto",
        "auto, cpu, cuda or mps",
        one_of("auto", "cpu", "cuda", "mps"),
    ),
    Setting(
        PREFIX + "dtype",
        "auto",
        "auto, float32, bfloat16 or float16",
        one_of("auto", "float32", "bfloat16", "float16"),
    ),
    Setting(
        PREFIX + "backend",
        "torch",
        "what runs the vision encoder: torch, or openvino on a CPU in float32, which the workers' Python must have",
        one_of("torch", "openvino"),
    ),
    Setting(PREFIX + "batchSize", "auto", "images per forward pass, whatever Arrow's batch size is", batch_size),
    Setting(
        PREFIX + "itm.token",
        "enc",
        "first token of the ITM text: enc as BLIP trains and evaluates retrieval, cls as its demo and transformers",
        one_of("enc", "cls"),
    ),
    Setting(
        PREFIX + "features",
        "float16",
        "how blip_image_features stores a number: float16, or int8 with a scale per patch, in half the bytes; the "
        "functions read both",
        one_of("float16", "int8"),
    ),
    Setting(
        PREFIX + "read",
        "auto",
        "who reads an image named by path: worker; spark, by its own file systems and credentials; auto: the worker "
        "what is local or mounted, Spark the rest",
        one_of("auto", "worker", "spark"),
    ),
    Setting(
        PREFIX + "search.candidates",
        "0",
        "rows that ITM re-ranks in ORDER BY blip_itm(...) DESC LIMIT k, or of each group: 0 = all, N = the nearest N",
        candidates,
    ),
    Setting(PREFIX + "search.embeddingColumn", "embedding", "the column by which the N nearest rows are found"),
    Setting(
        PREFIX + "filter.recall",
        "1",
        "of the rows that WHERE blip_itm(...) > t keeps, the share that it must: 1 = ITM scores every row, less = only "
        "rows above a similarity that a sample proves",
        share_of_matches,
    ),
    Setting(PREFIX + "filter.confidence", "0.95", "with what probability it keeps that share", probability),
    Setting(
        PREFIX + "itm.warnRows",
        "100000",
        "a query that would score more rows by ITM, by its tables' statistics, says so in the log; 0 = none does",
        rows_to_warn_of,
    ),
)
RANKING = (PREFIX + "search.", PREFIX + "filter.")
WATCHING = (PREFIX + "itm.warnRows",)  # no function's answer depends on them


@dataclass(frozen=True)
class Settings:
    """The settings that a worker needs, as one SQL query sees them."""

    model: str
    device: str
    dtype: str
    backend: str
    batch_size: int | None  # None: the model chooses for its device
    itm_token: str
    reader: str = "auto"
    features: str = "float16"

    @classmethod
    def read(cls, get: Callable[[str], str | None]) -> Settings:
        """Settings from `get(key)`, which gives None for a key that is not set."""
        keys = {"batch_size": "batchSize", "itm_token": "itm.token", "reader": "read"}
        by_key = {setting.key: setting for setting in SETTINGS}
        names = {field.name: PREFIX + keys.get(field.name, field.name) for field in fields(cls)}
        return cls(**{name: by_key[key].read(get(key)) for name, key in names.items()})

    @classmethod
    def of_task(cls) -> Settings:
        """Settings of the query whose task this worker runs, for a function that carries none (`register` without the
        jar): Spark hands every `spark.*` conf of a session to the tasks of its SQL queries as local properties.
        Outside of a task, the defaults. Raises RuntimeError in a task that is handed none: df.rdd, foreach, toJSON."""
        from pyspark import TaskContext

        context = TaskContext.get()
        if context and context.getLocalProperty("spark.sql.execution.id") is None:
            raise RuntimeError(
                "this task was handed no session's settings, as by df.rdd, foreach or toJSON, and would compute with "
                "the bundled model: use the functions of blip_udfs.functions, or start the session with "
                "blip_udfs.builder()"
            )
        return cls.read(context.getLocalProperty if context else lambda key: None)

    @classmethod
    def of_session(cls, spark: SparkSession) -> Settings:
        """The session's own, as they are now."""
        return cls.read(lambda key: spark.conf.get(key, None))


def defaults() -> dict[str, dict[str, str]]:
    """Keys and their defaults, for the extension's jar: of every function, of those that rank rows, and of what only
    says something."""
    groups: dict[str, dict[str, str]] = {"all": {}, "ranking": {}, "watching": {}}
    for each in SETTINGS:
        group = "watching" if each.key in WATCHING else "ranking" if each.key.startswith(RANKING) else "all"
        groups[group][each.key] = each.default
    return groups
