"""An ONCE tree -> a table: one row per camera image, with what the sequence's JSON and ImageSets say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SPLITS = ("train", "val", "test", "raw_small", "raw_medium", "raw_large")
IMAGES = "*.{jpg,jpeg,png,JPG,JPEG,PNG}"
TEMPLATE = Path(__file__).with_name("once.sql")
IS_IMAGE = "path RLIKE '/data/[^/]+/[^/]+/[^/]+$'"
IMAGE_COLUMNS = (
    "regexp_extract(path, '/data/([^/]+)/[^/]+/[^/]+$', 1) AS sequence_id",
    "regexp_extract(path, '/([^/]+)/[^/]+$', 1) AS camera",
    "path",
    "modificationTime",
    "length",
    "content",
)
IS_RECORD = r"path RLIKE '/([^/]+)/\\1[.]json$'"
RECORD_COLUMNS = ("regexp_extract(path, '/([^/]+)[.]json$', 1) AS sequence_id", "value")


def read_once(spark: SparkSession, root: str, split: str | None = None, image_bytes: bool = False) -> DataFrame:
    """The ONCE tree at `root` (a folder or any Hadoop URI) as a DataFrame.

    Columns: sequence_id, frame_id, camera, image (path; the file's bytes with `image_bytes`), timestamp, weather,
    period, region, split (the first of train, val, test, raw_small, raw_medium, raw_large that lists the sequence),
    classes and counts of the annotated objects seen by that camera, `problem`: NULL, or what is wrong with the row's
    metadata, and the file's modification time (`modified`) and `length` in bytes. (sequence_id, frame_id, camera) is
    the key. Spark lists and reads; no image byte is read unless asked for. `split` keeps the sequences that
    ImageSets/<split>.txt lists.

    Raises ValueError for an unknown split and for a root without data/. Layout: https://once-for-auto-driving.github.io
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    rows = spark.sql(
        TEMPLATE.read_text().replace("{image}", "content" if image_bytes else "path"),
        images=image_files(spark, root),
        records=records(spark, root),
        splits=lines(spark, root, "*.txt"),
        regions=lines(spark, root, "region_type.txt").select("value"),
    )
    if split is not None:
        rows = rows.where(f"array_contains(splits, '{split}')")
    return rows.drop("splits")


def image_files(spark: SparkSession, root: str) -> DataFrame:
    """data/<sequence>/<camera>/<frame>.jpg: sequence_id, camera, path, modificationTime, length, content. Listing is
    spread over the cluster where there are many folders."""
    from pyspark.errors import AnalysisException

    reader = spark.read.format("binaryFile").option("recursiveFileLookup", True).option("pathGlobFilter", IMAGES)
    try:
        files = reader.load(f"{escaped(root)}/data")
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        raise ValueError(
            f"no folder {root}/data: expected an ONCE tree, data/<sequence>/<camera>/<frame>.jpg"
        ) from None
    return files.where(IS_IMAGE).selectExpr(*IMAGE_COLUMNS)


def records(spark: SparkSession, root: str) -> DataFrame:
    """data/<sequence>/<sequence>.json: sequence_id, value (the file's text)."""
    files = existing(spark, f"{escaped(root)}/data/*/*.json", wholetext=True)
    return files.where(IS_RECORD).selectExpr(*RECORD_COLUMNS)


def lines(spark: SparkSession, root: str, pattern: str) -> DataFrame:
    """The lines of the files in ImageSets/ that match: path, value."""
    return existing(spark, f"{escaped(root)}/ImageSets", pathGlobFilter=pattern)


def existing(spark: SparkSession, path: str, **options: Any) -> DataFrame:
    """Text files: path, value. No file, no rows: the images are kept."""
    from pyspark.errors import AnalysisException
    from pyspark.sql import functions as F

    try:
        files = spark.read.options(**options).text(path)
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        return spark.createDataFrame([], "path STRING, value STRING")
    return files.select(F.col("_metadata.file_path").alias("path"), "value")


def escaped(path: str) -> str:
    """A path that Hadoop takes by the letter, not as a pattern."""
    return "".join(f"\\{c}" if c in "{}[]*?" else c for c in path)


def problems(spark: SparkSession, root: str) -> DataFrame:
    """What is wrong with the tree, a row each: sequence_id, camera, problem, images (how many it concerns).

    Rows whose metadata has a problem, by sequence and camera; and camera folders that a sequence lacks while another
    has them.
    """
    from pyspark.sql import functions as F

    rows = read_once(spark, root)
    kinds = F.regexp_replace("problem", "for frame [^ ]+", "for some frames")
    found = rows.where("problem IS NOT NULL").groupBy("sequence_id", "camera", kinds.alias("problem"))
    pairs = rows.select("sequence_id", "camera").distinct()
    every = pairs.select("sequence_id").distinct().crossJoin(pairs.select("camera").distinct())
    missing = every.join(pairs, ["sequence_id", "camera"], "left_anti").selectExpr(
        "sequence_id", "camera", "concat('no folder data/', sequence_id, '/', camera) AS problem", "0L AS images"
    )
    return found.agg(F.count("*").alias("images")).unionByName(missing).orderBy("sequence_id", "camera", "problem")
