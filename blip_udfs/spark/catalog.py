"""The catalog: one record per SQL function."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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

from blip_udfs.files.once import ONCE
from blip_udfs.spark.parts import PARTS
from blip_udfs.spark.sql_function import IMAGE, TEXT, TEXTS, VECTOR_A, VECTOR_B, Parameter, SqlFunction

BAD_IMAGE = (
    "ImageError when the image does not decode or cannot be read, with its size, format and the decoder's message"
)
CLOSED = "ClosedError when the image is a path and BLIP_READ_ROOTS names no folder"
LONG_TEXT = "ValueError when a text has more than 100,000 characters"
NO_MODEL = "ModelError when the session's model cannot be loaded"


def tried(function: SqlFunction) -> SqlFunction:
    """The `try_` form: NULL where `function` raises because of that row's image."""
    return replace(
        function,
        name=f"try_{function.name}",
        usage=f"{function.usage}; NULL where {function.name} would raise because of that row's image",
        raises=tuple(CLOSED if each == BAD_IMAGE else each for each in function.raises),
    )


blip_image_embed = SqlFunction(
    name="blip_image_embed",
    parameters=(IMAGE,),
    returns=ArrayType(FloatType()),
    usage="The image's L2-normalised ITC embedding (256 numbers for the published checkpoints)",
    value="a vector of length 1 (64 numbers with the bundled model, 256 with the published checkpoints), NULL for NULL",
    raises=(BAD_IMAGE, NO_MODEL),
    role="image_embed",
    part="embedding",
)
blip_itm = SqlFunction(
    name="blip_itm",
    parameters=(IMAGE, TEXT),
    returns=DoubleType(),
    usage="The probability that the text describes the image: softmax over BLIP's image-text matching head, "
    "in float64 so that strong matches do not tie",
    value="0 to 1, NULL where the image or the text is NULL",
    raises=(BAD_IMAGE, LONG_TEXT, NO_MODEL),
    role="itm_score",
    part="probabilities",
)
blip_itm_logit = SqlFunction(
    name="blip_itm_logit",
    parameters=(IMAGE, TEXT),
    returns=FloatType(),
    usage="The match logit of BLIP's image-text matching head, the paper's re-ranking term",
    value="any number, the higher the better, NULL where the image or the text is NULL",
    raises=(BAD_IMAGE, LONG_TEXT, NO_MODEL),
    role="itm_logit",
    part="logits",
)
blip_itm_many = SqlFunction(
    name="blip_itm_many",
    parameters=(IMAGE, TEXTS),
    returns=ArrayType(DoubleType()),
    usage="blip_itm of one image and many texts, in one pass over the image",
    value="a probability for each text, in order, NULL for a NULL text; NULL where the image or the array is NULL",
    raises=(BAD_IMAGE, LONG_TEXT, NO_MODEL),
    part="probabilities_of_many",
)
blip_image_features = SqlFunction(
    name="blip_image_features",
    parameters=(IMAGE,),
    returns=BinaryType(),
    usage="All patch features of the image (577 x 768 for base at 384 px) in half precision, or by SET "
    "spark.blip.features = int8 in half the bytes, behind a header (magic, version, shape, dtype, model digest); the "
    "other functions take them in place of the image and skip the vision encoder",
    value="32 bytes of header, then float16 row by row, or a float32 scale for each row and int8 row by row; NULL for "
    "NULL",
    raises=(BAD_IMAGE, NO_MODEL),
    part="features",
)

try_blip_image_embed = tried(blip_image_embed)
try_blip_itm = tried(blip_itm)
try_blip_itm_logit = tried(blip_itm_logit)
try_blip_itm_many = tried(blip_itm_many)
try_blip_image_features = tried(blip_image_features)
TYPES: dict[str, DataType] = {
    each.simpleString().upper(): each
    for each in (
        StringType(),
        TimestampType(),
        LongType(),
        ArrayType(StringType()),
        MapType(StringType(), IntegerType()),
    )
}

blip_text_embed = SqlFunction(
    name="blip_text_embed",
    parameters=(TEXT,),
    returns=ArrayType(FloatType()),
    usage="The text's L2-normalised ITC embedding, in the same space as blip_image_embed's",
    value="a vector of length 1, NULL for NULL",
    raises=(LONG_TEXT, NO_MODEL),
    role="text_embed",
)
blip_similarity = SqlFunction(
    name="blip_similarity",
    parameters=(VECTOR_A, VECTOR_B),
    returns=FloatType(),
    usage="The inner product of two embeddings: of BLIP's, which are of length 1, their cosine similarity",
    value="-1 to 1 for embeddings, NULL where one is NULL",
    raises=("SparkRuntimeException when the vectors are not of the same length",),
    role="similarity",
)
blip_model = SqlFunction(
    name="blip_model",
    parameters=(),
    returns=StringType(),
    usage="Name and content digest of the session's model, to store beside embeddings",
    value="name@digest, the digest 12 hexadecimal digits of the files' content",
    raises=(NO_MODEL,),
    role="model",
)
blip_image_error = SqlFunction(
    name="blip_image_error",
    parameters=(IMAGE,),
    returns=StringType(),
    usage="NULL if the image decodes, else why not",
    value="the reason, NULL for an image that decodes and for NULL",
)
read_once = SqlFunction(
    name="read_once",
    parameters=(
        Parameter("root", ("STRING",), "the folder or URI that holds data/ and ImageSets/"),
        Parameter("split", ("STRING",), "only sequences listed in ImageSets/<split>.txt", default="NULL"),
        Parameter("image_bytes", ("BOOLEAN",), "image holds the file's bytes, not its path", default="false"),
    ),
    returns=StructType([StructField(each.name, TYPES[each.type]) for each in ONCE.columns]),
    usage="The ONCE tree as rows, one per camera image: sequence_id, frame_id, camera, image, timestamp, weather, "
    "period, region, split, classes and counts of the annotated objects, what is wrong with the row's metadata, and "
    "the file's modification time and length",
    value="a row per image; what the metadata does not say is NULL, and problem says why",
    raises=(
        "IllegalArgumentException when root has no folder data or all its images lie too deep, and when split is none "
        "of ONCE's or has no list in ImageSets",
    ),
    role="once",
    kind="table",
)

blip_search = SqlFunction(
    name="blip_search",
    parameters=(
        Parameter(
            "table", ("STRING", "TABLE"), "a table's or view's name, or TABLE(SELECT ...): with image, embedding"
        ),
        Parameter("query", ("STRING",), "the sentence", default="NULL"),
        Parameter("k", ("INT",), "how many rows", default="10"),
        Parameter("candidates", ("INT",), "rows that ITM scores, the nearest by ITC; 0 = all", default="256"),
        Parameter("one_per", ("STRING",), "a column: of rows with the same value only the best", default="NULL"),
        Parameter(
            "queries",
            ("STRING", "TABLE"),
            "many in place of query: a table's name or TABLE(SELECT ...), with the columns name and sentence; the rows "
            "are the k best of each, in one scan, with its name in query, and rank",
            default="NULL",
        ),
    ),
    returns=StructType([StructField("score", DoubleType())]),
    usage="The rows of a table that match a sentence best, by BLIP's retrieval protocol in one call: its columns and "
    "score, the match logit + ITC similarity, best first",
    value="at most k rows, of each sentence; score is NULL, and the row last, where the image does not decode",
    raises=(
        "IllegalArgumentException when the table has no column image or no embedding ARRAY<FLOAT>, when query is NULL "
        "and there are no queries, when these have no row, a NULL or a name twice, and when k or candidates is no such "
        "number",
        LONG_TEXT,
        NO_MODEL,
    ),
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
                PARTS,
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
    value="a field for each part, NULL where it is not wanted",
    raises=(BAD_IMAGE,),
    role="together",
    kind="internal",
)
try_blip_together = replace(tried(blip_together), role="try_together")

once_text = SqlFunction(
    name="once_text",
    parameters=(
        Parameter("path", ("STRING",), "the file's name"),
        Parameter("content", ("BINARY",), "its bytes"),
    ),
    returns=StringType(),
    usage="A text file of an ONCE tree as JSON in which all fits: a sequence's record, or the lines of a list",
    value="the JSON; what is wrong with a record is in it",
    role="once_text",
    kind="internal",
)

blip_bound = SqlFunction(
    name="blip_bound",
    parameters=(Parameter("request", ("STRING",), "rows, labels and the promise, JSON"),),
    returns=StringType(),
    usage="The next step to the similarity below which WHERE blip_itm(...) > t scores no row",
    value="the rates of the next sample, or the bound, JSON",
    role="bound",
    kind="internal",
)

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
    blip_similarity,
    blip_model,
    blip_image_error,
    read_once,
    blip_search,
)


def manifest() -> list[dict[str, Any]]:
    """The whole catalog as plain data, for the extension's jar."""
    return [function.manifest() for function in (*CATALOG, blip_together, try_blip_together, once_text, blip_bound)]
