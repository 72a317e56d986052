"""`spark.blip.*` settings of a SQL session -> what a worker reads; functions -> a session."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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
        PREFIX + "search.candidates",
        "0",
        "rows that ITM re-ranks in ORDER BY blip_itm(...) DESC LIMIT k: 0 = every row, N = the N nearest by ITC",
        candidates,
    ),
    Setting(PREFIX + "search.embeddingColumn", "embedding", "the column by which the N nearest rows are found"),
)


@dataclass(frozen=True)
class Settings:
    """The settings that a worker needs, as one SQL query sees them."""

    model: str
    device: str
    dtype: str
    backend: str
    batch_size: int | None  # None: the model chooses for its device
    itm_token: str

    @classmethod
    def read(cls, get: Callable[[str], str | None]) -> Settings:
        """Settings from `get(key)`, which gives None for a key that is not set."""
        keys = {"batch_size": "batchSize", "itm_token": "itm.token"}
        by_key = {setting.key: setting for setting in SETTINGS}
        names = {field.name: PREFIX + keys.get(field.name, field.name) for field in fields(cls)}
        return cls(**{name: by_key[key].read(get(key)) for name, key in names.items()})

    @classmethod
    def of_task(cls) -> Settings:
        """Settings of the query whose task this worker runs: Spark hands every `spark.*` conf of the session
        to its tasks as a local property. Outside of a task, the defaults; inside `fixed`, what that was given."""
        from pyspark import TaskContext

        if given := _fixed.get():
            return given
        context = TaskContext.get()
        return cls.read(context.getLocalProperty if context else lambda key: None)


_fixed: ContextVar[Settings | None] = ContextVar("settings of functions that no session's settings reach", default=None)


@contextmanager
def fixed(settings: Settings) -> Iterator[None]:
    """Inside, in this thread, `Settings.of_task` gives `settings`, whatever the task's session says."""
    token = _fixed.set(settings)
    try:
        yield
    finally:
        _fixed.reset(token)


def register(spark: SparkSession) -> None:
    """Make the BLIP functions callable from SQL in this session.

    A session that was started with the extension (`blip_udfs.builder()`; `blip-udfs conf` prints how) has them
    already and keeps them. Any other gets the scalar functions, and a UserWarning of what only the extension brings.
    """
    from blip_udfs.functions import CATALOG

    if has_extension(spark):
        return
    for function in CATALOG:
        if function.kind == "scalar":
            spark.udf.register(function.name, function.udf)
    warnings.warn(WITHOUT_JAR, UserWarning, stacklevel=2)


WITHOUT_JAR = (
    "this session was started without blip-udfs' jar: the scalar functions are registered; read_once, blip_search and "
    "the cascade under ORDER BY blip_itm(...) DESC LIMIT k are not there in SQL. Start it with blip_udfs.builder(), or "
    "with the settings that 'blip-udfs conf' prints"
)


def has_extension(spark: SparkSession) -> bool:
    """Whether the session has the extension's own functions: a setting that names a missing jar gives none."""
    return bool(spark.sql("SHOW FUNCTIONS LIKE 'blip_search'").take(1))


EXTENSION = "org.apache.spark.sql.blip.BlipExtensions"


def conf() -> dict[str, str]:
    """The settings that give a new session, or a whole cluster, the functions: extension, its jar, the workers'
    Python."""
    from blip_udfs.catalyst.build import jar

    return {
        "spark.jars": str(jar()),
        "spark.sql.extensions": EXTENSION,
        "spark.pyspark.python": sys.executable,
    }


def builder() -> SparkSession.Builder:
    """Spark's session builder with `conf` set: `blip_udfs.builder().master("local[2]").getOrCreate()`."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # a driver reads only this, not spark.pyspark.python
    return SparkSession.builder.config(map=dict(conf()))
