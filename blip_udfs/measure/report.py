"""Figures of retrieval and speed -> Markdown tables, JSON and plots."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blip_udfs.measure import bench, evaluate, moved, quality
from blip_udfs.measure.bench import SPEED
from blip_udfs.measure.bench_footprint import FOOTPRINT, plot_profile
from blip_udfs.measure.bench_gpu import BEYOND, gpu, need_gpu
from blip_udfs.measure.bench_idle import SILENCE, idle
from blip_udfs.measure.bench_peers import peers, versions
from blip_udfs.measure.bench_scan import scan
from blip_udfs.spark.session import start

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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
    spark = evaluating(model)
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


def evaluating(model: str) -> SparkSession:
    settings = {"spark.blip.model": model, "spark.ui.enabled": "false", "spark.log.level": "ERROR"}
    return start("evaluate", "local[*]", settings)


def report_moved(count: int, model: str, out: Path) -> None:
    """Writes moved.md and moved.json to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    spark = evaluating(model)
    try:
        rows = moved.recognition(spark, count)
    finally:
        spark.stop()
    (out / "moved.md").write_text(text := moved_table(rows, count) + "\n")
    (out / "moved.json").write_text(json.dumps([asdict(row) for row in rows], indent=1))
    click.echo(text)


def moved_table(rows: list[moved.Recognition], count: int) -> str:
    head = ["", *(row.about for row in rows)]
    body = [[name, *(f"{row.shares[name]:.2f}" for row in rows)] for name in rows[0].shares]
    asked = ", ".join(f"{row.about} {row.trials:,}" for row in rows)
    title = (
        f"Recognised as other cameras see it, share of questions ({asked} as drawn): `blip_itm` of the true sentence "
        f"is above that of each false one. {count:,} scenes by `blip-udfs evaluate --moved`."
    )
    return f"{title}\n\n{markdown(head, body)}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def recall_table(rows: list[evaluate.Row], chance: dict[str, float], shape: tuple[int, ...]) -> str:
    names = list(chance)
    body = [[row.method, f"{row.pairs:,}", *(row.figures[name] for name in names)] for row in rows]
    body.append(["chance", "", *(chance[name] for name in names)])
    title = f"Recall, %, of {shape[0]:,} images and {shape[1]:,} texts (TR: image to texts, IR: text to images)"
    return f"{title}\n\n{markdown(['ranked by', 'ITM pairs', *names], body)}"


def precision_table(rows: list[quality.Precision]) -> str:
    body = [[row.group, row.sentences, row.itc, row.cascade, row.full] for row in rows]
    head = ["sentences about", "number", "ITC alone", f"cascade, {quality.CANDIDATES} candidates", "ITM of all images"]
    return f"Mean precision@10\n\n{markdown(head, body)}"


def calibration_line(found: quality.Calibration) -> str:
    return (
        f"`blip_itm` > {found.threshold:.2f} keeps {found.recall:.0%} of the true pairs, and {found.precision:.0%} of "
        f"what it keeps is true ({len(found.true):,} true pairs, {len(found.false):,} false)."
    )


TASKS = SPEED | FOOTPRINT | {"scan": scan, "idle": idle}
ASKED_FOR = {
    "gpu": gpu,
    "peers": peers,
}  # not among all: they need more than this package, and have tables of their own
STEADY = 0.15  # the widest spread of a figure that a page shows
NEEDED: dict[str, Callable[[], object]] = {"gpu": need_gpu, "peers": versions}
BEGIN, END = "<!-- measured by blip-udfs bench -->\n", "<!-- end -->"
BEGIN_PEERS = "<!-- measured by blip-udfs bench peers -->\n"


def measured(
    tasks: Sequence[str],
    rounds: int,
    folder: Path,
    as_json: bool,
    page: Path | None = None,
    silence: float = SILENCE,
    share: float = 1.0,
) -> None:
    """Prints what `bench` measures of the tasks (all but those that must be asked for when none is named), and leaves
    it in the folder, as JSON and as a table; writes all that the folder has, from earlier runs too, into a page, and
    the profile as a picture beside it. `peers` alone has a place of its own there. Raises ClickException, after all
    that, where numbers are not what they must be.
    """
    for task in set(tasks) & set(NEEDED):
        NEEDED[task]()
    of_peers = list(tasks) == ["peers"]
    begin = BEGIN_PEERS if of_peers else BEGIN
    around = around_table(page, begin) if page else ("", "")  # one without a place is refused before hours are spent
    folder.mkdir(parents=True, exist_ok=True)
    runs_of = TASKS | ASKED_FOR | {"idle": partial(idle, silence=silence), "peers": partial(peers, share=share)}
    files = {task: folder / f"{task}.json" for task in runs_of}
    for task in tasks or TASKS:
        own_machine = bench.machine() | (versions() if task == "peers" else {})
        run = {"machine": own_machine, "results": [asdict(row) for row in runs_of[task](folder, rounds)]}
        files[task].write_text(json.dumps(run, indent=1))
        files[task].with_suffix(".md").write_text(speed_table([run]) + "\n")
    runs = {task: json.loads(file.read_text()) for task, file in files.items() if file.exists()}
    own = [runs[task] for task in tasks or TASKS]
    click.echo(json.dumps(own, indent=1) if as_json else speed_table(own))
    if page:
        shown = speed_table(own) if of_peers else page_table([run for task, run in runs.items() if task in TASKS])
        page.write_text(shown.join(around), encoding="utf-8")
        if "profile" in runs and not of_peers:
            plot_profile(results(runs["profile"]), page.with_name("profile.png"))
    if wrong := [f"{row.task}: {row.way}" for run in own for row in results(run) if row.unit.startswith(BEYOND)]:
        raise click.ClickException(f"expected differences within their tolerances, {len(wrong)} are beyond: {wrong[0]}")


def around_table(page: Path, begin: str) -> tuple[str, str]:
    """What stands before and behind a page's table; of a page that is not there, nothing. Raises ValueError for a page
    without a place for it."""
    text = page.read_text(encoding="utf-8") if page.exists() else begin + END
    before, begins, rest = text.partition(begin)
    _, ends, after = rest.partition(END)
    if not (begins and ends):
        raise ValueError(
            f"{page}: expected the lines {begin.strip()} and {END}, between which the table goes, found none; add "
            "them, or name a file that is not there"
        )
    return before + begins, f"\n{ends}{after}"


def results(run: dict[str, Any]) -> list[bench.Result]:
    return [bench.Result(**row) for row in run["results"]]


def machines(runs: Sequence[dict[str, Any]]) -> str:
    return ", ".join(dict.fromkeys("; ".join(run["machine"].values()) for run in runs))


def speed_table(runs: Sequence[dict[str, Any]]) -> str:
    """Each machine once, then a row per way of all tasks; `runs` are what `measured` keeps."""
    rows = [row for run in runs for row in results(run)]
    body = [[row.task, row.way, f"{row.value:g} {row.unit}", row.ratio or "", spread_of(row)] for row in rows]
    return f"{machines(runs)}\n\n{markdown(['task', 'way', 'median', RATIO, 'spread'], body)}"


RATIO = "the first way is x times as fast"
OF_NO_CLOCK = ("GB", "%")  # units of what depends little on how fast a machine is


def page_table(runs: Sequence[dict[str, Any]]) -> str:
    """As speed_table, but with what holds elsewhere too: ratios, not rates, and of them the steady ones."""
    rows = [row for run in runs for row in results(run)]
    firsts = {row.task: row for row in reversed(rows)}
    shown = [row for row in rows if is_steady(row, firsts[row.task])]
    body = [[row.task, row.way, row.ratio or f"{row.value:g} {row.unit}", spread_of(row)] for row in shown]
    return f"{machines(runs)}\n\n{markdown(['task', 'way', f'{RATIO}, or what it takes', 'spread'], body)}"


def is_steady(row: bench.Result, first: bench.Result) -> bool:
    """A ratio is as steady as both of its ways; a time that was taken once says nothing."""
    if row.ratio is None:
        return row.unit in OF_NO_CLOCK and row.spread <= STEADY
    return row.rounds > 1 and max(row.spread, first.spread) <= STEADY


def spread_of(row: bench.Result) -> str:
    return f"{row.spread:.0%}" if row.rounds > 1 else "one run"
