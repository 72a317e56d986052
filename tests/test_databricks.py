"""sql/databricks/ without a workspace: its statements are parsed, its handlers run on batches, beside the session's
functions; the view and the search run on Spark, with Spark's own readers where Databricks has read_files."""

import json
import os
import re
import stat
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlglot
from click.testing import CliRunner
from pyspark.errors import PythonException
from pyspark.sql import functions as F
from sqlglot import exp

import blip_udfs
from blip_udfs.blip.model import ModelError, load
from blip_udfs.cli import main
from blip_udfs.files.images import ImageError
from blip_udfs.reference import databricks
from blip_udfs.reference.databricks import MODEL, Target, render
from blip_udfs.spark import scripts
from blip_udfs.spark.catalog import CATALOG, once_text
from blip_udfs.spark.catalyst.build import jar

SCALAR = [function for function in CATALOG if function.kind == "scalar"]
BATCHED = [function.name for function in SCALAR if function.parameters]
SCRIPT = scripts.path("databricks/unity_catalog.sql")
FOLDER = SCRIPT.parent
TYPES = {"image": "BINARY", "text": "STRING", "texts": "ARRAY<STRING>", "a": "ARRAY<FLOAT>", "b": "ARRAY<FLOAT>"}
FIRST_TYPES = TYPES | {"path": "STRING", "content": "BINARY"}  # and of the function that the view calls


def parsed(script: str) -> dict[str, exp.Create]:
    """The functions of a script by name; sqlglot raises for what it does not know as Databricks SQL."""
    creates = [each for each in sqlglot.parse(script, dialect="databricks") if each.args.get("kind") == "FUNCTION"]
    return {create.find(exp.Table).name: create for create in creates}


def prop(create: exp.Create, kind: str) -> exp.Expression:
    (found,) = [each for each in create.args["properties"].expressions if type(each).__name__ == kind]
    return found


def handler(script: str, name: str) -> Callable[[Iterator], Iterator[pd.Series]]:
    """The handler of a function, executed as Databricks would: its text alone, in a namespace of its own."""
    namespace: dict = {}
    exec(parsed(script)[name].expression.this, namespace)
    return namespace["handler"]


@pytest.fixture(scope="module")
def rows(once_tree) -> list[tuple]:
    """image, text, texts, a, b: drawn images, then NULLs in each place."""
    images = [path.read_bytes() for path in sorted(once_tree.glob("data/*/cam01/*.jpg"))[:5]]
    every = [
        (image, f"a car, {index}", ["a bus", None, f"rain {index}"], [0.5, float(index)], [float(index), 2.0])
        for index, image in enumerate(images)
    ]
    nulls = [(None, "a bus", ["a bus"], None, [1.0]), (images[0], None, None, [1.0], None)]
    return [*every, *nulls, (images[1], "", [], [], [])]


def in_batches(rows: list[tuple], columns: list[str]) -> list:
    """As Databricks hands them over: a Series, or a tuple of them; one batch is empty."""
    places = [list(TYPES).index(column) for column in columns]
    cut = (rows[:3], [], rows[3:])
    batches = [tuple(pd.Series([row[place] for row in part], dtype=object) for place in places) for part in cut]
    return [batch if len(places) > 1 else batch[0] for batch in batches]


def of_session(spark, rows: list[tuple], name: str, columns: list[str]) -> list:
    schema = ", ".join(["id INT", *(f"{column} {of}" for column, of in TYPES.items())])
    table = spark.createDataFrame([(index, *row) for index, row in enumerate(rows)], schema)
    table.coalesce(1).createOrReplaceTempView("rows_of_session")
    call = f"{name}({', '.join(columns)})"
    return [row[0] for row in spark.sql(f"SELECT {call} FROM rows_of_session ORDER BY id").collect()]


def columns_of(name: str) -> list[str]:
    return [parameter.name for parameter in next(f for f in SCALAR if f.name == name).parameters]


def same(one, other) -> bool:
    if one is None or other is None or isinstance(one, (str, bytes, bytearray)):
        return one == other
    pair = [np.array([np.nan if x is None else x for x in np.atleast_1d(value)], float) for value in (one, other)]
    return pair[0].shape == pair[1].shape and np.allclose(*pair, rtol=0, atol=1e-6, equal_nan=True)


def test_the_script_is_what_the_catalog_says():
    assert SCRIPT.read_text() == render(), "run blip-udfs databricks > sql/databricks/unity_catalog.sql"


@pytest.mark.parametrize("function", [*SCALAR, once_text], ids=lambda function: function.name)
def test_a_functions_ddl_agrees_with_the_catalog(function):
    create = parsed(SCRIPT.read_text())[function.name]
    assert create.find(exp.Table).sql("databricks") == f"main.blip.{function.name}"
    given = [(column.name, column.args["kind"].sql("databricks")) for column in create.this.expressions]
    assert given == [(parameter.name, FIRST_TYPES[parameter.name]) for parameter in function.parameters]
    assert all(FIRST_TYPES[parameter.name] in parameter.types for parameter in function.parameters)
    assert prop(create, "ReturnsProperty").this.sql("databricks") == function.returns_sql
    assert prop(create, "LanguageProperty").name == "PYTHON"
    assert prop(create, "StabilityProperty").name == "IMMUTABLE"
    kinds = [type(each).__name__ for each in create.args["properties"].expressions]
    assert ("HandlerProperty" in kinds) == ("ParameterStyleProperty" in kinds) == bool(function.parameters)
    dependencies, environment = prop(create, "EnviromentProperty").expressions
    torch, own = json.loads(dependencies.expression.name)
    assert own == f"/Volumes/main/blip/wheels/blip_udfs-{blip_udfs.__version__}-py3-none-any.whl"
    assert re.fullmatch(r"/Volumes/main/blip/wheels/torch-[\d.]+\+cpu-cp312-.*[.]whl", torch)
    assert environment.sql("databricks") == "environment_version = 'None'"


def test_every_scalar_function_has_its_ddl_and_there_is_no_other():
    statements = sqlglot.parse(SCRIPT.read_text(), dialect="databricks")
    made = [*SCALAR, once_text]  # which the view calls
    assert set(parsed(SCRIPT.read_text())) == {function.name for function in made}
    assert [each.args["kind"] for each in statements] == ["FUNCTION"] * len(made) + ["VIEW"]


@pytest.mark.parametrize("name", BATCHED)
def test_a_handler_gives_what_the_sessions_function_gives(spark, use_model, rows, name):
    settings = {MODEL: str(use_model)}
    if name.endswith("features"):  # half precision: another order of adding up would show in its last bit
        settings["spark.blip.batchSize"] = "1"
        spark.conf.set("spark.blip.batchSize", "1")
    broken = [(b"no image", "a bus", ["a bus"], [1.0], [1.0])]
    tolerant = name.startswith("try_") or name == "blip_image_error"
    given, columns = rows + broken if tolerant else rows, columns_of(name)
    try:
        expected = of_session(spark, given, name, columns)
    finally:
        spark.conf.unset("spark.blip.batchSize")
    batches = in_batches(given, columns)
    series = list(handler(render(Target(settings=settings)), name)(iter(batches)))
    assert [len(each) for each in series] == [3, 0, len(given) - 3]  # as long as the batches that came
    got = [value for each in series for value in each]
    assert [value is None for value in expected].count(False) >= 5 or name == "blip_image_error"
    for place, (one, other) in enumerate(zip(got, expected, strict=True)):
        assert same(one, other), (place, one, other)


def test_a_handler_raises_what_the_sessions_function_raises(spark, use_model, rows):
    run = handler(render(Target(settings={MODEL: str(use_model)})), "blip_itm")
    broken = [*rows, (b"no image", "a bus", None, None, None)]
    with pytest.raises(ImageError) as error:
        list(run(iter(in_batches(broken, ["image", "text"]))))
    with pytest.raises(PythonException, match=re.escape(str(error.value))):
        of_session(spark, broken, "blip_itm", ["image", "text"])


def test_patch_features_and_their_errors_pass_through_the_handlers(tiny_model, rows):
    script = render(Target(settings={MODEL: str(tiny_model)}))
    images = pd.Series([row[0] for row in rows[:3]])
    (features,) = handler(script, "blip_image_features")(iter([images]))
    direct, stored = (next(handler(script, "blip_image_embed")(iter([each]))) for each in (images, features))
    np.testing.assert_allclose(np.stack(stored), np.stack(direct), atol=5e-3)
    (reasons,) = handler(script, "blip_image_error")(iter([pd.concat([features[:1], images[:1]])]))
    assert list(reasons) == [None, None]
    (reasons,) = handler(render(), "blip_image_error")(iter([features[:1]]))  # the bundled model's, not the tiny one's
    assert load(str(tiny_model)).digest in reasons[0] and load("demo").digest in reasons[0]


def test_the_model_is_the_functions_and_not_the_sessions(spark, tiny_model, rows):
    """In Spark's worker, where the session's settings are at hand: the bundled model here."""
    run = handler(render(Target(settings={MODEL: str(tiny_model)})), "blip_text_embed")
    got = spark.range(1).select(F.pandas_udf(run, "ARRAY<FLOAT>")(F.lit("a bus"))).first()[0]
    np.testing.assert_allclose(got, load(str(tiny_model)).embed_texts(["a bus"])[0], atol=1e-6)
    assert len(got) != len(spark.sql("SELECT blip_text_embed('a bus')").first()[0])


def test_blip_model_tells_the_model_that_is_fixed(spark, use_model):
    body = parsed(render(Target(settings={MODEL: str(use_model)})))["blip_model"].expression.this
    namespace: dict = {}
    exec(f"def blip_model():\n{textwrap.indent(body, '    ')}", namespace)
    assert namespace["blip_model"]() == spark.sql("SELECT blip_model()").first()[0]


def test_a_model_can_come_as_a_python_package(tiny_model, tmp_path, monkeypatch, rows):
    package = tmp_path / "blip_of_a_fleet"
    package.mkdir()
    for file in tiny_model.iterdir():
        (package / file.name).write_bytes(file.read_bytes())
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = {MODEL: "package:blip_of_a_fleet"}
    (got,) = handler(render(Target(settings=settings)), "blip_text_embed")(iter([pd.Series(["a bus"])]))
    np.testing.assert_allclose(got[0], load(str(tiny_model)).embed_texts(["a bus"])[0], atol=1e-6)
    assert databricks.model_label(settings) == f"blip_of_a_fleet@{load(str(tiny_model)).digest}"
    with pytest.raises(ModelError, match="model 'package:nowhere_at_all': no Python package nowhere_at_all"):
        databricks.model_label({MODEL: "package:nowhere_at_all"})


def test_the_command_writes_for_a_workspace():
    words = ["--catalog", "lake-house", "--schema", "fleet", "--wheels", "/Volumes/x/y/z", "--root", "/Volumes/o'clock"]
    words += ["--model", "package:base", "--dependency", "/Volumes/x/y/z/base-1-py3-none-any.whl"]
    words += ["--set", "spark.blip.itm.token=cls", "--environment-version", "4"]
    done = CliRunner().invoke(main, ["databricks", *words])
    assert done.exit_code == 0, done.output
    create = parsed(done.output)["blip_itm"]
    assert create.find(exp.Table).sql("databricks") == "`lake-house`.fleet.blip_itm"
    dependencies, environment = prop(create, "EnviromentProperty").expressions
    assert json.loads(dependencies.expression.name)[2] == "/Volumes/x/y/z/base-1-py3-none-any.whl"
    assert environment.expression.name == "4"
    assert '{"spark.blip.model": "package:base", "spark.blip.itm.token": "cls"}' in create.expression.this
    assert "CREATE OR REPLACE VIEW `lake-house`.fleet.once AS" in done.output
    assert r"read_files('/Volumes/o\'clock/data', format => 'binaryFile'" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--set spark.blip.itm.token", "expected KEY=VALUE such as spark.blip.itm.token=cls, got spark.blip.itm.token"),
        ("--set spark.blip.itm.token=dec", "spark.blip.itm.token = 'dec': expected one of enc, cls"),
        ("--set spark.blip.search.candidates=256", "setting spark.blip.search.candidates: expected one of"),
    ],
)
def test_a_setting_that_no_function_takes_is_refused(words, message):
    done = CliRunner().invoke(main, ["databricks", *words.split()], env={"COLUMNS": "300"})
    assert done.exit_code == 2 and message in " ".join(done.output.split()), done.output


def with_sparks_readers(query: str) -> str:
    """Databricks' read_files(path, option => value, ...), which lists folders within folders, as Spark's own SQL."""

    def reader(call: re.Match) -> str:
        path, *options = re.findall(r"'((?:[^'\\]|\\.)*)'", call[0])
        names = re.findall(r"(\w+) =>", call[0])
        kind, *values = options
        given = dict(zip(names[1:], values, strict=True)) | (
            {"recursiveFileLookup": "true"} if kind == "binaryFile" else {}
        )
        listed = ", ".join(f"'{name}' = '{value}'" for name, value in given.items())
        return f"{kind}.`{path}` WITH ({listed})" if given else f"{kind}.`{path}`"

    return re.sub(r"read_files\((?:'(?:[^'\\]|\\.)*'|[^')])*\)", reader, query)


def test_the_view_has_the_rows_of_read_once(spark, once_tree):
    script = render(Target(root=str(once_tree)))
    query = script.split("once AS\n")[1].rstrip().removesuffix(";").replace("main.blip.once_text(", "once_text(")
    run = handler(script, "once_text")
    spark.udf.register(
        "once_text", F.udf(lambda *file: next(run(iter([tuple(pd.Series([each]) for each in file)])))[0])
    )
    view = spark.sql(with_sparks_readers(query)).drop("splits")
    expected = spark.sql(f"SELECT * FROM read_once('{once_tree}', image_bytes => true)")
    assert view.columns == expected.columns
    got, want = (sorted(str(row) for row in rows.collect()) for rows in (view, expected))
    assert got == want and len(got) == 48


@pytest.mark.slow
def test_the_search_script_ranks_as_blip_search_does(spark, once_tree, use_model):
    every = spark.sql(f"SELECT * FROM read_once('{once_tree}', image_bytes => true)").cache()
    statements = [each for each in scripts.statements(FOLDER / "search.sql") if "USE main.blip" not in each]
    assert len(statements) == 6
    try:
        every.where("camera = 'cam01'").createOrReplaceTempView("once")
        spark.sql(statements[0])
        every.createOrReplaceTempView("once")  # images came in
        for statement in statements[1:5]:
            spark.sql(statement)
        got = spark.sql(statements[5]).collect()
        table = spark.table("once_embeddings")
        assert table.count() == table.select("sequence_id", "frame_id", "camera").distinct().count() == 48
        search = blip_udfs.search(table.where("weather = 'rainy'"), "a truck in the rain", k=10)
        expected = search.select("sequence_id", "frame_id", "camera", "weather", "period", "score").collect()
        np.testing.assert_allclose([row.score for row in got], [row.score for row in expected], atol=1e-6)
        assert [row[:5] for row in got] == [row[:5] for row in expected] and len(got) > 3
    finally:
        spark.sql("DROP TABLE IF EXISTS once_embeddings")


def test_the_search_script_is_databricks_sql():
    statements = sqlglot.parse((FOLDER / "search.sql").read_text(), dialect="databricks")
    assert len(statements) == 7


def test_the_page_names_what_is_there():
    page = (FOLDER / "README.md").read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", page):
        assert (FOLDER / link).exists(), link
    options = {option for parameter in main.commands["databricks"].params for option in parameter.opts}
    for command in re.findall(r"blip-udfs databricks ((?:.*\\\n)*.*)", page):
        assert set(re.findall(r"--[a-z-]+", command)) <= options, command


def cluster(folder: Path) -> tuple[Path, dict]:
    """A Volume with a wheel, an empty jars folder, and a Python that writes down what pip is asked for."""
    for name in ("wheels", "jars"):
        (folder / name).mkdir()
    with zipfile.ZipFile(folder / "wheels" / "blip_udfs-0.1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("blip_udfs-0.1.0.dist-info/METADATA", "Name: blip-udfs\n")
    (folder / "wheels" / "torch-2.13.0+cpu-cp312-cp312-linux_x86_64.whl").touch()
    python = folder / "python"
    python.write_text(
        f'#!/bin/bash\ncase "$*" in "-m pip "*) echo "$@" >> {folder}/pip;; *) {sys.executable} "$@";; esac\n'
    )
    python.chmod(python.stat().st_mode | stat.S_IEXEC)
    return python, {"BLIP_WHEELS": f"{folder}/wheels", "BLIP_PYTHON": str(python), "BLIP_JARS": f"{folder}/jars"}


def start(environment: dict) -> subprocess.CompletedProcess:
    command = ["bash", str(FOLDER / "init.sh")]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_the_init_script_installs_the_wheels_and_the_jar(tmp_path):
    done = start(cluster(tmp_path)[1])
    assert done.returncode == 0, done.stderr
    torch, own = (tmp_path / "pip").read_text().split()[-2:]
    assert Path(torch).name.startswith("torch-") and Path(own).name.startswith("blip_udfs-")
    assert (tmp_path / "jars" / jar().name).read_bytes() == jar().read_bytes()


def test_the_init_script_stops_a_cluster_that_would_not_work(tmp_path):
    environment = cluster(tmp_path)[1]
    done = start(environment | {"SPARK_HOME": str(tmp_path)})
    assert done.returncode == 1
    assert f"no Spark found, expected a folder with spark-core_*.jar, looked in {tmp_path}/jars" in done.stderr
    assert "blip-udfs: no jar for this Spark, the last line above says why" in done.stderr
