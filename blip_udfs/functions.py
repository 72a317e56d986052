"""The catalog: one record per SQL function, and the same functions for DataFrame code.

    from blip_udfs import functions as BF
    df.withColumn("score", BF.blip_itm("image", "a car driving on an intersection"))

An `image` argument is a Column or a column's name; a `text` argument is a Column or the sentence itself.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pyspark.serializers import CloudPickleSerializer
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from blip_udfs import batches

if TYPE_CHECKING:
    from pyspark.sql import Column


@dataclass(frozen=True)
class Parameter:
    """One argument: the SQL types that it accepts, and its default as SQL text if it may be left out."""

    name: str
    types: tuple[str, ...]
    meaning: str
    default: str | None = None


@dataclass(frozen=True)
class SqlFunction:
    """One SQL function. `role` is what the optimizer's rules know it by, `part` the field of blip_together's result
    that is its value; None if no rule looks for it."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: DataType  # of a table function: the row
    usage: str
    example: str
    raises: str = ""
    role: str | None = None
    part: str | None = None
    kind: str = "scalar"  # or table; internal: only the optimizer calls it
    since: str = "0.1.0"

    @property
    def evaluate(self) -> Callable:
        """What a worker runs: the function of this name in `batches`."""
        return getattr(batches, self.name)

    @property
    def udf(self) -> Any:
        """As a Spark user-defined function: pandas over iterators of batches, which needs an argument; else plain."""
        from pyspark.sql import functions as F

        # without useArrow the kind would be what the active session says, and the jar compiled anew for another one
        make: Callable = F.pandas_udf if self.parameters else partial(F.udf, useArrow=False)
        return make(self.evaluate, self.returns)

    def __call__(self, *arguments: Column | str | list[str]) -> Column:
        """The function applied to columns."""
        from pyspark.sql import functions as F

        if len(arguments) != len(self.parameters):
            raise TypeError(f"{self.signature}: expected {len(self.parameters)} arguments, got {len(arguments)}")
        columns = [
            F.lit(argument) if parameter in (TEXT, TEXTS) and isinstance(argument, (str, list)) else argument
            for parameter, argument in zip(self.parameters, arguments, strict=True)
        ]
        return self.udf(*columns)

    def manifest(self) -> dict[str, Any]:
        """The record as the extension's jar carries it; `command` is what a worker unpickles."""
        record = asdict(self) | {"returns": self.returns_sql}
        if self.kind != "table":
            record |= {"deterministic": True, "evalType": self.udf.evalType, "command": self._command()}
            record["tolerant"] = self.name.startswith("try_")
        return record

    @property
    def signature(self) -> str:
        return f"{self.name}({', '.join(parameter.name for parameter in self.parameters)})"

    @property
    def returns_sql(self) -> str:
        if self.kind != "table":
            names = isinstance(self.returns, StructType)  # whose case is theirs
            return self.returns.simpleString() if names else self.returns.simpleString().upper()
        passed_on = "the table's columns, " if self.role == "search" else ""
        return f"TABLE ({passed_on}{row_sql(self.returns)})"

    def _command(self) -> str:
        """Base64 of the pickled (function, return type); the function is pickled by reference."""
        return base64.b64encode(CloudPickleSerializer().dumps((self.evaluate, self.returns))).decode("ascii")


def row_sql(row: DataType) -> str:
    """a STRING, b DOUBLE: the columns of a table function's row."""
    fields = row.fields if isinstance(row, StructType) else []
    return ", ".join(f"{field.name} {field.dataType.simpleString().upper()}" for field in fields)


IMAGE = Parameter(
    "image",
    ("BINARY", "STRING"),
    "an encoded image (JPEG, PNG, WebP, BMP, TIFF or a GIF's first frame), patch features made by "
    "blip_image_features, or the path of an image, which the worker reads itself",
)
TEXT = Parameter("text", ("STRING",), "a sentence; what exceeds 35 tokens is cut, as BLIP does")
TEXTS = Parameter("texts", ("ARRAY<STRING>",), "sentences, each scored on its own")

BAD_IMAGE = "ImageError when the image does not decode, with its size, format and the decoder's message"


def tried(function: SqlFunction) -> SqlFunction:
    """The `try_` form: NULL where `function` raises because of that row's image."""
    return SqlFunction(
        name=f"try_{function.name}",
        parameters=function.parameters,
        returns=function.returns,
        usage=f"{function.usage}; NULL where {function.name} would raise because of that row's image",
        example=function.example.replace(function.name, f"try_{function.name}"),
        role=function.role,
        part=function.part,
        kind=function.kind,
    )


blip_image_embed = SqlFunction(
    name="blip_image_embed",
    parameters=(IMAGE,),
    returns=ArrayType(FloatType()),
    usage="The image's L2-normalised ITC embedding (256 numbers for the published checkpoints)",
    example="SELECT frame_id, slice(blip_image_embed(image), 1, 3) FROM once LIMIT 1",
    raises=BAD_IMAGE,
    role="image_embed",
    part="embedding",
)
blip_itm = SqlFunction(
    name="blip_itm",
    parameters=(IMAGE, TEXT),
    returns=DoubleType(),
    usage="The probability that the text describes the image: softmax over BLIP's image-text matching head, "
    "in float64 so that strong matches do not tie",
    example="SELECT frame_id, blip_itm(image, 'a car driving on an intersection') AS score FROM once "
    "ORDER BY score DESC LIMIT 3",
    raises=BAD_IMAGE,
    role="itm_score",
    part="probabilities",
)
blip_itm_logit = SqlFunction(
    name="blip_itm_logit",
    parameters=(IMAGE, TEXT),
    returns=FloatType(),
    usage="The match logit of BLIP's image-text matching head, the paper's re-ranking term",
    example="SELECT frame_id, blip_itm_logit(image, 'a bus at night') AS logit FROM once ORDER BY logit DESC LIMIT 3",
    raises=BAD_IMAGE,
    role="itm_logit",
    part="logits",
)
blip_itm_many = SqlFunction(
    name="blip_itm_many",
    parameters=(IMAGE, TEXTS),
    returns=ArrayType(DoubleType()),
    usage="blip_itm of one image and many texts, in one pass over the image",
    example="SELECT frame_id, blip_itm_many(image, array('a sunny street', 'a rainy street')) FROM once LIMIT 3",
    raises=BAD_IMAGE,
    part="probabilities_of_many",
)
blip_image_features = SqlFunction(
    name="blip_image_features",
    parameters=(IMAGE,),
    returns=BinaryType(),
    usage="All patch features of the image (577 x 768 for base at 384 px) in half precision behind a header (magic, "
    "version, shape, dtype, model digest); the other functions take them in place of the image and skip the "
    "vision encoder",
    example="SELECT frame_id, length(blip_image_features(image)) AS bytes FROM once LIMIT 1",
    raises=BAD_IMAGE,
    part="features",
)

try_blip_image_embed = tried(blip_image_embed)
try_blip_itm = tried(blip_itm)
try_blip_itm_logit = tried(blip_itm_logit)
try_blip_itm_many = tried(blip_itm_many)
try_blip_image_features = tried(blip_image_features)
ONCE_ROW = StructType(
    [
        *(StructField(name, StringType()) for name in ("sequence_id", "frame_id", "camera", "image")),
        StructField("timestamp", TimestampType()),
        *(StructField(name, StringType()) for name in ("weather", "period", "region", "split")),
        StructField("classes", ArrayType(StringType())),
        StructField("counts", MapType(StringType(), IntegerType())),
        StructField("problem", StringType()),
        StructField("modified", TimestampType()),
        StructField("length", LongType()),
    ]
)

blip_text_embed = SqlFunction(
    name="blip_text_embed",
    parameters=(TEXT,),
    returns=ArrayType(FloatType()),
    usage="The text's L2-normalised ITC embedding, in the same space as blip_image_embed's",
    example="SELECT frame_id FROM once_embeddings ORDER BY vector_inner_product(embedding, "
    "blip_text_embed('a truck in the rain')) DESC LIMIT 3",
    role="text_embed",
)
blip_model = SqlFunction(
    name="blip_model",
    parameters=(),
    returns=StringType(),
    usage="Name and content digest of the session's model, to store beside embeddings",
    example="SELECT blip_model()",
    raises="ModelError when the session's model cannot be loaded",
    role="model",
)
blip_image_error = SqlFunction(
    name="blip_image_error",
    parameters=(IMAGE,),
    returns=StringType(),
    usage="NULL if the image decodes, else why not",
    example="SELECT frame_id, blip_image_error(image) FROM once WHERE blip_image_error(image) IS NOT NULL",
)
read_once = SqlFunction(
    name="read_once",
    parameters=(
        Parameter("root", ("STRING",), "the folder or URI that holds data/ and ImageSets/"),
        Parameter("split", ("STRING",), "only sequences listed in ImageSets/<split>.txt", default="NULL"),
        Parameter("image_bytes", ("BOOLEAN",), "image holds the file's bytes, not its path", default="false"),
    ),
    returns=ONCE_ROW,
    usage="The ONCE tree as rows, one per camera image: sequence_id, frame_id, camera, image, timestamp, weather, "
    "period, region, split, classes and counts of the annotated objects, what is wrong with the row's metadata, and "
    "the file's modification time and length",
    example="SELECT sequence_id, frame_id, camera, weather FROM read_once('/data/ONCE') LIMIT 3",
    role="once",
    kind="table",
)

blip_search = SqlFunction(
    name="blip_search",
    parameters=(
        Parameter(
            "table", ("STRING", "TABLE"), "a table's or view's name, or TABLE(SELECT ...): with image, embedding"
        ),
        Parameter("query", ("STRING",), "the sentence"),
        Parameter("k", ("INT",), "how many rows", default="10"),
        Parameter("candidates", ("INT",), "rows that ITM scores, the nearest by ITC; 0 = all", default="256"),
        Parameter("one_per", ("STRING",), "a column: of rows with the same value only the best", default="NULL"),
    ),
    returns=StructType([StructField("score", DoubleType())]),
    usage="The rows of a table that match a sentence best, by BLIP's retrieval protocol in one call: its columns and "
    "score, the match logit + ITC similarity, best first",
    example="SELECT frame_id, score FROM blip_search(TABLE(once_embeddings), 'a truck in the rain', k => 3)",
    role="search",
    kind="table",
)

blip_together = SqlFunction(
    name="blip_together",
    parameters=(
        IMAGE,
        Parameter("parts", ("STRING",), "which fields are wanted, by space"),
        Parameter("texts", ("ARRAY<STRING>",), "of blip_itm and blip_itm_logit"),
        Parameter("arrays", ("ARRAY<ARRAY<STRING>>",), "of blip_itm_many"),
    ),
    returns=StructType(
        [
            StructField(part, of)
            for part, of in zip(
                batches.PARTS,
                (
                    ArrayType(FloatType()),
                    BinaryType(),
                    ArrayType(DoubleType()),
                    ArrayType(FloatType()),
                    ArrayType(ArrayType(DoubleType())),
                ),
                strict=True,
            )
        ]
    ),
    usage="Several functions of one image: the optimizer puts it in their place, so that the image is encoded once",
    example="",
    raises=BAD_IMAGE,
    role="together",
    kind="internal",
)
try_blip_together = replace(tried(blip_together), role="try_together")

CATALOG: tuple[SqlFunction, ...] = (
    blip_image_embed,
    try_blip_image_embed,
    blip_text_embed,
    blip_itm,
    try_blip_itm,
    blip_itm_logit,
    try_blip_itm_logit,
    blip_itm_many,
    try_blip_itm_many,
    blip_image_features,
    try_blip_image_features,
    blip_model,
    blip_image_error,
    read_once,
    blip_search,
)


def manifest() -> list[dict[str, Any]]:
    """The whole catalog as plain data, for the extension's jar."""
    return [function.manifest() for function in (*CATALOG, blip_together, try_blip_together)]
