"""Settings and flags -> one of Spark's own shells, configured; of an error of statements the cause, in a line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from blip_udfs.spark import causes, defaults

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOG = Path(__file__).with_name("log4j2.properties")
FILE = "log4j2.configurationFile"
OPTIONS = "spark.driver.extraJavaOptions"


def sql(settings: Mapping[str, str], flags: Sequence[str]) -> int:
    """Runs spark-sql on the statements in the flags: its exit code; becomes it where it is to be typed into."""
    if is_verbose(flags):
        become("spark-sql", settings, flags)
    muted = defaults.joined_options(settings, quiet(flags))
    if not is_batch(flags):
        become("spark-sql", muted, flags)
    tool, words, environment = configured("spark-sql", muted, flags, {})
    return run([str(tool), *words, "-S"], environment)


def become(
    tool: str, settings: Mapping[str, str], flags: Sequence[str], doors: Mapping[str, str] | None = None
) -> NoReturn:
    """One of Spark's own tools, configured. No Python process stays behind it. `doors`: of the environment, where that
    has none."""
    path, words, environment = configured(tool, settings, flags, doors or {})
    os.execve(path, [path.name, *words], environment)


def configured(
    tool: str, settings: Mapping[str, str], flags: Sequence[str], doors: Mapping[str, str]
) -> tuple[Path, list[str], dict[str, str]]:
    """The tool's path, its flags and its environment."""
    from blip_udfs.files.doors import of_environment
    from blip_udfs.spark.catalyst.spark_home import here

    home = here().home
    environment = {**doors, "PYSPARK_PYTHON": sys.executable} | os.environ | {"SPARK_HOME": str(home)}
    executors = {f"spark.executorEnv.{variable}": value for variable, value in of_environment(environment).items()}
    words = as_flags(defaults.added(settings, defaults.of_user(flags)) | executors)
    return home / "bin" / tool, [*words, *defaults.without_added(flags)], environment


def as_flags(settings: Mapping[str, str]) -> list[str]:
    return [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]


def persistent(warehouse: Path) -> dict[str, str]:
    """Tables, catalog and Derby's log in one folder, and nothing where the user stands."""
    folder = warehouse.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "spark.sql.warehouse.dir": str(folder / "tables"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder / 'catalog'};create=true",
        OPTIONS: f'"-Dderby.system.home={folder}"',  # Spark splits at blanks, as a shell does
    }


def is_verbose(flags: Sequence[str]) -> bool:
    return "--verbose" in flags or "-v" in flags


def is_batch(flags: Sequence[str]) -> bool:
    """Statements in the flags, in place of a prompt."""
    return any(flag in ("-e", "-f") for flag in flags)


def quiet(flags: Sequence[str]) -> dict[str, str]:
    """Settings for errors without traces; a log configuration of the user's stays."""
    hidden = {"spark.sql.execution.pyspark.udf.hideTraceback.enabled": "true"}
    users = defaults.of_user(flags).get(OPTIONS, "")
    theirs = FILE in users or defaults.defaults_file(flags).with_name(LOG.name).is_file()
    return hidden if theirs else hidden | {OPTIONS: f"-D{FILE}={LOG.as_uri()}"}


def run(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs it to its end: its exit code. The log passes through; where that is an error, the cause is its last line."""
    with subprocess.Popen(words, env=dict(environment), stderr=subprocess.PIPE, text=True, errors="replace") as shell:
        log = []
        for line in shell.stderr or ():
            sys.stderr.write(line)
            log.append(line)
    said = causes.of_worker("".join(log))
    if shell.returncode and said:
        sys.stderr.write(f"Error: {said} (--verbose shows the trace)\n")
    return shell.returncode


def session(
    command: str, model: str, warehouse: Path | None, master: str = "local[*]", **settings: str
) -> SparkSession:
    """A session of a command; with a warehouse, one that knows the tables made by `blip-udfs sql`."""
    from blip_udfs.spark.session import start

    quiet = {"spark.log.level": "OFF", "spark.ui.showConsoleProgress": "false", "spark.blip.model": model}
    every = quiet | settings | (persistent(warehouse) if warehouse else {})
    return start(command, master, every, tables=warehouse is not None)
