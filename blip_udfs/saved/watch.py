"""Saved sentences, a table of embeddings that grows -> a table of what they find among the new rows, each once.

How a kill at any instant is survived. Beside the table of what is found, a run first writes its plan: the sentences,
and which of the embedding job's batches it searches for them. What it finds overwrites a partition of its own, and then
the plan is marked as done. The next run does again what was not marked, by the same plan and into the same partition,
and only then looks for new batches.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blip_udfs.job import increment
from blip_udfs.job.tables import quoted
from blip_udfs.results.many import named, search_many
from blip_udfs.spark.session import register

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

BATCH, RUN = "batch", "run"
UNSHOWN = ("embedding", "error", "similar_to", BATCH, RUN)  # columns of the table that what is found does not repeat
ASKED = "name STRING, sentence STRING, min_score DOUBLE, k INT"
DONE = "done"  # the file that says that a plan's rows are there
ALL = 2**31 - 1


@dataclass(frozen=True)
class Watched:
    """What a call searched: the embedding job's batches, for so many sentences; and the rows that it found."""

    batches: int = 0
    sentences: int = 0
    found: int = 0


def watch(
    spark: SparkSession,
    queries: Mapping[str, str] | DataFrame | str,
    table: str = "once_embeddings",
    into: str = "found",
    *,
    k: int = 10,
    candidates: int = 256,
    notify: str | None = None,
) -> Watched:
    """Searches the rows that came into `table`, which `embed` keeps, since the last call, for each of `queries`, and
    puts what it finds into the table `into`, which it makes where it is missing: `table`'s columns without the
    embedding, the sentence's name in `query`, `rank` and `score` as `search(queries=...)` gives them, and `run`, a name
    for the call.

    `queries`: a dictionary, name -> sentence, or a table or its name, with the columns name and sentence, and min_score
    and k where it has them. Of a sentence with a `min_score` the rows are found whose score is that or more, of another
    one its `k` best of the call. `candidates`: the rows that ITM scores for each sentence, the nearest; 0 = all new
    ones. A sentence that is new is searched for in the rows that come from then on.

    `notify`, a command, is run with the number of rows that were found where that is not 0; one that fails is run again
    by the next call. Call it after `embed`, not beside it: half a batch is all of it once it was searched. Each row is
    searched once per model, whatever was killed, and `into` has what was found once.

    Raises ValueError for a table that `embed` did not make, and for sentences as `search` does.
    """
    register(spark)
    from blip_udfs.spark import catalog as BF

    (model,) = spark.range(1).select(BF.blip_model()).collect()[0]
    job = Watch(spark, table, into, candidates, model, notify)
    asked = saved(spark, queries, k)
    job.create()
    pending = job.pending()
    calls = [*([job.run(pending)] if pending else []), *([job.run(new)] if (new := job.plan(asked)) else [])]
    return Watched(sum(each.batches for each in calls), asked.count(), sum(each.found for each in calls))


def saved(spark: SparkSession, queries: Mapping[str, str] | DataFrame | str, k: int) -> DataFrame:
    """The sentences as ASKED, checked."""
    from pyspark.sql import functions as F

    if isinstance(queries, Mapping):
        pairs = [(name, sentence, None, k) for name, sentence in named(spark, queries).items()]
        return spark.createDataFrame(pairs, ASKED)
    rows = spark.table(queries) if isinstance(queries, str) else queries
    there = {name.lower() for name in rows.columns}
    if missing := {"name", "sentence"} - there:
        raise ValueError(f"queries: expected the columns name and sentence, {sorted(missing)[0]} is not there")
    named(spark, rows.select("name", "sentence"))
    least = F.col("min_score") if "min_score" in there else F.lit(None)
    best = F.coalesce(F.col("k"), F.lit(k)) if "k" in there else F.lit(k)
    return rows.select("name", "sentence", least.cast("double").alias("min_score"), best.cast("int").alias("k"))


@dataclass
class Watch:
    """One call, and what its parts need to know."""

    spark: SparkSession
    table: str
    into: str
    candidates: int
    model: str
    notify: str | None

    def rows(self) -> DataFrame:
        rows = self.spark.table(self.table)
        if missing := [name for name in ("image", "embedding", "model", BATCH) if name not in rows.columns]:
            raise ValueError(f"{self.table}: expected a table that embed made, it has no column {missing[0]}")
        return rows

    def create(self) -> None:
        """The table of what is found, unless it is there."""
        kept = [field for field in self.rows().schema if field.name not in (*UNSHOWN, "query", "rank", "score")]
        columns = [f"{quoted(field.name)} {field.dataType.simpleString()}" for field in kept]
        made = ", ".join([*columns, "query STRING", "rank INT", "score DOUBLE", f"{RUN} STRING"])
        self.spark.sql(f"CREATE TABLE IF NOT EXISTS {self.into} ({made}) USING parquet PARTITIONED BY ({RUN})")

    @property
    def folder(self) -> str:
        """Of this model's plans; readers of the table skip names that begin with _."""
        location = increment.described(self.spark, self.into)["Location"]
        return f"{location}/_watch/{self.model.split('@')[-1]}"

    def plans(self) -> list[str]:
        """Of earlier runs, the first first."""
        system, path = increment.hadoop(self.spark, self.folder)
        return sorted(each.getPath().getName() for each in system.listStatus(path)) if system.exists(path) else []

    def pending(self) -> str | None:
        """The run whose plan is whole and not marked as done; half a plan is none, and was never followed."""
        whole = [run for run in self.plans() if increment.exists(self.spark, f"{self.folder}/{run}/{increment.WHOLE}")]
        return next((run for run in whole if not increment.exists(self.spark, f"{self.folder}/{run}/{DONE}")), None)

    def plan(self, asked: DataFrame) -> str | None:
        """Writes which batches are new, and what they are searched for; the run's name, None where there are none."""
        from pyspark.sql import functions as F

        known = [f"{self.folder}/{run}/batches" for run in self.plans() if self.is_whole(run)]
        batches = self.rows().where(F.col("model") == self.model).select(BATCH).distinct()
        if known:
            batches = batches.join(self.spark.read.schema(f"{BATCH} STRING").parquet(*known), BATCH, "left_anti")
        if not (new := batches.collect()):
            return None
        run = f"{len(known):06d}_{self.model.split('@')[-1]}"
        self.spark.createDataFrame(new, f"{BATCH} STRING").coalesce(1).write.mode("overwrite").parquet(
            f"{self.folder}/{run}/batches"
        )
        asked.coalesce(1).write.mode("overwrite").parquet(f"{self.folder}/{run}/queries")
        self.mark(run, increment.WHOLE)
        return run

    def is_whole(self, run: str) -> bool:
        return increment.exists(self.spark, f"{self.folder}/{run}/{increment.WHOLE}")

    def mark(self, run: str, what: str) -> None:
        system, path = increment.hadoop(self.spark, f"{self.folder}/{run}/{what}")
        system.create(path).close()

    def run(self, run: str) -> Watched:
        """Follows a plan: to do it twice is to do it once."""
        from pyspark.sql import functions as F

        batches = [batch for (batch,) in self.spark.read.parquet(f"{self.folder}/{run}/batches").collect()]
        asked = self.spark.read.schema(ASKED).parquet(f"{self.folder}/{run}/queries").collect()
        found = self.found(batches, asked).withColumn(RUN, F.lit(run))
        increment.overwrite(found, self.into)
        self.spark.catalog.refreshTable(self.into)
        count = self.spark.table(self.into).where(F.col(RUN) == run).count()
        if count and self.notify:
            tell(self.notify, count)
        self.mark(run, DONE)
        return Watched(len(batches), len(asked), count)

    def found(self, batches: list[str], asked: list[Any]) -> DataFrame:
        """The rows of the batches that are above their sentence's threshold, or among its best."""
        from pyspark.sql import functions as F

        most = ALL if any(row.min_score is not None for row in asked) else max(row.k for row in asked)
        new = f"{BATCH} IN ({', '.join(map(increment.literal, batches))})"
        sentences = {row.name: row.sentence for row in asked}
        ranked = search_many(self.rows(), sentences, most, self.candidates, "image", "embedding", new)
        is_found = F.lit(False)
        for row in asked:
            is_found = F.when(F.col("query") == row.name, passes(row)).otherwise(is_found)
        return ranked.where(F.col("score").isNotNull() & is_found)


def passes(row: Any) -> Column:
    from pyspark.sql import functions as F

    return F.col("rank") <= row.k if row.min_score is None else F.col("score") >= row.min_score


def tell(command: str, found: int) -> None:
    """Runs the command with the number behind its own words. Raises ValueError where it fails."""
    done = subprocess.run([*shlex.split(command), str(found)], check=False)
    if done.returncode:
        raise ValueError(f"notify: {command} {found} ended with {done.returncode}; what was found is in the table")
