"""Every name that a user imports or types: it is there, and does what it says, in small; and no file of the project
imports a name that is not."""

import importlib
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import blip_udfs
from blip_udfs import functions as BF
from blip_udfs.blip.features import unpack_features
from blip_udfs.blip.model import load
from blip_udfs.cli import main
from blip_udfs.files.images import pixels
from tests.planted import plant

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["builder", "configure", "embed", "find_all", "gallery", "intervals", "read_once", "register", "search"]
NAMES = sorted([*NAMES, "last_filter", "watch"])
TEXT, OTHER = "a truck at night", "a bus in the rain"


def test_these_are_the_names():
    assert sorted(blip_udfs.__all__) == ["__version__", *NAMES]
    assert all(callable(getattr(blip_udfs, name)) and getattr(blip_udfs, name).__doc__ for name in NAMES)
    assert blip_udfs.__version__ == (ROOT / "blip_udfs/VERSION").read_text().strip()


def test_importing_them_loads_no_model():
    code = "import sys, blip_udfs, blip_udfs.cli; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> tuple[Path, list[Path]]:
    root = tmp_path_factory.mktemp("names")
    return root, plant(root, sequences=2, frames=2)


@pytest.fixture(scope="module")
def model(tiny_model):
    return load(str(tiny_model))


@pytest.fixture(scope="module")
def expected(tree, model) -> dict[str, tuple[np.ndarray, float]]:
    """Of each image its embedding, and match logit + ITC with the text, by the model called directly."""
    images = np.stack([pixels(str(image), model.image_size) for image in tree[1]])
    vectors, itc = model.embed_images(images), model.embed_images(images) @ model.embed_texts([TEXT])[0]
    match = model.itm_logits(model.features(images), [TEXT] * len(images))[:, 1]
    return {str(image): (vector, score) for image, vector, score in zip(tree[1], vectors, match + itc, strict=True)}


@pytest.fixture
def rows(spark, use_model, tree):
    return blip_udfs.read_once(spark, str(tree[0]))


def test_builder_and_configure(spark):
    """`spark` is a session of `builder`, which `configure` gives its settings; a user's own stay."""
    from pyspark.sql import SparkSession

    assert spark.sql("SELECT size(blip_text_embed('a car'))").first()[0] == 64
    own = SparkSession.Builder().config("spark.sql.extensions", "org.example.Theirs").config("spark.example", "7")
    assert blip_udfs.configure(own) is own
    assert own._options["spark.sql.extensions"] == "org.example.Theirs,org.apache.spark.sql.blip.BlipExtensions"
    assert own._options["spark.jars"].endswith(".jar") and own._options["spark.example"] == "7"


def test_register(spark, use_model, model):
    session = spark.newSession()
    session.conf.set("spark.blip.model", str(use_model))
    blip_udfs.register(session)
    (vector,) = session.sql(f"SELECT blip_text_embed('{TEXT}')").first()
    np.testing.assert_allclose(vector, model.embed_texts([TEXT])[0], atol=1e-6)


def test_read_once(rows, tree):
    found = {row.image.removeprefix("file:"): row for row in rows.collect()}
    assert set(found) == set(map(str, tree[1]))
    for image, row in found.items():
        assert (row.sequence_id, row.camera, row.frame_id) == Path(image).with_suffix("").parts[-3:]
        assert (row.weather, row.period) == ({"000000": "sunny", "000001": "rainy"}[row.sequence_id], "noon")


def test_embed(spark, use_model, tree, expected):
    try:
        assert blip_udfs.embed(spark, str(tree[0]), "names_embedded").images == len(tree[1])
        found = spark.table("names_embedded").collect()
        assert len(found) == len(expected)
        for row in found:
            np.testing.assert_allclose(row.embedding, expected[row.image.removeprefix("file:")][0], atol=1e-6)
    finally:
        spark.sql("DROP VIEW IF EXISTS names_embedded_search")
        spark.sql("DROP TABLE IF EXISTS names_embedded")


def test_search(rows, expected):
    table = rows.withColumn("embedding", BF.blip_image_embed("image"))
    found = [(row.image.removeprefix("file:"), row.score) for row in blip_udfs.search(table, TEXT, k=3).collect()]
    best = sorted(expected, key=lambda image: -expected[image][1])[:3]
    assert [image for image, _ in found] == best
    assert [score for _, score in found] == pytest.approx([expected[image][1] for image in best], abs=1e-4)


def test_find_all(rows, model, tree):
    table = rows.withColumn("embedding", BF.blip_image_embed("image"))
    chances = {str(image): values_of(model, image)["blip_itm"] for image in tree[1]}
    middle = float(np.median(list(chances.values())))
    found = {row.image.removeprefix("file:"): row.score for row in blip_udfs.find_all(table, TEXT, middle).collect()}
    assert found == pytest.approx({image: chance for image, chance in chances.items() if chance > middle}, abs=1e-5)


def test_gallery(rows, tmp_path):
    page = blip_udfs.gallery(rows, "Eight frames").save(tmp_path / "page.html").read_text()
    assert "<h1>Eight frames</h1>" in page and page.count('src="data:image/') == 8


def test_intervals(rows, tree):
    timed = rows.drop("timestamp").selectExpr(
        "*", "double(frame_id) AS score", "timestamp_millis(bigint(frame_id)) AS timestamp"
    )
    found = blip_udfs.intervals(timed, 0.0).collect()
    last = {path.parts[-3]: path.stem for path in sorted(tree[1], key=lambda path: path.stem)}
    assert {row.sequence_id: row.frame_id for row in found} == last and sum(row.rows for row in found) == len(tree[1])


def values_of(model, image: Path) -> dict[str, object]:
    """What each function gives of this image and the texts, by the model called directly."""
    shown = pixels(str(image), model.image_size)[None]
    features, texts = model.features(shown), [TEXT, OTHER]
    logits = model.itm_logits_of_many(features[0], texts)
    chances = model.match_probability(logits)
    return {
        "blip_image_embed": model.embed_images(shown)[0],
        "blip_image_features": features[0],
        "blip_itm": chances[0],
        "blip_itm_logit": logits[0, 1],
        "blip_itm_many": chances,
        "blip_text_embed": model.embed_texts([TEXT])[0],
        "blip_similarity": VECTORS[0] @ VECTORS[1],
        "blip_model": model.label,
        "blip_image_error": None,
    }


VECTORS = np.array([[1, 2, 3], [0.5, -1, 2]], np.float32)
ARGUMENTS = {"image": "image", "text": TEXT, "texts": [TEXT, OTHER], "a": "a", "b": "b"}


def test_every_dataframe_function(spark, use_model, model, tree):
    from pyspark.sql import functions as F

    row = (str(tree[1][5]), *VECTORS.tolist())
    given = spark.createDataFrame([row], "image STRING, a ARRAY<FLOAT>, b ARRAY<FLOAT>")
    expected = values_of(model, tree[1][5])
    for name in BF.__all__:
        wanted = {parameter: ARGUMENTS[parameter] for parameter in parameters(name)}
        if name == "blip_text_embed":  # alone, a string is a column's name
            wanted["text"] = F.lit(TEXT)
        (value,) = given.select(getattr(BF, name)(**wanted)).first()
        assert name.removeprefix("try_") in expected, f"{name}: say in values_of what it should give"
        same(value, expected[name.removeprefix("try_")], name)


def parameters(name: str) -> list[str]:
    from inspect import signature

    return list(signature(getattr(BF, name)).parameters)


def same(value, expected, name: str) -> None:
    if expected is None or isinstance(expected, str):
        assert value == expected, name
    elif name.endswith("features"):
        np.testing.assert_allclose(unpack_features(bytes(value)), expected, atol=2e-3, err_msg=name)
    else:
        np.testing.assert_allclose(value, expected, atol=1e-5, err_msg=name)


def test_the_console_script():
    (script,) = [each for each in entry_points(group="console_scripts") if each.name == "blip-udfs"]
    assert script.load() is main
    done = subprocess.run(
        [str(Path(sys.executable).parent / "blip-udfs"), "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith(f" {blip_udfs.__version__}")


@pytest.mark.parametrize("command", sorted(main.commands))
def test_each_command_says_what_it_does(command):
    if command in ("sql", "thriftserver"):  # their other flags, --help too, are Spark's: they take the process over
        assert main.commands[command].help
        return
    done = CliRunner().invoke(main, [command, "--help"])
    assert done.exit_code == 0 and f"Usage: main {command} " in done.output


IMPORT = re.compile(r"^[^#\n]*?\bfrom (blip_udfs[\w.]*) import ([\w, ]+)|\bimport (blip_udfs[\w.]*)", re.MULTILINE)
PLANTING = {"test_names.py", "test_rooms.py"}  # which write imports of what is not there
ELSEWHERE = [
    file
    for folder in ("tests", "notebooks", "sql", "conf", "blip_udfs")
    for file in sorted((ROOT / folder).rglob("*"))
    if file.suffix in (".py", ".ipynb", ".sql", ".sh", ".conf", ".md", ".j2") and file.name not in PLANTING
]


def code_of(file: Path) -> str:
    text = file.read_text()
    cells = json.loads(text)["cells"] if file.suffix == ".ipynb" else []
    return "\n".join("".join(cell["source"]) for cell in cells) or text


def test_what_files_import_is_there():
    """Also in texts that another process runs, which no type checker reads."""
    found = 0
    for file in [ROOT / "README.md", *ELSEWHERE]:
        for module, names, whole in IMPORT.findall(code_of(file)):
            loaded = importlib.import_module(module or whole)
            for name in re.findall(r"(\w+)(?: as \w+)?", names):
                assert hasattr(loaded, name) or importlib.util.find_spec(f"{module}.{name}"), (file, module, name)
                found += 1
    assert found > 200
