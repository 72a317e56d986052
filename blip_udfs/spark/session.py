"""The functions and the extension's jar -> a Spark session that has them."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from blip_udfs.spark import defaults
from blip_udfs.spark.extension import EXTENSION, has_extension, is_connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def register(spark: SparkSession) -> None:
    """Make the BLIP functions callable from SQL in this session.

    A session that was started with the extension (`blip_udfs.builder()`; `blip-udfs conf` prints how) has them
    already and keeps them. Any other gets the scalar functions, and a UserWarning of what only the extension brings.
    """
    from blip_udfs.spark.catalog import CATALOG

    if has_extension(spark):
        return
    check_workers(spark)
    for function in CATALOG:
        if function.kind == "scalar":
            spark.udf.register(function.name, function.udf())
    warnings.warn(WITHOUT_JAR, UserWarning, stacklevel=2)


WITHOUT_JAR = (
    "this session was started without blip-udfs' jar: the scalar functions are registered; read_once, blip_search and "
    "the cascade under ORDER BY blip_itm(...) DESC LIMIT k are not there in SQL. Start it with blip_udfs.builder(), or "
    "with the settings that 'blip-udfs conf' prints"
)


def check_workers(spark: SparkSession) -> None:
    """RuntimeError, in one sentence, where the workers' Python cannot import the package: else each query says it, in a
    traceback."""
    functions: Any = importlib.import_module(f"pyspark.sql{'.connect' if is_connect(spark) else ''}.functions")

    def import_error(
        _,
    ):  # no hints, which Spark would read; pickled by value, for it is no module's: nothing of ours is needed there
        try:
            import blip_udfs.spark.batches  # noqa: F401
        except ImportError as error:
            return str(error)
        return None

    problem = spark.range(1).select(functions.udf(import_error, "string")("id")).collect()[0][0]
    if problem:
        raise RuntimeError(
            f"the workers' Python cannot import blip_udfs: {problem}; install it there with 'pip install blip-udfs', "
            "or name another interpreter with spark.pyspark.python or PYSPARK_PYTHON"
        )


def conf() -> dict[str, str]:
    """The settings that give a new session, or a whole cluster, the functions: extension, its jar, the workers'
    Python, and what keeps models while none of them is at work."""
    from blip_udfs.spark.catalyst.build import jar

    return {
        "spark.jars": str(jar()),
        "spark.sql.extensions": EXTENSION,
    } | of_workers()


def of_workers() -> dict[str, str]:
    return {
        "spark.pyspark.python": os.environ.get("PYSPARK_PYTHON") or sys.executable,
        "spark.python.daemon.module": "blip_udfs.spark.daemon",
    }


def found() -> dict[str, str]:
    """`conf`; where no jar can be had a UserWarning says why, and Spark starts as it is, with the interpreter alone."""
    try:
        return conf()
    except (RuntimeError, OSError) as error:
        warnings.warn(f"this session starts without blip-udfs' jar: {error}", UserWarning, stacklevel=4)
        return of_workers()


def builder() -> SparkSession.Builder:
    """Spark's session builder, configured: `blip_udfs.builder().master("local[2]").getOrCreate()`."""
    from pyspark.sql import SparkSession

    return configure(SparkSession.builder)


def configure(builder: SparkSession.Builder) -> SparkSession.Builder:
    """Adds `conf` to a builder of one's own and returns it. The jars and extensions that the builder,
    spark-defaults.conf or PYSPARK_SUBMIT_ARGS name stay beside ours: call it after config(...) of those."""
    own = {key: str(value) for key, value in builder._options.items()}
    settings = defaults.added(found(), users() | own)
    if "spark.jars" in settings and runs_without():
        warnings.warn(RUNS_ALREADY, UserWarning, stacklevel=3)
    os.environ["PYSPARK_PYTHON"] = settings["spark.pyspark.python"]  # a driver in Python reads only this
    defaults.carry(settings)
    return builder.config(map=dict(settings))


def runs_without() -> bool:
    """Whether this process has a JVM that was started without the extension: its classes cannot be added to one."""
    from py4j.protocol import Py4JJavaError
    from pyspark import SparkContext

    jvm = SparkContext._jvm
    if jvm is None:
        return False
    try:
        jvm.java.lang.Class.forName(EXTENSION, False, jvm.java.lang.Thread.currentThread().getContextClassLoader())
    except Py4JJavaError:
        return True
    return False


RUNS_ALREADY = (
    "Spark runs in this process already, without blip-udfs' jar, which cannot be added to it: give the lines that "
    "'blip-udfs conf' prints to spark-submit (--properties-file), or begin with blip_udfs.builder() in a new process; "
    "in this one blip_udfs.register(spark) brings the scalar functions"
)


def users() -> dict[str, str]:
    """What a new session of this process starts with; a JVM that spark-submit or an earlier session left knows it."""
    from pyspark import SparkConf, SparkContext

    if "PYSPARK_GATEWAY_PORT" in os.environ:
        SparkContext._ensure_initialized()
    started = dict(SparkConf().getAll()) if SparkContext._jvm is not None else {}
    return defaults.of_user(defaults.submit_args()) | started


def start(command: str, master: str, settings: dict[str, str], tables: bool = False) -> SparkSession:
    """The session of a command: its settings, then the user's --conf, --jars and --packages, which go before them."""
    asked = defaults.of_flags(defaults.submit_args())
    with_theirs = defaults.added(settings, users())
    mine = builder().master(master).appName(f"blip-udfs {command}").config(map=dict(with_theirs))
    defaults.carry(with_theirs)
    rest = {key: value for key, value in asked.items() if key not in defaults.SEPARATORS}
    chosen = mine.config(map=dict(rest))
    return (chosen.enableHiveSupport() if tables else chosen).getOrCreate()
