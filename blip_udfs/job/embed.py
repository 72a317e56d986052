"""A dataset's tree, or any table with a column of images -> a table of embeddings, kept up to date: incremental,
resumable, each image once per model.

How a kill at any instant is survived. The images to embed are first written as a plan: Parquet files of at most
`images_per_trigger` images each, beside the table. A stream (availableNow, with a checkpoint) reads one of them per
trigger, embeds it and overwrites the partitions (sequence, batch), where `batch` is the name of the plan's file.
What a killed trigger left is overwritten by the same rows when the stream repeats it; no other trigger writes there.
A run first finishes the plan of the one before it and only then compares tree and table for a plan of its own.

Spark's file sink would also be exactly-once, by a log beside the table; but nothing can then be removed from the table,
and readers that do not know the log see what killed triggers left. Delta and Iceberg take the same calls as commits.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from blip_udfs.files import known
from blip_udfs.job import increment, narrow, rows_of
from blip_udfs.job.follow import follow
from blip_udfs.job.store import create, show_current
from blip_udfs.job.tables import BATCH, Tables, ddl, names
from blip_udfs.spark.session import register
from blip_udfs.spark.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

IMAGES_A_TASK = 64  # of a trigger: small enough to spread evenly, eight batches or more of the model's; or of Arrow's
IMAGES_A_TRIGGER = 1000  # or IMAGES_A_TASK per core, where that is more: a trigger takes seconds of its own
LISTING_TASKS = 4  # per core: Spark alone would make one of every 32 files, 200,000 of a tree of 7 million
MEASURED = 64  # images by which a dry run measures the speed
OUTCOME = "value ARRAY<FLOAT>, reason STRING"
Event = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """What a run found and did, in images; `pruned` in rows. `images` went through triggers, in `trigger_seconds`;
    `embedded` of them have an embedding, `similar` an earlier frame's. `expected_seconds`: what a dry run foresees."""

    model: str
    new: int
    changed: int
    failed_before: int
    deleted: int
    done_before: int
    images: int = 0
    embedded: int = 0
    failed: int = 0
    similar: int = 0
    pruned: int = 0
    trigger_seconds: float = 0.0
    seconds: float = 0.0
    expected_seconds: float | None = None


def embed(
    spark: SparkSession,
    source: str | DataFrame,
    table: str = "once_embeddings",
    *,
    dataset: str = "once",
    key: str | Sequence[str] = (),
    image: str = "image",
    stamp: str | None = None,
    partition_by: str | None = None,
    columns: str | Sequence[str] = (),
    where: str | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    prune: bool = False,
    prune_models: bool = False,
    skip_similar: float | None = None,
    images_per_trigger: int | None = None,
    table_format: str = "parquet",
    location: str | None = None,
    continuous: float | None = None,
    until: Callable[[], bool] = lambda: False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Summary:
    """Embeds the images of the tree `source` that have no row in `table` for their path, modification time,
    length and the session's model; creates the table and the view of its current rows (once_search for
    once_embeddings) where they are missing.

    With `key`, `source` is a table's name or a DataFrame: one row per image, told from all others by the columns `key`
    (the last is the order in which those before it took them), with the path or the bytes in the column `image`. An
    image is embedded anew when the column `stamp` has another value; without one, when its path, modification time or
    length has, or its bytes have. `table` is partitioned by the column `partition_by` and carries `columns`. Columns
    are names, or names with commas.

    `dataset`: a name of files.known.DATASETS, whose tree it is. `where`: SQL over its columns, which images.
    `retry_failed`: also those whose row has no embedding. `dry_run`: writes nothing, says what there is to do and how
    long it takes. `prune`: afterwards deletes the rows of images that were deleted or changed. `prune_models`:
    afterwards deletes rows of other models, once each image has one of this. `skip_similar`: see similar.mark.
    `images_per_trigger`: what is committed at once, so what a kill can cost; without it 1,000, or 64 per core where
    that is more. `location`: a folder for the table, which a session with another catalog finds again.
    `continuous`: afterwards goes on, and looks for images every so many seconds, of a tree or a table by name. `until`
    is asked each second whether to end; what is planned then is left for the next run. `on_event` hears dictionaries:
    planned, working, trigger, pruned, finished.

    An image that cannot be embedded keeps its row, with NULL for the embedding and the reason in `error`. Raises
    ValueError for a table of other columns, for `prune_models` while images are missing, and for a Connect session.
    """
    increment.check_classic(spark, "embed")
    if continuous is not None and (dry_run or continuous <= 0 or not isinstance(source, str)):
        raise ValueError(
            "continuous: expected a number of seconds above 0, no dry_run, and a tree or a table's or view's name, for "
            "a DataFrame lists its files once"
        )

    def tables() -> Tables:
        if key or not isinstance(source, str):
            return Tables(rows_of.dataset(spark, source, key, image, stamp, partition_by, columns))
        return Tables(known.dataset(dataset))

    of_source = tables()
    named = source if isinstance(source, str) else "the DataFrame"
    register(spark)
    from blip_udfs.spark import catalog as BF

    model = spark.range(1).select(BF.blip_model()).collect()[0][0]
    at_once = images_per_trigger or max(IMAGES_A_TRIGGER, IMAGES_A_TASK * spark.sparkContext.defaultParallelism)
    settings = Settings.of_session(spark)
    job = Job(spark, of_source, named, table, where, retry_failed, skip_similar, at_once, model, settings, on_event)
    job.until = until
    with (
        increment.setting(spark, "spark.sql.files.maxPartitionNum", str(LISTING_TASKS * job.cores)),
        increment.setting(spark, "spark.sql.execution.arrow.maxRecordsPerBatch", str(IMAGES_A_TASK)),
    ):
        if dry_run:
            return job.foresee()
        create(spark, of_source, table, table_format, location)
        summary = job.run(prune, prune_models, partial(follow, job, continuous, tables) if continuous else Counter)
    on_event({"event": "finished", **vars(summary)})
    return summary


@dataclass
class Job:
    """One run: the counts of its triggers so far, and what its parts need to know."""

    spark: SparkSession
    tables: Tables
    source: str
    table: str
    where: str | None
    retry_failed: bool
    skip_similar: float | None
    images_per_trigger: int
    model: str
    settings: Settings
    on_event: Callable[[Event], None]
    totals: Counter = field(default_factory=Counter)
    until: Callable[[], bool] = lambda: False

    def run(self, prune: bool, prune_models: bool, follow: Callable[[], Counter] = Counter) -> Summary:
        started = time.monotonic()
        increment.finish(self.spark, self.table)
        if (unfinished := self.unfinished()) is not None:
            self.on_event({"event": "resumed", "pending": unfinished})
            self.drain()
        found = increment.nothing() if self.until() else self.plan()
        show_current(self.spark, self.tables, self.table)
        self.drain()
        later = follow()
        found |= {status: found[status] + later[status] for status in ("new", "changed")}
        pruned = self.prune(prune_models) if prune or prune_models else 0
        show_current(self.spark, self.tables, self.table)
        seconds = round(time.monotonic() - started, 3)
        return Summary(self.model, **found, **self.totals, pruned=pruned, seconds=seconds)

    def foresee(self) -> Summary:
        """What there is to do, and how long that takes at the speed of a few of the images, embedded twice."""
        with self.compared() as images:
            found, pending = increment.counts(images), self.pending(images)
            sample = pending.limit(MEASURED).localCheckpoint()
            seconds = 0.0
            for _ in range(2):  # the first loads the model
                started = time.monotonic()
                self.embeddings(sample, self.cores).write.format("noop").mode("overwrite").save()
                seconds = time.monotonic() - started
            expected = seconds * pending.count() / max(sample.count(), 1)
        return Summary(self.model, **found, expected_seconds=round(expected, 3))

    def stored(self) -> DataFrame:
        if self.spark.catalog.tableExists(self.table):
            return self.spark.table(self.table)
        return self.spark.createDataFrame([], ddl(self.tables.row))

    @contextmanager
    def compared(self) -> Iterator[DataFrame]:
        """increment.compare, listed and joined once."""
        images = increment.compare(
            self.spark, self.tables, self.source, self.stored(), self.where, self.model
        ).persist()
        try:
            yield images
        finally:
            images.unpersist()

    def pending(self, images: DataFrame) -> DataFrame:
        wanted = ["new", "changed", *(["failed"] if self.retry_failed else [])]
        pending = images.where(images[increment.STATUS].isin(wanted))
        if self.tables.dataset.has_bytes:
            identity = list(self.tables.dataset.identity)
            rows = self.tables.dataset.read(self.spark, self.source).select(*identity, "image")
            pending = pending.join(rows, identity)
        return pending.select(*names(self.tables.planned))

    @property
    def of_table(self) -> bool:
        """Whether the source is a table's or a view's name, not a tree."""
        return self.tables.dataset.below is None

    def plan(self, again: bool = False) -> dict[str, int]:
        """Writes which images to embed, in the order of the tree; how many there are of each status. `again`: nothing
        is said where there is none."""
        with self.compared() as images:
            found, pending = increment.counts(images), self.pending(images)
            if count := pending.count():
                ordered = pending.orderBy(*self.tables.dataset.key)
                files = ordered.write.mode("append").option("maxRecordsPerFile", self.images_per_trigger)
                folder = f"{self.folder}/plan"
                self.forget_unfinished_write(folder)
                files.parquet(folder)
        if count or not again:
            self.on_event({"event": "planned", "model": self.model, "pending": count, **found})
        return found

    def forget_unfinished_write(self, folder: str) -> None:
        """Hadoop takes what a killed write's tasks have left into the next one that appends, and so images twice."""
        system, path = increment.hadoop(self.spark, f"{folder}/_temporary")
        system.delete(path, True)

    @property
    def folder(self) -> str:
        return increment.job_folder(self.spark, self.table, self.model)

    def unfinished(self) -> int | None:
        """Images of an earlier run's plan that are not in the table; None if there never was a plan."""
        from pyspark.errors import AnalysisException

        from blip_udfs.spark.lines import condition

        try:
            plan = self.spark.read.schema(ddl(self.tables.planned)).parquet(f"{self.folder}/plan")
        except AnalysisException as error:
            if condition(error) != "PATH_NOT_FOUND":
                raise
            return None
        return (
            plan.withColumn("batch", increment.batch_name())
            .join(self.stored().select("batch").distinct(), "batch", "left_anti")
            .count()
        )

    def drain(self) -> None:
        """Embeds what is planned and not embedded yet."""
        query = self.start()
        try:
            while not query.awaitTermination(1) and not self.until():
                self.on_event({"event": "working", "images": self.images_under_way(query)})
        finally:
            query.stop()
            self.spark.catalog.refreshTable(self.table)  # the stream's session has written, this one knows the old rows

    def start(self, **trigger: Any) -> StreamingQuery:
        folder = self.folder
        system, path = increment.hadoop(self.spark, f"{folder}/plan")
        system.mkdirs(path)  # a stream must find it, though nothing may be planned yet
        plan = (
            self.spark.readStream.schema(ddl(self.tables.planned))
            .option("maxFilesPerTrigger", 1)
            .option("cleanSource", "delete")
        )
        images = plan.parquet(f"{folder}/plan").withColumn("batch", increment.batch_name())
        stream = images.writeStream.foreachBatch(self.trigger).trigger(**trigger or {"availableNow": True})
        return stream.option("checkpointLocation", f"{folder}/checkpoint").start()

    def trigger(self, images: DataFrame, number: int) -> None:
        """One micro-batch: embeds its images and puts the rows in their place. Where a worker is lost, the images that
        end it are found, and get their reason in place of an embedding."""
        started = time.monotonic()
        try:
            counted = self.write(images, [])
        except Exception as error:
            if not narrow.is_lost_worker(error):
                raise
            self.on_event({"event": "narrowing", "trigger": number})
            counted = self.write(images, narrow.killers(images, self.tables.called(), self.attempt))
        seconds = round(time.monotonic() - started, 3)
        self.totals.update(counted | {"trigger_seconds": seconds})
        self.on_event({"event": "trigger", **counted, "seconds": seconds})

    def attempt(self, images: DataFrame) -> None:
        self.embeddings(images, self.cores).write.format("noop").mode("overwrite").save()

    def write(self, images: DataFrame, killers: list[str]) -> dict[str, int]:
        """Embeds all but `killers` and puts the rows of all in their place; how many there are of each kind."""
        from pyspark.sql import Observation
        from pyspark.sql import functions as F

        counted, kills = Observation(), F.coalesce(self.tables.called().isin(killers), F.lit(False))
        rows = self.embeddings(images.where(~kills), self.tasks).select(*names(self.tables.row))
        rows = (rows.union(self.unread(images.where(kills))) if killers else rows).observe(
            counted,
            F.count(F.lit(1)).alias("images"),
            F.count("embedding").alias("embedded"),
            F.count("error").alias("failed"),
            F.count("similar_to").alias("similar"),
        )
        with increment.setting(images.sparkSession, "spark.sql.shuffle.partitions", str(self.cores)):
            increment.replace(rows.repartition(*self.spread), self.table, images)
        return counted.get

    @property
    def spread(self) -> list[str]:
        """By what a trigger's rows are written together: its partitions but for the batch, of which it has one."""
        return list(self.tables.dataset.partition or [BATCH.name])

    def embeddings(self, images: DataFrame, tasks: int) -> DataFrame:
        """With embedding, error and similar_to."""
        from pyspark.sql import functions as F

        from blip_udfs.job import similar
        from blip_udfs.spark import worker

        rows, image = images.repartition(tasks), self.image()
        if self.skip_similar is None:
            rows = rows.withColumn("similar_to", F.lit(None).cast("string"))
        else:
            rows = similar.mark(rows, self.tables, image, self.skip_similar).repartition(tasks)
        own = F.when(F.col("similar_to").isNull(), image)
        outcome = F.pandas_udf(worker.with_settings(worker.embedded_or_why_not, self.settings), OUTCOME)(own)  # type: ignore[call-overload]
        missing = F.when(F.col("image").isNull(), F.lit("expected an image, got NULL"))
        rows = rows.withColumn("blip_outcome", outcome).withColumns(
            {"embedding": F.col("blip_outcome.value"), "error": F.coalesce("blip_outcome.reason", missing)}
        )
        return rows if self.skip_similar is None else similar.spread(rows, self.tables)

    def image(self) -> Column:
        """The image's bytes, or its path as who reads it takes it."""
        from pyspark.sql import functions as F

        from blip_udfs.spark.by_path import readable

        return F.col("image") if self.tables.dataset.has_bytes else readable(self.spark)

    @property
    def cores(self) -> int:
        return self.spark.sparkContext.defaultParallelism

    @property
    def tasks(self) -> int:
        return max(self.cores, math.ceil(self.images_per_trigger / IMAGES_A_TASK))

    def images_under_way(self, query: StreamingQuery) -> int:
        """About how many images of the trigger at work are done, by its finished tasks."""
        tracker = self.spark.sparkContext.statusTracker()
        jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(str(query.runId))]
        stages = [
            tracker.getStageInfo(stage) for job in jobs if job and job.status == "RUNNING" for stage in job.stageIds
        ]
        tasks = [stage.numCompletedTasks for stage in stages if stage and stage.numTasks == self.tasks]
        return max(tasks, default=0) * self.images_per_trigger // self.tasks

    def unread(self, images: DataFrame) -> DataFrame:
        """Rows of images that end their worker: with the reason, without an embedding."""
        from pyspark.sql import functions as F

        empty = {"embedding": F.lit(None).cast("array<float>"), "similar_to": F.lit(None).cast("string")}
        return images.withColumns(empty | {"error": F.lit(narrow.reason())}).select(*names(self.tables.row))

    def prune(self, prune_models: bool) -> int:
        of_tree = (self.spark, self.tables, self.source)
        files = increment.files(*of_tree)
        rows = increment.outdated(*of_tree, self.stored(), files)
        if prune_models:
            rows = rows.union(increment.of_other_models(*of_tree, self.stored(), files, self.model))
        count = increment.remove(self.spark, self.tables, self.table, rows.distinct())
        self.on_event({"event": "pruned", "rows": count})
        return count
