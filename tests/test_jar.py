"""The extension's jar: one that does not fit leaves a session as it was, one that fits is found or made."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyspark
import pytest

from blip_udfs.spark.catalyst import build, compiler, released, spark_home
from blip_udfs.spark.catalyst.released import LINES
from blip_udfs.spark.catalyst.spark_home import Spark
from blip_udfs.spark.extension import EXTENSION
from tests.with_jar import printed

BIN = Path(pyspark.__file__).parent / "bin"
OURS = build.jar()


def altered(target: Path, name: str, change) -> Path:
    """The jar with one of its files changed."""
    with zipfile.ZipFile(OURS) as source, zipfile.ZipFile(target, "w") as archive:
        for each in source.namelist():
            archive.writestr(each, change(source.read(each)) if each == name else source.read(each))
    return target


@pytest.mark.endurance
def test_a_jar_for_another_line(tmp_path):
    line = spark_home.here().line
    other = altered(
        tmp_path / "a.jar", "blip_udfs/manifest.json", lambda text: text.replace(f'"{line}"'.encode(), b'"4.9"', 1)
    )
    assert (
        f"blip-udfs' jar does not fit this Spark, {pyspark.__version__}, whose session starts without it: it is for "
        "Spark 4.9; name the jar that 'blip-udfs conf' prints beside this Spark"
    ) in printed(other, spark_home.here(), tmp_path)


@pytest.mark.slow
def test_a_jar_with_a_method_that_this_spark_has_not(tmp_path):
    """As if Spark had renamed wrongNumArgsError: the name in a class's constants is of the same length."""
    other = altered(
        tmp_path / "a.jar",
        "org/apache/spark/sql/blip/Arguments.class",
        lambda code: code.replace(b"wrongNumArgsError", b"wrongNumArgsErrox"),
    )
    said = printed(other, spark_home.here(), tmp_path)
    assert re.search(
        r"blip-udfs' jar does not fit this Spark, .*: "
        r"org\.apache\.spark\.sql\.errors\.QueryCompilationErrors\.wrongNumArgsErrox is not there; name the jar",
        said,
    )
    assert not build.links(other, spark_home.here())


@pytest.mark.slow
def test_a_jar_in_a_folder_whose_name_has_a_blank(tmp_path):
    other = tmp_path / "My Projects" / OURS.name
    other.parent.mkdir()
    shutil.copy(OURS, other)
    assert build.links(other, spark_home.here())
    assert "blip-udfs' jar" not in printed(other, spark_home.here(), tmp_path)


def home_of(folder: Path, suffix: str = "", without: str = "nothing") -> Path:
    """A Spark with this one's jars: under a vendor's version, or without some."""
    here = spark_home.here()
    (folder / "jars").mkdir(parents=True)
    for path in here.jars.glob("*.jar"):
        if not path.name.startswith(without):
            name = path.name.replace(f"-{here.version}.jar", f"-{here.version}{suffix}.jar")
            (folder / "jars" / name).symlink_to(path)
    return folder


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """The package's folder without a jar, and an empty cache; both can be written."""
    folder = tmp_path / "package"
    shutil.copytree(compiler.FOLDER, folder, ignore=shutil.ignore_patterns("*.jar", "*.py", "__pycache__"))
    monkeypatch.setattr(compiler, "FOLDER", folder)
    monkeypatch.setattr(compiler, "SHIMS", folder / "shims")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def compiled_nothing(*_) -> None:
    pytest.fail("a jar that fits is there, and one was compiled")


def test_a_vendors_version_is_of_its_line_and_takes_the_packages_jar(tmp_path, package, monkeypatch):
    fitting = shutil.copy(OURS, package)
    monkeypatch.setenv("SPARK_HOME", str(home_of(tmp_path / "home", "-amzn-1")))
    spark = spark_home.here()
    assert spark.version == f"{pyspark.__version__}-amzn-1" and pyspark.__version__.startswith(f"{spark.line}.")
    monkeypatch.setattr(compiler, "build", compiled_nothing)
    assert build.jar() == Path(fitting)
    (note,) = (tmp_path / "cache" / "blip-udfs" / "links").iterdir()
    note.unlink()
    monkeypatch.setattr(compiler, "java", lambda: "false")  # a jar that does not link is not taken
    with pytest.raises(pytest.fail.Exception):
        build.jar()


def test_a_package_that_cannot_be_written_has_its_jar_in_the_cache(tmp_path, package, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != package)  # root may write anywhere
    monkeypatch.setattr(compiler, "build", lambda path, spark: shutil.copy(OURS, path))
    assert build.jar() == tmp_path / "cache" / "blip-udfs" / OURS.name
    monkeypatch.setattr(compiler, "build", compiled_nothing)
    assert build.jar() == tmp_path / "cache" / "blip-udfs" / OURS.name


def test_a_broken_jar_is_none_and_a_dead_link_is_not_of_spark(tmp_path, package, monkeypatch):
    (package / "blip-udfs_2.13-spark4.3.9.jar").touch()
    with zipfile.ZipFile(package / OURS.name, "w") as jar:
        jar.writestr("blip_udfs/other", "")
    home = home_of(tmp_path / "home")
    (home / "jars" / "gone.jar").symlink_to("/nowhere/gone.jar")
    monkeypatch.setenv("SPARK_HOME", str(home))
    monkeypatch.setattr(compiler, "build", lambda path, spark: shutil.copy(OURS, path))
    assert build.contents(spark_home.here()) and build.jar() == package / OURS.name
    assert compiler.stamp_of(package / OURS.name) == compiler.stamp(spark_home.here())


def test_a_fitting_jar_of_the_package_needs_no_home(package, monkeypatch):
    shutil.copy(OURS, package)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: pytest.fail("the cache was asked for"))
    assert build.jar() == package / OURS.name
    assert build.writable() == package


def test_where_no_folder_can_be_written_it_says_so(tmp_path, package, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RuntimeError) as error:
        build.jar()
    assert str(error.value) == (
        f"no folder for the extension's jar can be written, neither {package} nor {tmp_path}/cache/blip-udfs: "
        "set XDG_CACHE_HOME to one that can"
    )


def test_without_a_compiler_a_session_starts_as_it_is_and_says_why(tmp_path, package, monkeypatch):
    from blip_udfs.spark.session import found

    home = home_of(tmp_path / "home", without="scala-compiler")
    monkeypatch.setenv("SPARK_HOME", str(home))
    why = re.escape(
        f"this session starts without blip-udfs' jar: no scala-compiler-*.jar in {home}/jars, with which the extension "
        f"is compiled for Spark {pyspark.__version__}: put Scala 2.13's there, or install a wheel of blip-udfs that "
        f"holds a jar for Spark {spark_home.here().line}"
    )
    with pytest.warns(UserWarning, match=why):
        assert list(found()) == ["spark.pyspark.python", "spark.python.daemon.module"]


def test_without_java_it_says_what_to_install(package, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(
        RuntimeError, match=re.escape("no java found: install Java 17 (Debian, Ubuntu: apt-get install")
    ):
        build.jar()


def test_a_spark_that_is_too_old(tmp_path, package, monkeypatch):
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "spark-core_2.12-3.4.4.jar").touch()
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    with pytest.raises(RuntimeError, match=re.escape("blip-udfs' jar needs Spark 3.5 or newer, found 3.4.4")):
        build.jar()


def test_a_platforms_jars_of_other_names_beside_its_home(tmp_path, monkeypatch):
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "----ws--core--core-hive-2.3__hadoop-3.2_2.13_deploy.jar").touch()
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    spark = spark_home.here()
    assert (spark.jars, spark.version, spark.scala) == (tmp_path / "jars", pyspark.__version__, "2.13")


def without_pyspark(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """`import blip_udfs` where no pyspark is installed."""
    bare = folder / "bare"
    bare.mkdir()
    packages = Path(pyspark.__file__).parent.parent
    for path in packages.iterdir():
        if not path.name.startswith(("pyspark", "py4j", "__editable__")):
            (bare / path.name).symlink_to(path)
    root = str(Path(build.__file__).parents[3])
    words = [sys.executable, "-S", "-c", "import blip_udfs, pyspark; print(pyspark.__file__)"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{root}{os.pathsep}{bare}"} | environment
    return subprocess.run(words, capture_output=True, text=True, check=False, env=env, cwd=folder)


def test_the_first_import_without_a_spark_says_what_to_install(tmp_path):
    done = without_pyspark(tmp_path)
    assert done.returncode and done.stderr.strip().splitlines()[-1] == (
        "ImportError: blip-udfs needs a Spark, and there is none: pip install 'blip-udfs[spark]', or set SPARK_HOME to "
        "the folder of one, 3.5 or newer, which holds jars/ and python/pyspark"
    )


def test_a_distributions_pyspark_is_found_in_spark_home(tmp_path):
    (tmp_path / "home" / "python").mkdir(parents=True)
    (tmp_path / "home" / "python" / "pyspark").symlink_to(Path(pyspark.__file__).parent)
    (tmp_path / "home" / "python" / "lib").symlink_to(Path(pyspark.__file__).parent / "python" / "lib")
    done = without_pyspark(tmp_path, SPARK_HOME=str(tmp_path / "home"))
    assert done.stdout.strip() == str(tmp_path / "home" / "python" / "pyspark" / "__init__.py"), done.stderr


@pytest.mark.slow
def test_a_distributions_own_spark_sql_with_the_lines_of_conf(tmp_path, once_tree, tiny_model):
    """As Spark is unpacked: bin/ and jars/ in SPARK_HOME, pyspark in its python/; our package beside it."""
    home, ours = tmp_path / "spark", Path(pyspark.__file__).parent
    (home / "python").mkdir(parents=True)
    for name, there in (("jars", "jars"), ("bin", "bin"), ("python/pyspark", ""), ("python/lib", "python/lib")):
        (home / name).symlink_to(ours / there)
    environment = os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}

    def ran(*words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "spark-defaults.conf").write_text(ran(str(Path(sys.executable).with_name("blip-udfs")), "conf"))
    query = f"SELECT count(*), count(blip_itm(image, 'a bus')) FROM read_once('{once_tree}')"
    statements = f"SET spark.blip.model={tiny_model}; {query}"
    shown = ran(str(home / "bin" / "spark-sql"), "--properties-file", "spark-defaults.conf", "-e", statements)
    assert shown.splitlines()[-1] == "48\t48"


@pytest.mark.slow
def test_an_archived_interpreter_is_the_executors_alone(tmp_path, once_tree, tiny_model):
    """`--archives environment.tar.gz#environment` is unpacked where executors work: there is none beside the driver."""
    python = tmp_path / "packed" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    archive = shutil.make_archive(str(tmp_path / "environment"), "gztar", tmp_path / "packed")
    settings = {
        "spark.archives": f"{archive}#environment",
        "spark.pyspark.python": "./environment/bin/python",
        "spark.jars": OURS,
        "spark.sql.extensions": EXTENSION,
        "spark.blip.model": tiny_model,
    }
    words = [BIN / "spark-sql", "--master", "local-cluster[1,1,1024]"]
    words += [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    query = f"SELECT count(blip_itm(image, 'a bus')) FROM read_once('{once_tree}') WHERE camera = 'cam01'"
    environment = {name: value for name, value in os.environ.items() if name != "PYSPARK_PYTHON"}
    done = subprocess.run(
        [*map(str, words), "-e", query],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment | {"SPARK_LOCAL_IP": "127.0.0.1"},
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "24", done.stdout + done.stderr


def test_a_wheel_has_a_jar_for_each_line_and_for_a_spark_that_is_named(tmp_path, monkeypatch):
    """3.5 with Scala 2.13, which PyPI does not have; a second time nothing is compiled, and no other jar stays."""
    home, folder, built = tmp_path / "spark-3.5.9-bin-scala2.13", tmp_path / "package", []
    (home / "jars").mkdir(parents=True)
    (home / "jars" / "spark-core_2.13-3.5.9.jar").touch()
    folder.mkdir()
    (folder / "blip-udfs_2.13-spark4.2.0.jar").touch()

    def compile_(path, spark):
        path.touch()
        built.append((path.name, spark.home))

    scala = {"3.5": "2.12"}
    here = {last: Spark(tmp_path, tmp_path, last, scala.get(line, "2.13")) for line, (_, last) in LINES.items()}
    monkeypatch.setattr(released, "fetched", here.get)
    monkeypatch.setattr(compiler, "FOLDER", folder)
    monkeypatch.setattr(compiler, "build", compile_)
    monkeypatch.setattr(compiler, "stamp_of", lambda path: "stamp")
    monkeypatch.setattr(compiler, "stamp", lambda spark: "stamp")
    released.main([str(home)])
    assert built[0] == ("blip-udfs_2.13-spark3.5.9.jar", home) and len(built) == len(LINES) + 1
    assert {path.name for path in folder.iterdir()} == {name for name, _ in built}
    assert {"blip-udfs_2.12-spark3.5.9.jar", "blip-udfs_2.13-spark4.3.0.jar"} <= {name for name, _ in built}
    released.main([str(home)])
    assert len(built) == len(LINES) + 1
    with pytest.raises(ValueError, match=r"expected a Spark's folder, with jars/spark-core_\*.jar"):
        released.main([str(tmp_path)])
