"""Executed plans: how many rows Python workers gave back for a function, and what a plan looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession


def nodes(plan: Any) -> Iterator[Any]:
    """Every physical operator, through adaptive plans, their stages and what is cached."""
    name = plan.getClass().getSimpleName()
    if name == "AdaptiveSparkPlanExec":
        yield from nodes(plan.executedPlan())
    elif name.endswith("QueryStageExec"):
        yield from nodes(plan.plan())
    else:
        yield plan
        children = plan.children()
        for index in range(children.size()):
            yield from nodes(children.apply(index))


def evaluations(df: DataFrame, function: str = "blip_itm") -> tuple[list, int]:
    """The rows of `df`, and how many results of `function` its Python workers sent."""
    execution = df._jdf.queryExecution()
    rows = df.collect()
    calls = [node for node in nodes(execution.executedPlan()) if "EvalPython" in node.nodeName()]
    counted = [node for node in calls if re.search(rf"\b{function}\(", node.toString().split("\n")[0])]
    return rows, sum(node.metrics().apply("pythonNumRowsReceived").value() for node in counted)


def optimized(df: DataFrame) -> str:
    """The optimized plan without the numbers that Spark gives to each expression."""
    return re.sub(r"#\d+L?|\b\d+ms\b", "", df._jdf.queryExecution().optimizedPlan().toString())


@contextmanager
def counted(spark: SparkSession, function: str = "blip_itm") -> Iterator[list[int]]:
    """How many rows `function` was called for within, in all queries; known at the end."""
    store, bus = spark._jsparkSession.sharedState().statusStore(), spark.sparkContext._jsc.sc().listenerBus()

    def executions() -> set[int]:  # the store forgets the oldest ones, so that they are told by their numbers
        bus.waitUntilEmpty()
        listed = store.executionsList()
        return {listed.apply(at).executionId() for at in range(listed.size())}

    before, out = executions(), []
    yield out
    for number in executions() - before:
        values, graph = store.executionMetrics(number), store.planGraph(number).allNodes()
        for node in (graph.apply(index) for index in range(graph.size())):
            if "EvalPython" in node.name() and re.search(rf"\b{function}\(", node.desc()):
                metrics = (node.metrics().apply(index) for index in range(node.metrics().size()))
                (rows,) = [each.accumulatorId() for each in metrics if each.name() == "number of output rows"]
                if values.contains(rows):  # not of a write's plan that another execution runs
                    out.append(int(values.apply(rows).replace(",", "")))


@contextmanager
def tasks_of_stages(spark: SparkSession) -> Iterator[list[int]]:
    """How many tasks each stage had that ran within, known at the end."""
    context, group, tasks = spark.sparkContext, str(uuid4()), []
    context.setJobGroup(group, "")
    try:
        yield tasks
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)
        tracker = context.statusTracker()
        jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
        stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
        tasks += [stage.numTasks for stage in stages if stage]
