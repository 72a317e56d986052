"""The presets of conf/: each key is one that Spark or the package knows, each value one that it takes."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyspark.errors import IllegalArgumentException

from blip_udfs.cli import main
from blip_udfs.files.doors import DOORS
from blip_udfs.spark.catalyst.released import LINES
from blip_udfs.spark.extension import EXTENSION
from blip_udfs.spark.settings import SETTINGS

FOLDER = Path(__file__).resolve().parent.parent / "conf"
PRESETS = ["local", "cluster", "gpu", "thrift", "databricks", "emr", "google", "fabric"]
DAEMON = "spark.python.daemon.module"
PLATFORMS = {  # what of the lines that `blip-udfs conf` prints a platform's preset has itself
    "databricks": {"spark.sql.extensions"},
    "fabric": {"spark.sql.extensions", DAEMON},
    "google": {"spark.jars", "spark.sql.extensions", DAEMON},
    "emr": {"spark.jars", "spark.sql.extensions", "spark.pyspark.python", DAEMON},
}
RESOURCE = r"spark\.(driver|executor|worker|task)\.resource\.\w+\.(amount|discoveryScript|vendor)"
BY_NAME = ("spark.master",)  # which Spark reads without an entry
BLIP = {setting.key: setting for setting in SETTINGS}


def lines(name: str) -> list[str]:
    return (FOLDER / f"{name}.conf").read_text().splitlines()


def settings(name: str) -> dict[str, str]:
    """As Spark reads a properties file: a key, white space, a value."""
    given = [line.split(None, 1) for line in lines(name) if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in given)
    assert len({key for key, _ in given}) == len(given), "a key stands twice"
    return {key: value.strip() for key, value in given}


@pytest.fixture(scope="module")
def spark_takes(spark):
    """(key, value) -> None; raises for a key that Spark does not know, or a value that it does not take."""
    jvm = spark._jvm
    for name in ("package", "Python"):  # entries are known once their object is loaded
        jvm.java.lang.Class.forName(f"org.apache.spark.internal.config.{name}$")

    def take(key: str, value: str) -> None:
        entry = jvm.org.apache.spark.internal.config.ConfigEntry.findEntry(key)
        assert entry is not None, f"Spark knows no {key}"
        # as text again: py4j cannot bring a Scala decimal here
        entry.valueConverter().andThen(entry.stringConverter()).apply(value)

    return take


def test_there_is_a_preset_for_each_place():
    assert sorted(PRESETS) == sorted(path.stem for path in FOLDER.glob("*.conf"))


@pytest.mark.parametrize("name", PRESETS)
def test_its_keys_are_real(name, spark_takes):
    for key, value in settings(name).items():
        if key in BLIP:
            BLIP[key].read(value)
        elif key.startswith("spark.executorEnv."):
            assert key.removeprefix("spark.executorEnv.") in {door.variable for door in DOORS}
        elif key not in BY_NAME and not re.fullmatch(RESOURCE, key):
            spark_takes(key, value)


def test_an_unreal_key_or_value_would_be_found(spark_takes):
    with pytest.raises(AssertionError, match="Spark knows no spark.task.cpu"):
        spark_takes("spark.task.cpu", "4")
    with pytest.raises(IllegalArgumentException, match="spark.task.cpus"):
        spark_takes("spark.task.cpus", "four")


@pytest.mark.parametrize("name", PRESETS)
def test_each_line_has_its_comment(name):
    """A comment stands above each setting, or above the settings that follow each other without an empty line."""
    above = ""
    for line in lines(name):
        if line and not line.startswith("#"):
            assert above.startswith("#") or above.startswith("spark."), line
        above = line


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("databricks", "fabric")])
def test_an_executor_has_the_cores_of_its_tasks(name):
    """Else Spark does not start: YARN's and Kubernetes' default is one core. Those two set them by the node."""
    given = settings(name)
    assert int(given.get("spark.executor.cores", 1)) % int(given.get("spark.task.cpus", 1)) == 0


def test_the_gpu_preset_gives_each_task_its_gpu():
    gpu = settings("gpu")
    assert gpu["spark.task.resource.gpu.amount"] == gpu["spark.executor.resource.gpu.amount"] == "1"
    assert gpu["spark.task.cpus"] == gpu["spark.executor.cores"]  # else cores without a GPU would lie idle


def test_what_the_commands_add_is_in_no_preset_but_a_platforms():
    """conf and thriftserver print or set these four themselves; a platform has its own way of placing a jar."""
    printed = [line.split()[0] for line in CliRunner().invoke(main, ["conf"]).output.splitlines()[:4]]
    for name in PRESETS:
        given = settings(name)
        assert {key for key in given if key in printed} == PLATFORMS.get(name, set())
        assert given.get("spark.sql.extensions", EXTENSION) == EXTENSION


def test_a_jar_that_a_preset_names_is_one_that_a_wheel_carries():
    known = {f"{'2.12' if line == '3.5' else '2.13'}-spark{last}" for line, (_, last) in LINES.items()}
    for name in PRESETS:
        if jar := settings(name).get("spark.jars"):
            assert re.search(r"/blip-udfs_(.*)\.jar$", jar)[1] in known
