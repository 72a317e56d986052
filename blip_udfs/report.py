"""Figures of retrieval and speed -> Markdown tables, JSON and plots."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from blip_udfs import bench, evaluate
from blip_udfs.bench import SPEED
from blip_udfs.bench_footprint import FOOTPRINT, PROFILE, plot_profile
from blip_udfs.demo import quality
from blip_udfs.session import builder


def report(
    source: str,
    images: str | None,
    split: str,
    count: int,
    candidates: tuple[int, ...],
    full: bool,
    sentences: int,
    model: str,
    out: Path,
) -> None:
    """Writes evaluation.md, evaluation.json, recall.png and, for a drawn tree, calibration.png to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    settings = {"spark.blip.model": model, "spark.ui.enabled": "false", "spark.log.level": "ERROR"}
    spark = builder().master("local[*]").appName("blip-udfs evaluate").config(map=dict(settings)).getOrCreate()
    try:
        is_tree = not source.endswith(".json")
        root = str(Path(source).resolve())
        data = evaluate.drawn(spark, root, count) if is_tree else evaluate.karpathy(spark, source, images or "", split)
        rows = evaluate.evaluate(data, candidates, full)
        figures: dict = {"recall": [asdict(row) for row in rows], "chance": evaluate.chance(data.truth)}
        parts = [recall_table(rows, figures["chance"], data.truth.shape)]
        evaluate.plot(rows, out / "recall.png")
        if is_tree and sentences:
            table, found = quality.precision(spark, evaluate.scenes(spark, root), sentences)
            figures["precision"] = [asdict(row) for row in table]
            figures["calibration"] = {name: getattr(found, name) for name in ("threshold", "precision", "recall")}
            parts += [precision_table(table), calibration_line(found)]
            quality.plot(found, out / "calibration.png")
    finally:
        spark.stop()
    text = "\n\n".join(parts) + "\n"
    (out / "evaluation.md").write_text(text)
    (out / "evaluation.json").write_text(json.dumps(figures, indent=1))
    click.echo(text)
    click.echo(f"Written to {out}: {', '.join(sorted(file.name for file in out.iterdir()))}")


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def recall_table(rows: list[evaluate.Row], chance: dict[str, float], shape: tuple[int, ...]) -> str:
    names = list(chance)
    body = [
        [row.method, f"{row.pairs:,}", f"{row.seconds:.1f}", *(row.figures[name] for name in names)] for row in rows
    ]
    body.append(["chance", "", "", *(chance[name] for name in names)])
    title = f"Recall, %, of {shape[0]:,} images and {shape[1]:,} texts (TR: image to texts, IR: text to images)"
    return f"{title}\n\n{markdown(['ranked by', 'ITM pairs', 'seconds of ITM', *names], body)}"


def precision_table(rows: list[quality.Precision]) -> str:
    body = [[row.group, row.sentences, row.itc, row.cascade, row.full] for row in rows]
    head = ["sentences about", "number", "ITC alone", f"cascade, {quality.CANDIDATES} candidates", "ITM of all images"]
    return f"Mean precision@10\n\n{markdown(head, body)}"


def calibration_line(found: quality.Calibration) -> str:
    return (
        f"`blip_itm` > {found.threshold:.2f} keeps {found.recall:.0%} of the true pairs, and {found.precision:.0%} of "
        f"what it keeps is true ({len(found.true):,} true pairs, {len(found.false):,} false)."
    )


TASKS = SPEED | FOOTPRINT
README_TABLE = re.compile(r"(<!-- measured by blip-udfs bench -->\n).*?(<!-- end -->)", re.DOTALL)


def measured(tasks: Sequence[str], rounds: int, folder: Path, as_json: bool, readme: Path | None = None) -> None:
    """Prints what `bench` measures of the tasks (all of them when none is named), and leaves it in the folder; puts
    all that the folder has, from earlier runs too, into a README: the profile as a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {task: folder / f"{task}.json" for task in TASKS}
    for task in tasks or TASKS:
        rows = [asdict(row) for row in TASKS[task](folder, rounds)]
        files[task].write_text(json.dumps({"machine": bench.machine(), "results": rows}, indent=1))
    runs = {task: json.loads(file.read_text()) for task, file in files.items() if file.exists()}
    own = [runs[task] for task in tasks or TASKS]
    click.echo(json.dumps(own, indent=1) if as_json else speed_table(own))
    if readme:
        text, table = readme.read_text(encoding="utf-8"), speed_table(list(runs.values()), left_out=[PROFILE])
        readme.write_text(README_TABLE.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text), encoding="utf-8")
        if "profile" in runs:
            plot_profile(results(runs["profile"]), readme.parent / "notebooks" / "profile.png")


def results(run: dict[str, Any]) -> list[bench.Result]:
    return [bench.Result(**row) for row in run["results"]]


def speed_table(runs: Sequence[dict[str, Any]], left_out: Sequence[str] = ()) -> str:
    """Each machine once, then a row per way of all tasks but some; `runs` are what `measured` keeps."""
    machines = dict.fromkeys("; ".join(run["machine"].values()) for run in runs)
    rows = [row for run in runs for row in results(run) if row.task not in left_out]
    body = [
        [row.task, row.way, f"{row.value:g} {row.unit}", row.ratio or "", f"{row.spread:.0%}" if row.spread else ""]
        for row in rows
    ]
    head = ["task", "way", "median", "the first way is x times faster", "spread"]
    return f"{', '.join(machines)}\n\n{markdown(head, body)}"
