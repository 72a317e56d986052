"""Nothing of the user's is overwritten: folders that we did not write, jars and extensions that others set."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from blip_udfs.cli import main
from blip_udfs.files import ours
from blip_udfs.spark import defaults
from blip_udfs.spark.defaults import DAEMON, PYTHON
from blip_udfs.spark.extension import EXTENSION

SYNTH = ["--sequences", "1", "--frames", "1", "--cameras", "cam01", "--size", "96x51"]


def refused(*words: str) -> str:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1, done.output
    return done.output


@pytest.mark.parametrize("place", ["once", "warehouse"])
def test_demo_leaves_folders_that_it_did_not_make(tmp_path, place):
    kept = tmp_path / place / "data" / "mine.jpg"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    assert f"{tmp_path / place}: expected a folder that is empty" in refused("demo", "--out", str(tmp_path))
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [kept]


def test_demo_leaves_a_page_that_it_did_not_make(tmp_path):
    (tmp_path / "index.html").write_text("mine")
    assert f"{tmp_path} has a file index.html that blip-udfs did not write" in refused("demo", "--out", str(tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


def test_synth_replaces_what_it_drew_and_nothing_else(tmp_path):
    mine, drawn = tmp_path / "mine", tmp_path / "drawn"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    assert f"{mine}: expected a folder" in refused("synth", str(mine), *SYNTH)
    drawn.mkdir()
    for _ in range(2):
        assert CliRunner().invoke(main, ["synth", str(drawn), *SYNTH]).exit_code == 0
        assert len(list(drawn.rglob("*.jpg"))) == 1
        (drawn / "data" / "000009").mkdir()  # of an earlier, larger tree
    assert not (drawn / "data" / "000009" / "x").exists() and list(mine.iterdir()) == [mine / "notes.txt"]


def test_a_link_is_not_followed(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    ours.mark(target)
    (target / "mine").write_text("mine")
    link.symlink_to(target)
    with pytest.raises(ValueError, match="got a link or a file"):
        ours.make_anew(link)
    assert (target / "mine").read_text() == "mine"


def test_a_link_inside_is_removed_and_not_what_it_names(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine").write_text("mine")
    ours.make_anew(tmp_path / "made")
    (tmp_path / "made" / "link").symlink_to(tmp_path / "target")
    ours.make_anew(tmp_path / "made")
    assert [file.name for file in (tmp_path / "made").iterdir()] == [ours.MARKER]
    assert (tmp_path / "target" / "mine").read_text() == "mine"


def test_convert_leaves_another_model(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("mine")
    (tmp_path / "x.pth").write_bytes(b"x")
    said = refused("convert", str(tmp_path / "x.pth"), str(tmp_path / "model"))
    assert f"{tmp_path / 'model'}: expected a folder that is empty or not there, it has files" in said
    assert (tmp_path / "model" / "config.json").read_text() == "mine"


FILE = """
# comment
spark.jars            /a.jar,/b.jar
spark.sql.extensions=com.acme.Guard
spark.driver.extraJavaOptions : -Dx=1 -Dy="a b"
spark.ui.enabled      false
"""


def test_the_defaults_file_is_read_as_spark_reads_it(tmp_path, monkeypatch):
    (tmp_path / "spark-defaults.conf").write_text(FILE)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert defaults.of_user(["--conf", "spark.ui.enabled=true", "--jars=/c.jar"]) == {
        "spark.jars": "/c.jar",
        "spark.sql.extensions": "com.acme.Guard",
        "spark.driver.extraJavaOptions": '-Dx=1 -Dy="a b"',
        "spark.ui.enabled": "true",
    }
    (tmp_path / "other").write_text("spark.jars /d.jar")
    assert defaults.of_user(["--properties-file", str(tmp_path / "other")]) == {"spark.jars": "/d.jar"}


def test_lists_are_added_to_and_single_values_are_ours():
    theirs = {"spark.jars": "/a.jar, /blip.jar", "spark.sql.extensions": "com.acme.Guard", "x": "1"}
    ours_ = {"spark.jars": "/blip.jar", "spark.sql.extensions": EXTENSION, "x": "2"}
    assert defaults.added(ours_, theirs) == {
        "spark.jars": "/a.jar,/blip.jar",
        "spark.sql.extensions": f"com.acme.Guard,{EXTENSION}",
        "x": "2",
    }


def test_of_our_jars_only_the_one_that_fits_stays():
    earlier, fits = "/jars/blip-udfs_2.13-spark4.0.5.jar", "/ours/blip-udfs_2.13-spark4.1.4.jar"
    assert defaults.added({"spark.jars": fits}, {"spark.jars": f"{earlier},/a.jar"}) == {"spark.jars": f"/a.jar,{fits}"}
    assert defaults.added({"spark.jars": "/mine.jar"}, {"spark.jars": earlier}) == {
        "spark.jars": f"{earlier},/mine.jar"
    }


def test_another_interpreter_gets_our_daemon_only_by_name():
    """It may lack this package, and then no Python function of the session would start."""
    ours_ = {PYTHON: "/ours", DAEMON: "blip_udfs.spark.daemon"}
    assert defaults.added(ours_, {PYTHON: "/ours"}) == ours_
    assert defaults.added(ours_, {PYTHON: "/theirs"}) == {PYTHON: "/theirs"}
    named = {PYTHON: "/theirs", DAEMON: "blip_udfs.spark.daemon"}
    assert defaults.added(ours_, named) == named
    assert defaults.added(ours_, {DAEMON: "acme.daemon"}) == ours_ | {DAEMON: "acme.daemon"}


def test_flags_that_are_taken_in_do_not_come_again():
    flags = ["--jars", "a.jar", "-e", "SELECT 1", "--conf", "spark.sql.extensions=x", "-c", "spark.ui.enabled=false"]
    assert defaults.without_added(flags) == ["-e", "SELECT 1", "--conf", "spark.ui.enabled=false"]


CONFIGURED = """
import blip_udfs
from pyspark.sql import SparkSession
own = SparkSession.builder.master("local[1]").config("spark.sql.extensions", "com.acme.Own")
spark = blip_udfs.configure(own).config("spark.log.level", "OFF").getOrCreate()
print(spark.conf.get("spark.sql.extensions"))
print(spark.sparkContext.getConf().get("spark.jars"))
print(spark.sql("SELECT blip_model()").first()[0])
"""


@pytest.mark.endurance
def test_configure_adds_to_a_builder_and_to_submit_args(tmp_path):
    jar = tmp_path / "other.jar"
    zipfile.ZipFile(jar, "w").writestr("x", "")
    environment = os.environ | {"PYSPARK_SUBMIT_ARGS": f"--jars {jar} pyspark-shell"}
    done = subprocess.run([sys.executable, "-c", CONFIGURED], capture_output=True, text=True, env=environment)
    extensions, jars, value = done.stdout.split()[-3:]
    assert extensions == f"com.acme.Own,{EXTENSION}"
    assert Path(jars.split(",")[0]) == jar and "blip-udfs_" in jars.split(",")[1]
    assert value.startswith("demo@")


def test_commands_take_sparks_flags(monkeypatch):
    monkeypatch.setenv(defaults.SUBMIT_ARGS, "--conf a=1 pyspark-shell ")
    words = ["evaluate", "missing.json", "--conf", "spark.x=a b", "--jars", "x.jar", "--packages", "g:a:1"]
    CliRunner().invoke(main, words)
    assert defaults.of_flags(defaults.submit_args()) == {
        "a": "1",
        "spark.x": "a b",
        "spark.jars": "x.jar",
        "spark.jars.packages": "g:a:1",
    }
    assert "expected KEY=VALUE such as" in CliRunner().invoke(main, ["search", "--conf", "spark.x"]).output
