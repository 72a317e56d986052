"""Words on a command line -> the package's functions."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console

from blip_udfs import __version__
from blip_udfs import embed as embed_images
from blip_udfs import watch as watch_table
from blip_udfs.draw.size import Size
from blip_udfs.files import ours
from blip_udfs.files.known import DATASETS
from blip_udfs.results.words import question
from blip_udfs.spark.flags import spark_flags
from blip_udfs.spark.shell import session


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Ask a lake of driving images a question in plain SQL."""


@contextmanager
def told(verbose: bool = False) -> Iterator[None]:
    """A ValueError is the command's own message; of Spark's errors the cause is, unless `verbose`."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    from blip_udfs.spark.causes import cause

    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except (PySparkException, Py4JError) as error:
        if verbose:
            raise
        raise click.ClickException(f"{cause(error)} (--verbose shows the trace)") from None


VERBOSE = click.option("--verbose", is_flag=True, help="Show the traces of an error, not its cause alone.")


@main.command()
@spark_flags
@click.option("--out", default="demo_output", type=click.Path(path_type=Path), help="Folder for the tree and pictures.")
@click.option("--sequences", default=25, type=click.IntRange(min=1), help="Drives to draw.")
@click.option("--frames", default=10, type=click.IntRange(min=1), help="Frames of each drive.")
@click.option("--seed", default=2026, help="What is drawn.")
def demo(out: Path, sequences: int, frames: int, seed: int) -> None:
    """Draw an ONCE tree, embed it, search it with SQL, show the pictures."""
    from blip_udfs.demo.run import run

    with told():
        run(out, sequences, frames, seed)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--sequences", default=25, type=click.IntRange(min=1), help="Drives to draw.")
@click.option("--frames", default=10, type=click.IntRange(min=1), help="Frames of each drive.")
@click.option("--cameras", default="cam01,cam03", help="Cameras, by comma: cam01 cam03 cam05 ... cam09.")
@click.option("--size", default="960x510", type=Size(), help="Pixels of an image.")
@click.option("--seed", default=0, help="What is drawn: the same seed draws the same bytes.")
def synth(out: Path, sequences: int, frames: int, cameras: str, size: tuple[int, int], seed: int) -> None:
    """Draw an ONCE tree at OUT, in the dataset's own layout."""
    from blip_udfs.draw.bar import draw_with_bar

    with told():
        ours.make_anew(out)
    try:
        draw_with_bar(out, sequences, frames, cameras.split(","), size, seed)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    click.echo(f"{out}: {sequences} sequences x {frames} frames x {len(cameras.split(','))} cameras")


@main.command()
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--config", type=click.Path(exists=True, path_type=Path), help="JSON with what the weights cannot say.")
@click.option("--vocab", type=click.Path(exists=True, path_type=Path), help="WordPiece vocabulary, a word a line.")
def convert(checkpoint: Path, folder: Path, config: Path | None, vocab: Path | None) -> None:
    """Turn an original Salesforce retrieval CHECKPOINT (.pth) into a Hugging Face FOLDER."""
    from blip_udfs.blip.convert import convert as convert_checkpoint

    with told():
        ours.check_empty(folder)
    with told():
        convert_checkpoint(checkpoint, folder, config, vocab)
    click.echo(f"{folder}: SET spark.blip.model = {folder.resolve()}")


@main.command()
@spark_flags
@click.argument("source", type=click.Path(exists=True), required=False)
@click.option("--moved", is_flag=True, help="Draw scenes as other cameras take them: what is still recognised?")
@click.option("--images", help="Folder or URI that a Karpathy JSON's file paths start from.")
@click.option("--split", default="test", help="Of a Karpathy JSON.")
@click.option("--count", type=click.IntRange(min=1), help="Of a drawn tree: 1000 images; of --moved: 300 scenes.")
@click.option("--candidates", default="16,32,64,128,256", help="Numbers of ITM candidates, by comma.")
@click.option("--full/--no-full", default=True, help="Also ITM of all pairs, as many as images x texts.")
@click.option("--sentences", default=20, help="Of a drawn tree: sentences of each kind for precision@10; 0 for none.")
@click.option("--model", default="demo", help="As spark.blip.model.")
@click.option("--out", default="evaluation", type=click.Path(path_type=Path), help="Folder for tables and plots.")
def evaluate(
    source: str | None,
    moved: bool,
    images: str | None,
    split: str,
    count: int | None,
    candidates: str,
    full: bool,
    sentences: int,
    model: str,
    out: Path,
) -> None:
    """BLIP's retrieval protocol on SOURCE: a tree drawn by synth, or COCO's or Flickr30k's Karpathy JSON."""
    from blip_udfs.measure.report import report, report_moved

    if moved == bool(source):
        raise click.UsageError(f"expected a SOURCE or --moved, got {'both' if source else 'neither'}")
    if not source:
        return report_moved(count or 300, model, out)
    if source.endswith(".json") and not images:
        raise click.UsageError(f"{source} names its images by relative paths: say where they are with --images FOLDER")
    numbers = tuple(int(number) for number in candidates.split(","))
    return report(source, images, split, count or 1000, numbers, full, sentences, model, out)


BENCH = str.split("embed read itm features search many cascade memory startup profile codecs scan idle gpu peers")


@main.command()
@spark_flags
@click.argument("tasks", nargs=-1, type=click.Choice(BENCH))
@click.option("--rounds", default=5, type=click.IntRange(min=1), help="Of each way, after one that warms up.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder that keeps model, images and results.")
@click.option("--share", default=1.0, type=click.FloatRange(0, 1), help="Of peers: of its images and rows, for a try.")
@click.option("--silence", default=120.0, show_default=True, help="Of idle: seconds before each query.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="Markdown file to write the table into.")
def bench(tasks: tuple[str, ...], work: Path | None, **how: Any) -> None:
    """Measure TASKS (all but gpu and peers by default) beside the alternatives, interleaved."""
    from blip_udfs.measure.report import measured

    with told(), tempfile.TemporaryDirectory() as scratch:
        measured(tasks, folder=work or Path(scratch), **how)


def of_jar() -> dict[str, str]:
    """The settings that give a Spark the functions; where it has no jar, the command's message is why."""
    from blip_udfs.spark.session import conf as of_session

    try:
        return of_session()
    except (RuntimeError, OSError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
def conf() -> None:
    """Print the settings for a cluster's spark-defaults.conf."""
    from blip_udfs.spark.settings import SETTINGS

    for key, value in of_jar().items():
        click.echo(f"{key:30} {value}")
    for setting in SETTINGS:
        click.echo(f"# {setting.meaning}\n{setting.key:30} {setting.default}")


@main.command()
@click.option("--catalog", default="main", show_default=True, help="Catalog of the functions and the view.")
@click.option("--schema", default="blip", show_default=True, help="Their schema.")
@click.option("--wheels", default="/Volumes/main/blip/wheels", show_default=True, help="Folder of the wheels.")
@click.option("--root", default="/Volumes/main/blip/once", show_default=True, help="The ONCE tree of the view once.")
@click.option("--model", default="demo", show_default=True, help="demo, a hub id, or package:NAME of an added wheel.")
@click.option("--set", "others", multiple=True, metavar="KEY=VALUE", help="Another spark.blip.* setting to fix.")
@click.option("--dependency", "dependencies", multiple=True, help="A further pip requirement, such as a wheel's path.")
@click.option("--environment-version", default="None", show_default=True, help="Of Databricks' Python environments.")
def databricks(model: str, others: tuple[str, ...], **target: Any) -> None:
    """Print the script that makes Unity Catalog functions: sql/databricks/unity_catalog.sql, for your workspace."""
    from blip_udfs.reference.databricks import MODEL, Target, render

    pairs = [each.partition("=") for each in others]
    if odd := [key for key, equals, _ in pairs if not equals]:
        raise click.BadParameter(f"expected KEY=VALUE such as spark.blip.itm.token=cls, got {odd[0]}")
    try:
        chosen = Target(settings={MODEL: model} | {key: value for key, _, value in pairs}, **target)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    click.echo(render(chosen), nl=False)


TOOL = {"ignore_unknown_options": True, "help_option_names": []}  # every other flag is the tool's own
WAREHOUSE = click.option(
    "--warehouse",
    default=lambda: click.get_app_dir("blip-udfs"),
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which tables and their catalog persist.",
)


@main.command()
@spark_flags
@click.option("--source", help="Root of the tree, a folder or a URI.")
@click.option("--from", "from_table", metavar="TABLE", help="In place of --source: a table with a row per image.")
@click.option("--image", default="image", show_default=True, help="Of --from: the column of paths or bytes.")
@click.option("--key", metavar="COLUMNS", help="Of --from, by comma: what tells each row from all others.")
@click.option("--stamp", metavar="COLUMN", help="Of --from: embed anew where its value is another, not by the file's.")
@click.option("--partition-by", metavar="COLUMN", help="Of --from: partitions the table of embeddings.")
@click.option("--columns", default="", metavar="COLUMNS", help="Of --from, by comma: what the table carries besides.")
@click.option(
    "--dataset", default="once", show_default=True, type=click.Choice(list(DATASETS)), help="Whose tree it is."
)
@click.option("--table", default="once_embeddings", show_default=True, help="Made where it is missing.")
@click.option("--where", help="Which images, as SQL over the dataset's columns: weather = 'rainy'.")
@click.option("--retry-failed", is_flag=True, help="Also images whose row has no embedding.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say what there is to do and how long it takes.")
@click.option("--prune", is_flag=True, help="Afterwards remove rows of images that were changed or deleted.")
@click.option("--prune-models", is_flag=True, help="Afterwards remove other models' rows, if this one's are complete.")
@click.option(
    "--skip-similar",
    type=click.FloatRange(min=0),
    metavar="T",
    help="Take the embedding of the frame before, where the grey thumbnails differ by less than T levels of 255.",
)
@click.option(
    "--images-per-trigger",
    type=click.IntRange(min=1),
    help="What is committed at once, so what a kill can cost.  [default: 1000, or 64 per core]",
)
@click.option(
    "--format", "table_format", default="parquet", show_default=True, help="Of a new table: parquet, delta, iceberg."
)
@click.option("--location", help="Folder of a new table; without it, in the warehouse.")
@click.option(
    "--continuous",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Go on, and look for images every so many seconds, until SIGTERM, Ctrl-C or the end of --for.",
)
@click.option("--for", "lasting", type=click.FloatRange(min=0), metavar="SECONDS", help="End after so many seconds.")
@click.option("--model", default="demo", show_default=True, help="As spark.blip.model.")
@click.option(
    "--events", type=click.File("a"), help="File to which the job's events are appended, a line of JSON each."
)
@click.option("--master", default="local[*,4]", show_default=True, help="As Spark's: where it runs.")
@WAREHOUSE
@VERBOSE
def embed(
    source: str | None,
    from_table: str | None,
    key: str | None,
    model: str,
    events: IO[str] | None,
    master: str,
    warehouse: Path,
    verbose: bool,
    lasting: float | None,
    **options: Any,
) -> None:
    """Embed the images of a tree, or of any table, that --table has not; run it again after a kill or for new ones."""
    from blip_udfs.job.follow import until_told
    from blip_udfs.job.progress import Bar
    from blip_udfs.job.progress import told as in_words

    images = source or from_table
    if images is None or (source and from_table) or bool(from_table) != bool(key):
        raise click.UsageError("expected --source TREE, or --from TABLE with --key COLUMNS")
    spark = session("embed", model, warehouse, master)
    if options["continuous"] or lasting is not None:
        options["until"] = until_told(lasting)
    try:
        with told(verbose), Bar(log=events) as bar:
            summary = embed_images(spark, images, key=key or (), on_event=bar, **options)
        click.echo(in_words(summary))
    finally:
        spark.stop()


@main.command(context_settings=TOOL, add_help_option=False)
@WAREHOUSE
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def sql(warehouse: Path, flags: tuple[str, ...]) -> None:
    """Run pyspark's own spark-sql with the functions; every flag passes through (-e, -f, -d, --master ...).

    An error of -e or -f is its cause in a line; --verbose, which is spark-sql's too, shows its traces."""
    from blip_udfs.spark import shell

    sys.exit(shell.sql(of_jar() | shell.persistent(warehouse), flags))


@main.command()
@spark_flags
@question
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write the pictures' page.")
@click.option("--open", "opened", is_flag=True, help="Show the page in the browser.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a contact sheet, PNG.")
@click.option("--export", type=click.Path(dir_okay=False, path_type=Path), help="Write the sequences' ids, one a line.")
@click.option("--model", default="demo", help="As spark.blip.model.")
@WAREHOUSE
@VERBOSE
def search(
    model: str,
    warehouse: Path,
    page: Path | None,
    opened: bool,
    sheet: Path | None,
    export: Path | None,
    verbose: bool,
    **asked_for: Any,
) -> None:
    """Search a table of embeddings for SENTENCES: ranked rows here, pictures in a page."""
    from blip_udfs.results import find

    asked = find.Question(**asked_for)
    spark = session("search", model, None if Path(asked.table).is_dir() else warehouse, **find.SETTINGS)
    try:
        with told(verbose):
            rows, pictures = find.find(spark, asked, Console())
        if page or opened:
            page = pictures.save(page or Path(tempfile.gettempdir()) / "blip-udfs-search.html")
            click.echo(f"Pictures: {page}")
        if sheet:
            click.echo(f"Contact sheet: {pictures.contact_sheet(sheet)}")
        if export:
            click.echo(f"{export}: {find.write_sequences(rows, export)} sequences")
    finally:
        spark.stop()
    if page and opened:
        click.launch(str(page))


@main.command()
@spark_flags
@click.option("--queries", required=True, metavar="TABLE", help="Of name and sentence, and of min_score and k if any.")
@click.option("--table", default="once_embeddings", show_default=True, help="What embed keeps.")
@click.option("--into", default="found", show_default=True, help="Table of what is found, made where it is missing.")
@click.option("-k", default=10, show_default=True, type=click.IntRange(min=1), help="Rows of a sentence with neither.")
@click.option("--candidates", default=256, type=click.IntRange(min=0), help="New rows that ITM scores; 0 = all.")
@click.option("--notify", metavar="COMMAND", help="Run with the number of rows found, where it is not 0.")
@click.option("--model", default="demo", help="As spark.blip.model.")
@WAREHOUSE
@VERBOSE
def watch(model: str, warehouse: Path, verbose: bool, **asked: Any) -> None:
    """Search the rows that came since the last run for saved sentences; run it after embed, each night."""
    spark = session("watch", model, warehouse)
    try:
        with told(verbose):
            done = watch_table(spark, **asked)
        found = f"{done.found:,} rows found, in {asked['into']}"
        click.echo(f"{done.batches:,} new batches, {done.sentences:,} sentences: {found}")
    finally:
        spark.stop()


@main.command(context_settings=TOOL, add_help_option=False)
@WAREHOUSE
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=10000, help="Port to listen on.")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def thriftserver(warehouse: Path, host: str, port: int, flags: tuple[str, ...]) -> None:
    """Run Spark's Thrift server (JDBC, beeline) with the functions, in the foreground; flags pass through.

    Images are read by path only from the folders that BLIP_READ_ROOTS names in its environment. Models are demo, the
    one that --conf spark.blip.model=... starts it with, or those that BLIP_ALLOWED_MODELS names.
    """
    from blip_udfs.spark import shell
    from blip_udfs.spark.defaults import of_user

    own = of_user(flags).get("spark.blip.model")
    # who may connect must not read, or load, what the server may
    closed = {"BLIP_READ_ROOTS": "", "BLIP_ALLOWED_MODELS": f"{own},demo" if own else ""}
    listen = {"spark.hadoop.hive.server2.thrift.bind.host": host, "spark.hadoop.hive.server2.thrift.port": str(port)}
    server = ("--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2", "spark-internal")
    settings = of_jar() | shell.persistent(warehouse)
    shell.become("spark-submit", settings, [*flags, *shell.as_flags(listen), *server], closed)
