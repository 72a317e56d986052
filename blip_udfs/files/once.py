"""An ONCE tree -> a table: one row per camera image, with what the sequence's JSON and ImageSets say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from blip_udfs.files.dataset import FILE, Column, Dataset
from blip_udfs.files.formats import SUFFIXES
from blip_udfs.files.listing import Tree

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SPLITS = ("train", "val", "test", "raw_small", "raw_medium", "raw_large")  # the first that lists a sequence is its own
TEMPLATE = Path(__file__).with_name("once.sql")
IMAGE, MODIFIED, LENGTH = FILE
COLUMNS = (
    Column("sequence_id", "STRING"),
    Column("frame_id", "STRING"),
    Column("camera", "STRING"),
    IMAGE,
    Column("timestamp", "TIMESTAMP"),
    Column("weather", "STRING"),
    Column("period", "STRING"),
    Column("region", "STRING"),
    Column("split", "STRING", kept=False),
    Column("classes", "ARRAY<STRING>", kept=False),
    Column("counts", "MAP<STRING,INT>", kept=False),
    Column("problem", "STRING", kept=False),
    MODIFIED,
    LENGTH,
)


def read_once(spark: SparkSession, root: str, split: str | None = None, image_bytes: bool = False) -> DataFrame:
    """The ONCE tree at `root` (a folder or any Hadoop URI) as a DataFrame.

    Columns: sequence_id, frame_id, camera, image (path; the file's bytes with `image_bytes`), timestamp, weather,
    period, region, split (the first of SPLITS that lists the sequence), classes and counts of the annotated objects
    seen by that camera, `problem`: NULL, or what is wrong with the row's metadata, and the file's modification time
    (`modified`) and `length` in bytes. (sequence_id, frame_id, camera) is the key. Spark lists and reads; no image
    byte is read unless asked for. `split` keeps the sequences that ImageSets/<split>.txt lists.

    The rows are those of the SQL function read_once, which is called where the session has it. Raises ValueError for
    an unknown split or one without its list, for a root without data/, and for a tree whose images all lie deeper
    than LAYOUT says. Layout: https://once-for-auto-driving.github.io
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    return by_jar(spark, root, split, image_bytes) or by_readers(spark, root, split, image_bytes)


def by_jar(spark: SparkSession, root: str, split: str | None, image_bytes: bool) -> DataFrame | None:
    """None where the session has no jar, and where the other door says by a ValueError what is wrong."""
    from pyspark.errors import AnalysisException, IllegalArgumentException

    if not spark.catalog.functionExists("read_once"):
        return None
    wanted = {"root": root, "image_bytes": image_bytes} | ({} if split is None else {"split": split})
    named = ", ".join(f"{name} => :{name}" for name in wanted)
    try:
        rows = spark.sql(f"SELECT * FROM read_once({named})", wanted)
        rows.schema  # noqa: B018 - a Connect client asks the server now
    except (AnalysisException, IllegalArgumentException):
        return None
    return rows


def by_readers(spark: SparkSession, root: str, split: str | None = None, image_bytes: bool = False) -> DataFrame:
    """The same rows by Spark's own readers, without the jar."""
    tree = Tree(spark, root)
    if split is not None and not tree.has(f"ImageSets/{split}.txt"):
        raise ValueError(without_list(root, split))
    text = query("content" if image_bytes else "path")
    rows = spark.sql(text, images=tree.images(), records=tree.records(), lists=tree.lists())
    if split is not None:
        rows = rows.where(f"array_contains(splits, '{split}')")
    return rows.drop("splits")


def without_list(root: str, split: str) -> str:
    return (
        f"split: expected the list {root}/ImageSets/{split}.txt, got no such file: the lists come with the dataset's "
        "devkit, copy its ImageSets there"
    )


def query(image: str) -> str:
    """once.sql with its relations still in braces; `image`: which column of theirs becomes `image`."""
    names = ", ".join(f"'{split}'" for split in SPLITS)
    return TEMPLATE.read_text().replace("{image}", image).replace("{splits}", f"array({names})")


def manifest() -> dict[str, list[str]]:
    """What the extension's jar knows of ONCE."""
    return {"splits": list(SPLITS), "suffixes": list(SUFFIXES)}


def problems(spark: SparkSession, root: str) -> DataFrame:
    """What is wrong with the tree, a row each: sequence_id, camera, problem, images (how many it concerns).

    Rows whose metadata has a problem, by sequence and camera; camera folders that a sequence lacks while another has
    them; frames of a sequence's JSON that have no image of a camera that its others have; and, without sequence and
    camera, images that lie too deep to be found.
    """
    from pyspark.sql import functions as F

    tree, rows = Tree(spark, root), read_once(spark, root)
    kinds = F.regexp_replace("problem", "for frame [^ ]+", "for some frames")
    found = rows.where("problem IS NOT NULL").groupBy("sequence_id", "camera", kinds.alias("problem"))
    pairs = rows.select("sequence_id", "camera").distinct()
    every = pairs.select("sequence_id").distinct().crossJoin(pairs.select("camera").distinct())
    missing = every.join(pairs, ["sequence_id", "camera"], "left_anti").selectExpr(
        "sequence_id", "camera", "concat('no folder data/', sequence_id, '/', camera) AS problem", "0L AS images"
    )
    all_found = found.agg(F.count("*").alias("images")).unionByName(missing).unionByName(without_image(tree, rows))
    return all_found.unionByName(too_deep(tree)).orderBy("sequence_id", "camera", "problem")


def without_image(tree: Tree, rows: DataFrame) -> DataFrame:
    """By sequence and camera: how many frames of the JSON have no image."""
    from pyspark.sql import functions as F

    frames = tree.records().selectExpr(
        "sequence_id",
        "concat('no image for some frames of ', place, '/', sequence_id, '.json') AS problem",
        "explode(from_json(value, 'frames ARRAY<STRUCT<frame_id: STRING>>').frames.frame_id) AS frame_id",
    )
    cameras = rows.select("sequence_id", "camera").distinct()
    images = rows.select("sequence_id", "camera", "frame_id")
    lacking = frames.join(cameras, "sequence_id").join(images, ["sequence_id", "camera", "frame_id"], "left_anti")
    return lacking.groupBy("sequence_id", "camera", "problem").agg(F.countDistinct("frame_id").alias("images"))


def too_deep(tree: Tree) -> DataFrame:
    """By folder: how many images lie deeper than one is expected."""
    from pyspark.sql import functions as F

    folder = F.regexp_extract("path", "^(.*)/[^/]*$", 1)
    nothing = F.lit(None).cast("string")
    counted = tree.strays().groupBy(F.concat(F.lit("images lie too deep in "), folder).alias("problem"))
    return counted.agg(F.count("*").alias("images")).select(
        nothing.alias("sequence_id"), nothing.alias("camera"), "problem", "images"
    )


ONCE = Dataset(COLUMNS, series=("sequence_id", "camera"), order="frame_id", below="data", read=read_once)
