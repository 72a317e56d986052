"""Saved sentences, a table that the embedding job keeps -> a table of what they find among the rows that came, once.

How a kill at any instant is survived. Beside the table of what is found a call first writes its plan: the sentences,
and which of the embedding job's batches are searched for them. What it finds overwrites a partition of its own, then
the plan is marked as found, then as told. The next call goes on from the last mark, by the same plan and into the same
partition, and only then looks for new batches.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blip_udfs.job import increment
from blip_udfs.job.tables import BATCH, quoted
from blip_udfs.results.many import MADE, checked_names, pair_of
from blip_udfs.results.search import search
from blip_udfs.spark.session import register

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

RUN = "run"
UNSHOWN = ("embedding", "error", "similar_to", BATCH.name, RUN, *MADE)  # columns that what is found does not repeat
ADDED = "query string, rank int, score double, run string"
ASKED = "name STRING, sentence STRING, min_score DOUBLE, k INT"
LIMITS = "query STRING, blip_least DOUBLE, blip_most INT"
PASSES = (
    "score IS NOT NULL AND (blip_least IS NULL OR score >= blip_least) AND (blip_most IS NULL OR rank <= blip_most)"
)
FOUND, TOLD = "found", "told"  # files that say how far a plan was followed
ALL = 2**31 - 1

Asked = tuple[str, str, float | None, int | None]  # as ASKED


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
    embedding, with `query`, `rank` and `score` as `search(queries=...)` gives them, and `run`, a name of the call that
    found the row.

    `queries`: a dictionary, name -> sentence, or a table or its name, with the columns name and sentence, and, where it
    has them, min_score and k. Of a sentence the rows of the call are found whose score is `min_score` or more, at most
    its `k` best; without either the argument `k` says how many. `candidates`: the rows that ITM scores for each
    sentence, the nearest of the call; 0 = all. A sentence that is new is searched for in the rows that come from then
    on.

    `notify`, a command, is run with the number of rows that a call found, behind its own words, where that is not 0;
    after one that fails, and after a kill meanwhile, it is run again by the next call. Call it after `embed`, one call
    at a time. A batch of which a killed `embed` left a part is searched once it is whole. Each row is searched once per
    model, whatever was killed, and what was found is in `into` once.

    Raises ValueError for a `table` that `embed` did not make, for an `into` of other columns, for sentences as `search`
    does, for a `notify` that fails, and for a Connect session.
    """
    increment.check_classic(spark, "watch")
    asked = saved(spark, queries, k)
    register(spark)
    from blip_udfs.spark import catalog as BF

    model = spark.range(1).select(BF.blip_model()).collect()[0][0]
    job = Watch(spark, table, into, candidates, model, notify)
    job.create()
    runs = [job.follow(run) for run in job.unfinished()]
    if new := job.plan(asked):
        runs.append(job.follow(new))
    return Watched(sum(each.batches for each in runs), len(asked), sum(each.found for each in runs))


def saved(spark: SparkSession, queries: Mapping[str, str] | DataFrame | str, k: int) -> list[Asked]:
    """The sentences, each with the least score and the most rows that are wanted, None where there is no such limit."""
    rows: list[Asked]
    if isinstance(queries, Mapping):
        rows = [(name, sentence, None, None) for name, sentence in queries.items()]
    else:
        found = limits(spark.table(queries) if isinstance(queries, str) else queries).collect()
        rows = [(name, sentence, least, most) for name, sentence, least, most in found]
    checked_names([(name, sentence) for name, sentence, _, _ in rows])
    for name, _, _, most in rows:
        if most is not None and most < 1:
            raise ValueError(f"k: expected 1 or more rows, got {most} for {name!r}")
    return [
        (name, sentence, least, k if least is None and most is None else most) for name, sentence, least, most in rows
    ]


def limits(rows: DataFrame) -> DataFrame:
    """A table of sentences as ASKED."""
    from pyspark.sql import functions as F

    there = {name.lower(): F.col(quoted(name)) for name in rows.columns}
    least, most = (there.get(name, F.lit(None)).cast(kind) for name, kind in (("min_score", "double"), ("k", "int")))
    return rows.select(*pair_of(rows), least.alias("min_score"), most.alias("k"))


@dataclass(frozen=True)
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
        if missing := [name for name in ("image", "embedding", "model", BATCH.name) if name not in rows.columns]:
            raise ValueError(f"{self.table}: expected a table that embed keeps, it has no column {missing[0]}")
        return rows

    def create(self) -> None:
        """The table of what is found, unless it is there."""
        kept = [field for field in self.rows().schema if field.name.lower() not in UNSHOWN]
        columns = ", ".join([*(f"{quoted(each.name)} {each.dataType.simpleString()}" for each in kept), ADDED])
        if not self.spark.catalog.tableExists(self.into):
            self.spark.sql(f"CREATE TABLE {self.into} ({columns}) USING parquet PARTITIONED BY ({RUN})")
        elif self.spark.table(self.into).dtypes != self.spark.createDataFrame([], columns).dtypes:
            there = ", ".join(f"{name} {kind}" for name, kind in self.spark.table(self.into).dtypes)
            raise ValueError(
                f"table {self.into}: expected the columns {columns}, it has {there}; name another table, which watch "
                "creates"
            )

    @property
    def folder(self) -> str:
        """Of this model's plans; readers of the table skip names that begin with _."""
        return f"{increment.described(self.spark, self.into)['Location']}/_watch/{self.model.split('@')[-1]}"

    def plans(self) -> list[str]:
        """The runs whose plan is whole, the first first. Half a plan is none, and was never followed."""
        system, path = increment.hadoop(self.spark, self.folder)
        runs = sorted(each.getPath().getName() for each in system.listStatus(path)) if system.exists(path) else []
        return [run for run in runs if self.has(run, increment.WHOLE)]

    def has(self, run: str, mark: str) -> bool:
        return increment.exists(self.spark, f"{self.folder}/{run}/{mark}")

    def mark(self, run: str, mark: str) -> None:
        increment.touch(self.spark, f"{self.folder}/{run}/{mark}")

    def unfinished(self) -> list[str]:
        return [run for run in self.plans() if not self.has(run, TOLD)]

    def plan(self, asked: list[Asked]) -> str | None:
        """Writes which batches are new, and what they are searched for; the run's name, None where there are none."""
        runs = self.plans()
        batches = increment.whole_batches(self.spark, self.table, self.model)
        if runs:
            batches = batches.join(self.batches(*runs), BATCH.name, "left_anti")
        if not (new := batches.collect()):
            return None
        run = f"{len(runs):06d}_{self.model.split('@')[-1]}"
        for rows, columns, name in ((new, f"{BATCH.name} STRING", "batches"), (asked, ASKED, "queries")):
            planned = self.spark.createDataFrame(rows, columns).coalesce(1)
            planned.write.mode("overwrite").parquet(f"{self.folder}/{run}/{name}")
        self.mark(run, increment.WHOLE)
        return run

    def batches(self, *runs: str) -> DataFrame:
        paths = [f"{self.folder}/{run}/batches" for run in runs]
        return self.spark.read.schema(f"{BATCH.name} STRING").parquet(*paths)

    def follow(self, run: str) -> Watched:
        """Does what of a plan is not done: to do it twice is to do it once."""
        from pyspark.sql import functions as F

        batches = [batch for (batch,) in self.batches(run).collect()]
        asked = [tuple(row) for row in self.spark.read.schema(ASKED).parquet(f"{self.folder}/{run}/queries").collect()]
        if not self.has(run, FOUND):
            increment.overwrite(self.found(batches, asked).withColumn(RUN, F.lit(run)), self.into)
            self.mark(run, FOUND)
        self.spark.catalog.refreshTable(self.into)
        found = self.spark.table(self.into).where(F.col(RUN) == run).count()
        if found and self.notify:
            tell(self.notify, found)
        self.mark(run, TOLD)
        return Watched(len(batches), len(asked), found)

    def found(self, batches: list[str], asked: list[Asked]) -> DataFrame:
        """The rows of the batches that each sentence wants."""
        from pyspark.sql import functions as F

        wanted = [ALL if most is None else most for *_, most in asked]
        sentences = {name: sentence for name, sentence, *_ in asked}
        new = f"{BATCH.name} IN ({', '.join(map(increment.literal, batches))})"
        ranked = search(self.rows(), queries=sentences, k=max(wanted), candidates=self.candidates, where=new)
        of_each = self.spark.createDataFrame([(name, least, most) for name, _, least, most in asked], LIMITS)
        return ranked.join(F.broadcast(of_each), "query").where(PASSES)


def tell(command: str, found: int) -> None:
    """Runs the command with the number behind its own words. Raises ValueError where it fails."""
    try:
        code = subprocess.run([*shlex.split(command), str(found)], check=False).returncode
        why = f"it ended with {code}" if code else None
    except OSError as error:
        why = error.strerror
    if why:
        raise ValueError(f"notify: {command} {found}: {why}; what was found is in the table, the next call tells it")
