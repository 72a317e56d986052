"""What is said of one SQL function -> Spark's user-defined function, the jar's record, DESCRIBE FUNCTION's text."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from inspect import Parameter as SignatureParameter
from inspect import Signature
from typing import TYPE_CHECKING, Any

from pyspark.sql.types import DataType, StructType

from blip_udfs.files.formats import KNOWN_FORMATS
from blip_udfs.spark import lines, pages
from blip_udfs.spark.extension import has_extension
from blip_udfs.spark.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import Column


POSITIONAL = SignatureParameter.POSITIONAL_OR_KEYWORD


@dataclass(frozen=True)
class Parameter:
    """One argument: the SQL types that it accepts, and its default as SQL text if it may be left out."""

    name: str
    types: tuple[str, ...]
    meaning: str
    default: str | None = None

    @property
    def sql(self) -> str:
        """BINARY or STRING; INT, default 10."""
        return " or ".join(self.types) + (f", default {self.default}" if self.default else "")


@dataclass(frozen=True)
class SqlFunction:
    """One SQL function. `role` is what the optimizer's rules know it by, `part` the field of blip_together's result
    that is its value; None if no rule looks for it. Its examples are on its page, sql/functions/<name>.sql."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: DataType  # of a table function: the row
    usage: str
    value: str  # what it gives, and for which rows NULL
    raises: tuple[str, ...] = ()  # `Error when ...`
    role: str | None = None
    part: str | None = None
    kind: str = "scalar"  # or table; internal: only the optimizer calls it
    since: str = "0.1.0"

    @property
    def evaluate(self) -> Callable:
        """What a worker runs: the function of this name in `worker`, which needs what a client may lack."""
        from blip_udfs.spark import worker

        return getattr(worker, self.name)

    def udf(self, settings: Settings | None = None) -> Any:
        """As a Spark user-defined function: pandas over iterators of batches, which needs an argument; else plain.
        Without `settings` it computes with those that its task is handed."""
        from pyspark.sql import functions as F

        from blip_udfs.spark import worker

        # without useArrow the kind would be what the active session says, and the jar compiled anew for another one
        make: Callable = F.pandas_udf if self.parameters else partial(F.udf, useArrow=False)
        return make(worker.with_settings(self.evaluate, settings), self.returns)

    def __call__(self, *arguments: Column | str | list[str]) -> Column:
        """The function applied to columns, with the settings of the session: where that has the extension, those that
        it has when the query is analyzed, else those that it has now."""
        from pyspark.sql import SparkSession
        from pyspark.sql import functions as F

        columns: list[Any] = [
            F.lit(argument) if self._is_literal(parameter, argument) else argument
            for parameter, argument in zip(self.parameters, arguments, strict=True)
        ]
        session = SparkSession.getActiveSession()
        if session is None or has_extension(session):
            return F.call_function(self.name, *columns)
        if self.role == "similarity" and lines.has_inner_product(session.version):
            return lines.inner_product(*columns)
        return self.udf(Settings.of_session(session))(*columns)

    def _is_literal(self, parameter: Parameter, argument: Column | str | list[str]) -> bool:
        """Beside an image a string is the sentence, as a pattern is in F.regexp_extract; alone it names a column."""
        is_text = parameter in (TEXT, TEXTS) and len(self.parameters) > 1
        return isinstance(argument, list) or is_text and isinstance(argument, str)

    def for_columns(self) -> Callable[..., Column]:
        """The function of this name for DataFrame code, as `help` shows it."""

        def function(*arguments: Column | str | list[str], **named: Column | str | list[str]) -> Column:
            try:
                bound = wanted.bind(*arguments, **named)
            except TypeError as error:
                raise TypeError(f"{self.signature}: {error}") from None
            return self(*bound.args)

        kinds = {TEXTS: "Column | list[str]"}
        wanted = Signature(
            [
                SignatureParameter(each.name, POSITIONAL, annotation=kinds.get(each, "Column | str"))
                for each in self.parameters
            ],
            return_annotation="Column",
        )
        function.__name__ = function.__qualname__ = self.name
        function.__module__ = "blip_udfs.functions"
        function.__signature__ = wanted  # type: ignore[attr-defined]
        arguments = [f"    {each.name}: {each.sql}, {each.meaning}" for each in self.parameters]
        parts = [f"{self.usage}.", "\n".join(["Arguments:", *arguments]) if arguments else ""]
        parts += [f"Returns {self.returned}.", self.raising.strip()]
        function.__doc__ = "\n\n".join(filter(None, parts))
        return function

    def manifest(self) -> dict[str, Any]:
        """The record as the extension's jar carries it; `command` is its part of what a worker unpickles."""
        record = asdict(self) | {"returns": self.returns_sql, "description": self.description()}
        if self.kind != "table":
            record |= {"deterministic": True, "evalType": self.udf().evalType, "command": self._command()}
            record["tolerant"] = self.name.startswith("try_")
        return record

    def description(self) -> dict[str, str]:
        """The parts of DESCRIBE FUNCTION EXTENDED, in the form that Spark's own functions have."""
        arguments = [f"\n      * {each.name} - {each.sql}: {each.meaning}" for each in self.parameters]
        examples = pages.read(self.name)[:1] if self.kind != "internal" else []
        return {
            "usage": f"{self.signature} - {self.usage}. Returns {self.returned}.{self.raising}",
            "arguments": "\n    Arguments:" + "".join(arguments) + "\n  " if arguments else "",
            "examples": "".join(f"\n    Examples:\n{indented(each)}\n  " for each in examples),
        }

    @property
    def signature(self) -> str:
        return f"{self.name}({', '.join(parameter.name for parameter in self.parameters)})"

    @property
    def returned(self) -> str:
        return f"{self.returns_sql}: {self.value}"

    @property
    def raising(self) -> str:
        return f" Raises {'; '.join(self.raises)}." if self.raises else ""

    @property
    def returns_sql(self) -> str:
        if self.kind != "table":
            names = isinstance(self.returns, StructType)  # whose case is theirs
            return self.returns.simpleString() if names else self.returns.simpleString().upper()
        passed_on = "the table's columns, " if self.role == "search" else ""
        return f"TABLE ({passed_on}{row_sql(self.returns)})"

    def _command(self) -> str:
        """Base64 of the return type, which `worker.bound` takes: as JSON, which every Spark's Python reads alike."""
        return base64.b64encode(self.returns.json().encode()).decode("ascii")


def row_sql(row: DataType) -> str:
    """a STRING, b DOUBLE: the columns of a table function's row."""
    fields = row.fields if isinstance(row, StructType) else []
    return ", ".join(f"{field.name} {field.dataType.simpleString().upper()}" for field in fields)


def indented(example: pages.Example) -> str:
    """As Spark writes its own: the statement behind >, its result below."""
    return "\n".join(
        [
            *(
                f"      {'>' if number == 0 else ' '} {line}"
                for number, line in enumerate(example.statement.splitlines())
            ),
            *(f"       {line}" for line in example.result.splitlines()),
        ]
    )


IMAGE = Parameter(
    "image",
    ("BINARY", "STRING"),
    f"an encoded image ({KNOWN_FORMATS}; of several frames the first), patch features made by blip_image_features, or "
    "the path of an image, which the worker reads itself",
)
TEXT = Parameter("text", ("STRING",), "a sentence; what exceeds 35 tokens is cut, as BLIP does")
TEXTS = Parameter("texts", ("ARRAY<STRING>",), "sentences, each scored on its own")
VECTOR_A = Parameter("a", ("ARRAY<FLOAT>",), "an embedding")
VECTOR_B = Parameter("b", ("ARRAY<FLOAT>",), "one of the same length")
