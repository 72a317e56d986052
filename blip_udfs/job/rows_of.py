"""A table with a column of images, or a DataFrame -> a dataset, of which the job keeps a table of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from blip_udfs.files.dataset import FILE, Column, Dataset
from blip_udfs.job.tables import BATCH, MADE, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DIGEST = Column("digest", "STRING", searched=False)  # SHA-256 of an image's bytes
PARTITIONS = ("string", "int", "bigint", "date")  # types whose values name a folder, and are found by it again


def dataset(
    spark: SparkSession,
    source: str | DataFrame,
    key: str | Sequence[str],
    image: str,
    stamp: str | None,
    partition_by: str | None,
    columns: str | Sequence[str],
) -> Dataset:
    """Of the rows of `source`, see `embed`. Raises ValueError for columns that it has not, or that clash with those
    that the job makes."""
    if not key:
        raise ValueError("key: expected the columns by which each row is told from all others, got none")
    asked = Asked(spark, source)
    keys, partition = asked.all("key", key), asked.all("partition_by", partition_by or ())
    path_or_bytes, stamps = asked.one("image", image), asked.all("stamp", stamp or ())
    if path_or_bytes.type not in ("STRING", "BINARY"):
        raise ValueError(f"image: expected a column of STRING (paths) or BINARY, {image} is {path_or_bytes.type}")
    if odd := [each for each in partition if each.type.lower() not in PARTITIONS]:
        raise ValueError(f"partition_by: expected STRING, INT, BIGINT or DATE, {odd[0].name} is {odd[0].type}")
    has_bytes = path_or_bytes.type == "BINARY"
    made = () if stamps else (DIGEST,) if has_bytes else FILE[1:]
    own = {each.name: each for each in (*keys, *partition, *asked.all("columns", columns))}
    hidden = {each.name: Column(each.name, each.type, searched=False) for each in stamps}
    every = hidden | own
    reserved = {"image"} | {each.name for each in (*MADE, BATCH, *made)}
    if taken := [name for name in every if name.lower() in reserved]:
        raise ValueError(f"{asked.named}: the job makes a column {taken[0]} of its own; rename it, as by a view")
    asked.check(keys, partition)
    identity = tuple(each.name for each in keys)
    stamped = tuple(each.name for each in stamps or made)
    return Dataset(
        (*every.values(), Column("image", path_or_bytes.type), *made),
        series=identity[:-1],
        order=identity[-1],
        below=None,
        read=lambda spark, _: asked.rows(path_or_bytes.name, has_bytes, bool(stamps)),
        identity=identity,
        stamp=stamped if stamps or has_bytes else ("image", *stamped),
        partitions=tuple(each.name for each in partition),
    )


class Asked:
    """The rows, and what is asked of their columns, in any case as SQL has it."""

    def __init__(self, spark: SparkSession, source: str | DataFrame) -> None:
        self.spark, self.source = spark, source
        self.named = source if isinstance(source, str) else "the DataFrame"
        self.fields = {field.name.lower(): field for field in self.now().schema.fields}

    def now(self) -> DataFrame:
        """Of a table as it is now, not as it was when another run began."""
        from pyspark.errors import AnalysisException

        if not isinstance(self.source, str):
            return self.source
        try:
            return self.spark.table(self.source)
        except AnalysisException as error:
            from blip_udfs.spark.lines import condition

            if condition(error) != "TABLE_OR_VIEW_NOT_FOUND":
                raise
            raise ValueError(f"no table or view {self.source}: name one of the session's catalog") from None

    def all(self, argument: str, columns: str | Sequence[str]) -> list[Column]:
        listed = columns.split(",") if isinstance(columns, str) else columns
        return [self.one(argument, name.strip()) for name in listed if name.strip()]

    def one(self, argument: str, name: str) -> Column:
        field = self.fields.get(name.lower())
        if field is None:
            there = ", ".join(each.name for each in self.fields.values())
            raise ValueError(f"{argument}: {self.named} has no column {name}; it has {there}")
        if "." in field.name or "`" in field.name:
            raise ValueError(f"{argument}: expected a name without . and `, got {field.name}; rename it, as by a view")
        kind = field.dataType.simpleString()
        return Column(field.name, kind.upper() if kind in ("string", "binary") else kind)

    def rows(self, image: str, has_bytes: bool, is_stamped: bool) -> DataFrame:
        """All columns, that of images as `image`, and what tells it from an older one where no column does."""
        from pyspark.sql import functions as F

        from blip_udfs.job import stamps
        from blip_udfs.spark.by_path import readable

        rows = self.now()
        others = [F.col(quoted(name)) for name in rows.columns if name.lower() != "image"]
        rows = rows.select(*others, F.col(quoted(image)).alias("image"))  # which may be a key as well
        if is_stamped:
            return rows
        if has_bytes:
            return rows.withColumn(DIGEST.name, F.sha2("image", 256))
        found = F.pandas_udf(stamps.of_files, stamps.FOUND)(readable(self.spark, asked=True))  # type: ignore[call-overload]
        named = [quoted(name) for name in rows.columns if name.lower() not in {each.name for each in FILE[1:]}]
        modified = F.expr("timestamp_micros(blip_found.modified)").alias("modified")
        return rows.withColumn("blip_found", found).select(*named, modified, "blip_found.length")

    def check(self, keys: list[Column], partition: list[Column]) -> None:
        """Raises ValueError for rows that the key does not tell apart, and for NULL where a row must have a value."""
        names = list(dict.fromkeys(each.name for each in (*keys, *partition)))
        rows = self.now().select(*map(quoted, names))
        missing = " OR ".join(f"{quoted(name)} IS NULL" for name in names)
        if empty := rows.where(missing).count():
            raise ValueError(
                f"{self.named}: {empty:,} rows have NULL in {' or '.join(names)}; leave them out, as by a view"
            )
        key = [each.name for each in keys]
        twice = rows.groupBy(*key).count().where("count > 1").first()
        if twice:
            first = ", ".join(f"{name} = {twice[name]}" for name in key)
            raise ValueError(f"key: {self.named} has {twice['count']:,} rows of {first}; name more columns")
