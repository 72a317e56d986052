"""An ONCE tree -> relations of its files for once.sql, by Spark's own readers; files of 0 bytes, which those leave out,
by the workers."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from blip_udfs.files.formats import SUFFIXES
from blip_udfs.files.records import once_text
from blip_udfs.files.sources import file_system, local_path, split_scheme

if TYPE_CHECKING:
    import pandas as pd
    from pyarrow.fs import FileInfo, FileSystem
    from pyspark.sql import Column, DataFrame, SparkSession

LAYOUT = "data/<sequence>/<camera>/<frame>.jpg"
NAME = "[^._/][^/]*"  # what begins with . or _ is hidden, as Spark's own readers have it
IN_PLACE = f"^data/(data/)?{NAME}/{NAME}/{NAME}$"  # an archive may be unpacked one folder too deep
RECORD = r"^data/(data/)?([^/]+)/\2[.](?i:json)$"
LIST_NAME = "regexp_extract(path, '/ImageSets/([^/]+)[.]txt$', 1)"
FOUND = "path STRING, milliseconds BIGINT, problem STRING"  # a file of 0 bytes, or why none are found
AT_ONCE = 8  # tasks that look for them


def any_case(suffix: str) -> str:
    """jpg -> [jJ][pP][gG], as Hadoop's patterns have it."""
    return "".join(f"[{letter}{letter.upper()}]" for letter in suffix)


IMAGES = f"*.{{{','.join(map(any_case, SUFFIXES))}}}"
JSON = f"*.{any_case('json')}"


def image_columns(below: str) -> list[str]:
    """The columns of relation images; `below`: SQL for a file's path below the root, data/<sequence>/..."""
    return [
        f"regexp_extract({below}, '(?s)^(.*)/[^/]+/[^/]+$', 1) AS place",
        f"regexp_extract({below}, '([^/]+)/[^/]+/[^/]+$', 1) AS sequence_id",
        f"regexp_extract({below}, '([^/]+)/[^/]+$', 1) AS camera",
        *("path", "modificationTime", "length", "content"),
    ]


def record_columns(below: str, text: str) -> list[str]:
    """The columns of relation records, and `path`; `text`: SQL for what once_text gives."""
    return [
        f"regexp_extract({below}, '(?s)^(.*)/[^/]+$', 1) AS place",
        f"regexp_extract({below}, '([^/]+)/[^/]+$', 1) AS sequence_id",
        f"{text} AS value",
        "path",
    ]


class Tree:
    """The tree at `root`, read by `spark` without the jar. Raises ValueError for a root without data/, and for one
    where no image lies where one is expected and some lie deeper."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        self.spark, self.root = spark, root.rstrip("/") or "/"
        files = self.existing("data", IMAGES)
        if files is None:
            raise ValueError(f"no folder {root}/data: expected an ONCE tree, {LAYOUT}")
        first = files.select("path").first()
        self.named = named(self.root, first.path if first else None)
        self.empty = self.empty_files()
        self.files = files.unionByName(self.empty)
        if first and not re.match(IN_PLACE, first.path.removeprefix(self.named).lstrip("/")):
            self.check()

    def check(self) -> None:
        if self.images().isEmpty() and (deep := self.strays().first()):
            raise ValueError(
                f"{self.root}: no image lies where one is expected, {LAYOUT}, but deeper, as {deep.path}: move the "
                "folders, or name another root"
            )

    @property
    def place(self) -> str:
        """SQL for a file's path below the root."""
        return below(self.named)

    def images(self) -> DataFrame:
        """Of data/<sequence>/<camera>/<frame>.jpg: place, sequence_id, camera, path, modificationTime, length,
        content. Listing is spread over the cluster where there are many folders."""
        from pyspark.sql import functions as F

        files = self.files.where(F.lower("path").rlike(f"[.]({'|'.join(SUFFIXES)})$"))
        return files.where(F.expr(self.place).rlike(IN_PLACE)).selectExpr(*image_columns(self.place))

    def strays(self) -> DataFrame:
        """path: of images that lie deeper than one is expected."""
        from pyspark.sql import functions as F

        place = F.expr(self.place)
        return self.files.where(place.rlike("^data/.*/.*/.*/") & ~place.rlike(IN_PLACE)).select("path")

    def records(self) -> DataFrame:
        """Of data/<sequence>/<sequence>.json: place, sequence_id, value."""
        from pyspark.sql import functions as F

        found = [self.existing(f"{folder}/*/{JSON}", verbatim=False) for folder in ("data", "data/data")]
        files = self.empty
        for each in found:
            files = files if each is None else files.unionByName(each)
        files = files.where(F.expr(self.place).rlike(RECORD)).withColumn("text", text_column())
        rows = files.selectExpr(*record_columns(self.place, "text"))
        return rows.groupBy("place", "sequence_id").agg(F.min_by("value", "path").alias("value"))

    def lists(self) -> DataFrame:
        """Of ImageSets/*.txt: name, value."""
        from pyspark.sql import functions as F

        files = self.existing("ImageSets", "*.txt")
        if files is None:
            return self.spark.sql("SELECT '' AS name, '' AS value WHERE false")
        return files.select(F.expr(LIST_NAME).alias("name"), text_column().alias("value")).where("name <> ''")

    def has(self, path: str) -> bool:
        return self.existing(path) is not None

    def existing(self, path: str, glob: str = "*", verbatim: bool = True) -> DataFrame | None:
        """path, modificationTime, length, content of the files that match, within folders too; None where there is no
        such path, which is a pattern unless `verbatim`."""
        from pyspark.errors import AnalysisException

        reader = self.spark.read.format("binaryFile").option("recursiveFileLookup", True)
        where = f"{escaped(self.root)}/{escaped(path) if verbatim else path}"
        try:
            files = reader.option("pathGlobFilter", glob).load(where)
            files.schema  # noqa: B018 - a Connect client asks the server now
        except AnalysisException as error:
            if not str(error).startswith("[PATH_NOT_FOUND]"):  # getCondition is from Spark 4.0 on
                raise
            return None
        return files

    def empty_files(self) -> DataFrame:
        """The columns of `existing`, of files of 0 bytes. Where the workers cannot list the tree, as with credentials
        that Spark alone has, it is said and there are none."""
        from pyspark.sql import functions as F

        folders = self.spark.range(0, 1, 1, 1).mapInPandas(partial(folders_of, self.named), FOUND)
        problem = folders.where("problem IS NOT NULL").select("problem").first()
        if problem:
            warnings.warn(
                f"read_once: files of 0 bytes in {self.root} are left out, for the workers cannot list it: "
                f"{problem.problem}; in a session with blip-udfs' jar Spark lists them",
                UserWarning,
                stacklevel=4,
            )
            folders = folders.where("false")
        found = folders.repartition(AT_ONCE, "path").mapInPandas(empty_files, FOUND).distinct()
        return found.select(
            "path",
            F.timestamp_millis("milliseconds").alias("modificationTime"),
            F.lit(0).cast("bigint").alias("length"),
            F.lit(b"").alias("content"),
        )


def named(root: str, path: str | None) -> str:
    """The root as Spark names it, without a slash at its end; `path`: of a file in its data/, if there is one."""
    scheme, folder = split_scheme(root)
    absolute = os.path.abspath(local_path(scheme, folder))  # noqa: PTH100 - links stay
    local = f"file:{absolute}".rstrip("/")
    if scheme in ("", "file") and (path is None or path.startswith(f"{local}/data/")):
        return local
    where = os.path.normpath(re.sub("^//[^/]*(?=/)", "", folder) if scheme else folder)
    found = path and re.match(f"([^/]*(//[^/]*)?(/.*?)??/?{re.escape(where)})/data/", path)
    return found[1] if found else root


def below(root: str) -> str:
    """SQL for a file's path below the root, as Spark names that."""
    return f"regexp_replace(substring(path, {len(root) + 1}), '^/+', '')"


def below_any(root: str) -> str:
    """The same, of a root whose name with a scheme is not known."""
    name = root.replace("\\", "\\\\").replace("'", "\\'")
    return f"substring(path, locate('{name}/data/', path) + {len(root) + 1})"


def escaped(path: str) -> str:
    """A path that Hadoop takes by the letter, not as a pattern."""
    return "".join(f"\\{c}" if c in "{}[]*?\\" else c for c in path)


def text_column() -> Column:
    from pyspark.sql import functions as F

    return F.udf(once_text, "string", useArrow=False)("path", "content")


# what the workers run: Arrow's file systems, for Spark's own readers leave files of 0 bytes out


def opened(folder: str) -> tuple[FileSystem, str]:
    """The file system of a folder that Spark has named, and its path there."""
    from pyarrow.fs import LocalFileSystem

    scheme, path = split_scheme(folder)
    if scheme in ("", "file", "dbfs"):
        return LocalFileSystem(), local_path(scheme, path)
    authority, _, key = path.removeprefix("//").partition("/")
    system, base = file_system({"s3a": "s3", "s3n": "s3"}.get(scheme, scheme), authority)
    return system, f"{base.rstrip('/')}/{key}" if base else key


def children(folder: str) -> list[FileInfo]:
    from pyarrow.fs import FileSelector

    system, path = opened(folder)
    return system.get_file_info(FileSelector(path))


def folders_of(root: str, _: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The folders of the tree's sequences, or why they cannot be listed."""
    try:
        places = folders_in(f"{root}/data")
        places += folders_in(f"{root}/data/data") if f"{root}/data/data" in places else []
    except Exception as error:  # of any file system's own kind
        yield framed([(None, None, f"{type(error).__name__}: {error}")])
    else:
        yield framed([(place, None, None) for place in places])


def folders_in(folder: str) -> list[str]:
    return [f"{folder}/{each.base_name}" for each in children(folder) if not each.is_file]


def empty_files(folders: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The files of 0 bytes in the folders and in theirs."""
    for batch in folders:
        for folder in batch["path"]:
            for each in (folder, *folders_in(folder)):
                empty = [file for file in children(each) if file.is_file and not file.size]
                yield framed([(f"{each}/{file.base_name}", file.mtime_ns // 1_000_000, None) for file in empty])


def framed(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    import pandas as pd

    columns = [each.split()[0] for each in FOUND.split(", ")]
    return pd.DataFrame(rows, columns=columns, dtype=object)
