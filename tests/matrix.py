"""Each line of Spark -> its jar, whether that links against the line's first release, the tests that run on it, and
whether a session with the jar of the line before says so and goes on without.

`make matrix` runs it; on the command line lines may be chosen, and a folder that keeps the rows. Sparks come from PyPI
once, into the user's cache; what else a line needs is in this environment, which lies behind the line's own pyspark and
py4j on the path.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from blip_udfs.spark.catalyst import build, compiler, spark_home
from blip_udfs.spark.catalyst.released import LINES, fetched
from blip_udfs.spark.catalyst.spark_home import Spark
from tests.with_jar import printed

ROOT = Path(__file__).resolve().parent.parent
ROWS = "tests/test_lines.py"
CHOSEN: dict[str, tuple[str, ...]] = {  # whole files; of the longest, those whose answer the Spark may change
    ROWS: (),
    "tests/test_functions.py": (),
    "tests/test_cascade.py": (),
    "tests/test_groups.py": (
        *(
            f"the_best_k_of_each_group[{shape}]"
            for shape in ("in a subquery", "in a view", "RANK", "two ranks", "a WHERE above", "a join above", "a union")
        ),
        "qualify_where_spark_has_it",
        "grouping_sets_have_candidates_each",
    ),
    "tests/test_find_all_sql.py": (
        "fewer_rows_are_scored_and_those_that_come_pass[a score and others]",
        "fewer_rows_are_scored_and_those_that_come_pass[a join whose condition comes first]",
        "a_data_frame",
        "where_nothing_is_proven_every_row_is_scored_once",
        "explain_says_so_and_runs_nothing",
        "the_line_is_a_warning_and_each_sessions_own",
        "by_default_no_plan_is_touched",
    ),
    "tests/test_search.py": (
        "rows_and_scores_are_the_protocols",
        "blip_search_gives_the_same_in_sql",
        "blip_search_one_per_and_defaults",
        "wrong_calls_of_blip_search",
        "several_sentences",
    ),
    "tests/test_many.py": ("the_rows_of_each_are_those_of_its_own_search[by_sql-4-9-None]",),
    "tests/test_together.py": (),
    "tests/test_once.py": (
        "a_drawn_tree_says_what_its_json_says",
        "the_key_is_sequence_and_frame",
        "image_bytes",
        "split",
        "a_filter_on_sequence_reaches_listing_and_reading",
        "wrong_calls_in_sql",
    ),
    "tests/test_register.py": (),
    "tests/test_wrong_calls.py": (),
    "tests/test_servers.py": ("spark_sql", "beeline"),
    "tests/test_embed.py": ("new_changed_and_deleted_images",),
}
TESTS = [f"{path}::test_{name}" if name else path for path, names in CHOSEN.items() for name in names or ("",)]
LONG = "tests/test_wrong_calls.py::test_an_interpreter_without_the_package"  # makes an environment
CONNECT = "tests/test_servers.py::test_a_connect_client"
TOLERANCE = 1e-6


def main(folder: Path, lines: list[str]) -> int:
    """How many lines failed."""
    failed, jars = 0, {}
    for line in lines:
        first, last = LINES[line]
        started = time.monotonic()
        spark, oldest = fetched(last), fetched(first)
        jar = jars[line] = jar_of(spark)
        with_first = build.links(jar, oldest) or compiles(oldest)
        (folder / line).mkdir(parents=True, exist_ok=True)
        passed = tests_pass(spark, folder / line)
        apart = different(folder / lines[0], folder / line)
        before = list(jars)[-2:-1]  # the line whose jar is likeliest to be put there
        wrong = [other for other in before if not refused(jars[other], other, spark, folder)]
        failed += not (with_first and passed and not apart and not wrong)
        said = f"{line}: {jar.name}; fits {first}: {with_first}; tests pass: {passed}; other rows: {apart or 'none'}"
        others = f"jar refused: {', '.join(other for other in before if other not in wrong) or 'none tried'}"
        print(f"{said}; {others}; not refused: {wrong or 'none'}; {time.monotonic() - started:.0f} s", flush=True)
    return failed


def refused(jar: Path, line: str, spark: Spark, folder: Path) -> bool:
    """Whether a session with the jar of another line answers without it, and says why."""
    why = f"it is for Spark {line};" if f"_{spark.scala}-" in jar.name else ""  # another Scala's cannot say that
    try:
        stderr = printed(jar, spark, folder)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        print(f"the jar of {line} in Spark {spark.version}: {error}", flush=True)
        return False
    return f"does not fit this Spark, {spark.version}, whose session starts without it: {why}" in stderr


def jar_of(spark: Spark) -> Path:
    path = compiler.FOLDER / compiler.name(spark)
    if not path.exists() or compiler.stamp_of(path) != compiler.stamp(spark):
        compiler.build(path, spark)
    return path


def compiles(spark: Spark) -> bool:
    """Where the last release's jar does not link, one is compiled for a user of the first."""
    return jar_of(spark).exists()


def tests_pass(spark: Spark, rows: Path) -> bool:
    connect = [CONNECT] if list(spark.jars.glob("spark-connect_*.jar")) else []  # pip's 3.5 comes without
    chosen = [ROWS] if spark == spark_home.here() else [*TESTS, *connect]  # the rest of its own is `make test`
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-n",
        "2",
        "--dist",
        "loadfile",
        "-m",
        "not endurance",
        "--deselect",
        LONG,
        *chosen,
    ]
    done = subprocess.run(words, cwd=ROOT, env=behind(spark) | {"BLIP_ROWS": str(rows)}, check=False)
    return done.returncode == 0


def behind(spark: Spark) -> dict[str, str]:
    """The environment of a Python that imports that Spark's pyspark, and all else from here."""
    (py4j,) = (spark.home / "python" / "lib").glob("py4j-*.zip")
    environment = {name: value for name, value in os.environ.items() if name != "SPARK_HOME"}
    return environment | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, spark.home.parent, py4j)))}


def different(one: Path, other: Path) -> list[str]:
    """The queries whose rows are not the same in both folders."""
    names = sorted({path.name for folder in (one, other) for path in folder.glob("*.json")})
    return [name for name in names if not same(*(read(folder / name) for folder in (one, other)))]


def read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else path.name


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0, abs_tol=TOLERANCE)
    return one == other


if __name__ == "__main__":
    chosen = [word for word in sys.argv[1:] if word in LINES]
    with tempfile.TemporaryDirectory() as scratch:
        folder = next((word for word in sys.argv[1:] if word not in LINES), scratch)
        sys.exit(main(Path(folder), chosen or list(LINES)))
