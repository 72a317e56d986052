"""What bad actors try with paths, models, sizes and names: each is refused with its message, and nothing is read."""

import io
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from blip_udfs.blip import model, tokens
from blip_udfs.blip.model import ModelError, load
from blip_udfs.files import sources
from blip_udfs.files.images import ImageError, image_error
from blip_udfs.spark import batches, worker
from blip_udfs.spark.settings import Settings
from tests.odd_images import SCENE_PNG, png

OUTSIDE = (
    "outside of what may be read here: {tmp}/images, s3://bucket/images; whoever runs the cluster can add its "
    "folder to BLIP_READ_ROOTS on the executors"
)
NOT_ALLOWED = (
    "is not allowed here, only demo, {tmp}/models; whoever runs the cluster can add it to BLIP_ALLOWED_MODELS on the "
    "executors"
)
NO_NAME = "blip_search: table: expected a table's name or TABLE(SELECT ...), got"
INCOMPLETE = "not a complete safetensors file: Error while deserializing header: {reason}; copy or download it again"

# (what is tried, its kind, the value, the message), with {tmp} for the folder that `world` fills
ATTEMPTS = [
    ("..", "path", "{tmp}/images/../secret.png", "{value}: " + OUTSIDE),
    ("a link to a file", "path", "{tmp}/images/link.png", "{value}: " + OUTSIDE),
    ("a link to a folder", "path", "{tmp}/images/door/secret.png", "{value}: " + OUTSIDE),
    ("a folder that begins like a root", "path", "{tmp}/images2/secret.png", "{value}: " + OUTSIDE),
    ("percent-encoded ..", "path", "file:{tmp}/images/%2e%2e/secret.png", "{value}: " + OUTSIDE),
    ("passwords", "path", "file:///etc/passwd", "{value}: " + OUTSIDE),
    ("passwords of localhost", "path", "file://localhost/etc/passwd", "{value}: " + OUTSIDE),
    ("passwords from Databricks", "path", "dbfs:/../etc/passwd", "{value}: " + OUTSIDE),
    ("the environment", "path", "/proc/self/environ", "{value}: " + OUTSIDE),
    ("the environment, with every root", "any path", "/proc/self/environ", "{value}: expected an image, got 0 bytes"),
    ("endless zeros", "any path", "/dev/zero", "{value}: expected a regular file, got a device"),
    ("a FIFO", "path", "{tmp}/images/fifo.png", "{value}: expected a regular file, got a FIFO"),
    ("a folder", "path", "{tmp}/images", "{value}: cannot be read: Is a directory"),
    ("a loop of links", "path", "{tmp}/images/loop.png", "{value}: cannot be read: Too many levels of symbolic links"),
    (
        "10 GB of nothing",
        "path",
        "{tmp}/images/sparse.png",
        "{value}: expected at most 67,108,864 bytes, got 10,737,418,240 or more; set BLIP_MAX_IMAGE_BYTES on the "
        "executors to allow them",
    ),
    ("another bucket", "path", "s3://other/images/x.png", "{value}: " + OUTSIDE),
    ("another host", "path", "s3://bucket?endpoint_override=localhost:1/images/x.png", "{value}: " + OUTSIDE),
    (".. in a bucket", "path", "s3a://bucket/images/../x.png", "{value}: " + OUTSIDE),
    (
        "a path of 10 MB",
        "path",
        "x" * 10_000_000,
        "expected a path, got a text of 10,000,000 characters, which begins 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'",
    ),
    (
        "a path on a server that names no root",
        "closed path",
        "{tmp}/images/x.png",
        "{value}: no path is read here, for BLIP_READ_ROOTS names no folder; whoever runs the server can start it "
        "with BLIP_READ_ROOTS=/folder/of/images in its environment",
    ),
    (
        "a decompression bomb",
        "bytes",
        png(13200, 13200, 8, 2, bytes(13200 * 39601 // 100)),
        "PNG image of 13200 x 13200 px has too many pixels: expected at most 170,000,000; shrink it or set "
        "BLIP_MAX_IMAGE_PIXELS",
    ),
    ("a hub id outside the list", "model", "Salesforce/blip-itm-base-coco", "model '{value}' " + NOT_ALLOWED),
    ("a model behind ..", "model", "{tmp}/models/../elsewhere", "model '{value}' " + NOT_ALLOWED),
    ("a link to a model", "model", "{tmp}/models/link", "model '{value}' " + NOT_ALLOWED),
    (
        "a pickle as model",
        "model",
        "{tmp}/models/pickle",
        "model 'pickle': expected model.safetensors in {value}, found pytorch_model.bin, which is a pickle and is "
        "not read; save it with safetensors",
    ),
    (
        "a pickle under another name",
        "model",
        "{tmp}/models/renamed",
        "{value}/model.safetensors: " + INCOMPLETE.format(reason="header too large"),
    ),
    (
        "a model with code",
        "model",
        "{tmp}/models/code",
        "{value}/config.json: expected a BLIP model for retrieval, got model_type 'evil'",
    ),
    (
        "half a download",
        "model",
        "{tmp}/models/half",
        "{value}/model.safetensors: " + INCOMPLETE.format(reason="incomplete metadata, file not fully covered"),
    ),
    (
        "a configuration of 10 GB",
        "model",
        "{tmp}/models/sparse",
        "model 'sparse': expected {value}/config.json of at most 67,108,864 bytes, got 10,737,418,240",
    ),
    (
        "a text of 10 MB",
        "sql",
        "SELECT blip_text_embed('" + "car " * 2_500_000 + "')",
        "text of 10,000,000 characters, which begins 'car car car car car car car car car car ': expected at most "
        "100,000; BLIP reads its first 35 tokens",
    ),
    (
        "a comment in a table's name",
        "sql",
        "SELECT * FROM blip_search('doors -- x', 'a car')",
        f"{NO_NAME} 'doors -- x'",
    ),
    (
        "a hidden comment",
        "sql",
        "SELECT * FROM blip_search('doors/**/', 'a car')",
        f"{NO_NAME} 'doors/**/'",
    ),
    (
        "a quote in a table's name",
        "sql",
        "SELECT * FROM blip_search('doors`', 'a car')",
        f"{NO_NAME} 'doors`'",
    ),
    (
        "a second statement",
        "sql",
        """SELECT * FROM blip_search("doors'); DROP TABLE doors; --", 'a car')""",
        f"{NO_NAME} 'doors'); DROP TABLE doors; --'",
    ),
    (
        "a file as table",
        "sql",
        "SELECT * FROM blip_search('text.`/etc/passwd`', 'a car')",
        "blip_search: table: expected a column image, got value STRING",
    ),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_model) -> Path:
    """A folder of images and one of models that may be used, and what lies beside them."""
    tmp = tmp_path_factory.mktemp("doors").resolve()
    for folder in ("images", "images2", "models"):
        (tmp / folder).mkdir()
    for file in ("secret.png", "images2/secret.png", "images/x.png"):
        (tmp / file).write_bytes(SCENE_PNG)
    (tmp / "images/link.png").symlink_to(tmp / "secret.png")
    (tmp / "images/door").symlink_to(tmp)
    (tmp / "images/loop.png").symlink_to(tmp / "images/loop.png")
    os.mkfifo(tmp / "images/fifo.png")
    sparse(tmp / "images/sparse.png")
    shutil.copytree(tiny_model, tmp / "elsewhere")
    (tmp / "models/link").symlink_to(tmp / "elsewhere")
    for name in ("good", "pickle", "renamed", "code", "half", "sparse"):
        shutil.copytree(tiny_model, tmp / "models" / name)
    spoil(tmp / "models")
    return tmp


def sparse(file: Path) -> None:
    with file.open("wb") as out:
        out.truncate(10 << 30)


class Trap:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def spoil(models: Path) -> None:
    trap = pickle.dumps(Trap(models / "sprung"))
    (models / "pickle/model.safetensors").unlink()
    (models / "pickle/pytorch_model.bin").write_bytes(trap)
    (models / "renamed/model.safetensors").write_bytes(trap)
    code = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.Evil"}}
    (models / "code/config.json").write_text(json.dumps(code))
    (models / "code/evil.py").write_text(f"open({str(models / 'sprung')!r}, 'w')")
    whole = (models / "half/model.safetensors").read_bytes()
    (models / "half/model.safetensors").write_bytes(whole[: len(whole) // 2])
    sparse(models / "sparse/config.json")


@pytest.fixture
def doors(world, monkeypatch) -> Path:
    monkeypatch.setenv("BLIP_READ_ROOTS", f"{world}/images:s3://bucket/images")
    monkeypatch.setenv("BLIP_ALLOWED_MODELS", f"demo, {world}/models")
    return world


@pytest.fixture
def bytes_read(monkeypatch) -> list[int]:
    """What `sources` reads of local files while a test runs."""
    read: list[int] = []

    class Watched(io.FileIO):
        def read(self, size=-1):
            read.append(size)
            return super().read(size)

    monkeypatch.setattr(sources, "open", lambda file, mode, closefd: Watched(file, mode, closefd), raising=False)
    return read


@pytest.fixture(scope="module")
def table(spark):
    spark.sql("CREATE OR REPLACE TEMPORARY VIEW doors AS SELECT 'x.jpg' AS image, array(1F) AS embedding")


def told(kind: str, value, spark, monkeypatch) -> str:
    """The message that an attempt gets."""
    if kind in ("path", "bytes"):
        return image_error(value) or "read"
    if kind == "any path":
        monkeypatch.delenv("BLIP_READ_ROOTS")
        return image_error(value) or "read"
    if kind == "closed path":
        monkeypatch.setenv("BLIP_READ_ROOTS", "")
        return image_error(value) or "read"
    with pytest.raises(Exception) as error:
        load(value) if kind == "model" else spark.sql(value).collect()
    return str(error.value)


PARAMETERS = [
    # Spark itself takes long over a statement of 10 MB
    pytest.param(*rest, id=name, marks=pytest.mark.slow if name == "a text of 10 MB" else ())
    for name, *rest in ATTEMPTS
]


@pytest.mark.parametrize(("kind", "value", "message"), PARAMETERS)
def test_an_attempt_is_refused(spark, table, doors, bytes_read, monkeypatch, kind, value, message):
    value = value.replace("{tmp}", str(doors)) if isinstance(value, str) else value
    message = message.replace("{tmp}", str(doors)).replace("{value}", str(value) if kind != "bytes" else "")
    got = told(kind, value, spark, monkeypatch)
    assert message in got if kind == "sql" else message == got
    assert bytes_read == []
    assert not (doors / "models/sprung").exists()


def test_attempts_have_names_of_their_own():
    assert len({name for name, *_ in ATTEMPTS}) == len(ATTEMPTS)


def test_what_is_allowed_is_read_and_loaded(doors, bytes_read, monkeypatch):
    for path in ("images/x.png", "images/../images/x.png"):
        assert image_error(f"{doors}/{path}") is None
    assert bytes_read
    for name in ("demo", f"{doors}/models/good", f"{doors}/models/good/", f"file://{doors}/models/good"):
        assert load(name).digest
    monkeypatch.setenv("BLIP_ALLOWED_MODELS", f"{doors}/models/good")
    assert load(f"{doors}/models/../models/good/").digest


def test_a_hub_id_is_no_folder_that_could_be_there(doors, monkeypatch):
    monkeypatch.chdir(doors / "models")
    with pytest.raises(ModelError, match="model 'some/model' is not allowed here"):
        load("some/model")


def test_a_model_is_refused_once_and_not_per_row(monkeypatch):
    asked = []

    def refuse(name):
        asked.append(name)
        raise ModelError("no such model")

    monkeypatch.setattr(model, "find", refuse)
    for _ in range(3):
        with pytest.raises(ModelError, match="^no such model$"):
            load("refused/once")
    assert asked == ["refused/once"]


def test_where_no_path_is_read_the_try_forms_say_so_too(doors, monkeypatch):
    monkeypatch.setenv("BLIP_READ_ROOTS", "")
    images = pd.Series([f"{doors}/images/x.png"])
    monkeypatch.setattr(batches, "model_of", lambda settings: load(f"{doors}/models/good"))
    with pytest.raises(sources.ClosedError, match="BLIP_READ_ROOTS names no folder"):
        list(worker.try_blip_image_embed(iter([images])))
    monkeypatch.setenv("BLIP_READ_ROOTS", f"{doors}/models")
    assert [list(batch) for batch in worker.try_blip_image_embed(iter([images]))] == [[None]]


def test_forged_patch_features_are_refused(doors):
    blip = load(f"{doors}/models/good")
    rows, width = blip.features_shape
    whole = np.ones((rows, width), np.float32)
    blob = bytearray(blip.pack(whole))
    assert (batches.loaded(bytes(blob), blip).numbers() == whole).all()
    with pytest.raises(ImageError, match=f"^patch features of 3 x 5: expected {rows} x {width}, as the model has$"):
        batches.loaded(blip.pack(whole[:3, :5]), blip)
    blob[-2:] = np.float16("nan").tobytes()
    with pytest.raises(ImageError, match="expected numbers, got infinity or NaN among them"):
        batches.loaded(bytes(blob), blip)


def test_a_long_text_is_cut_and_said_once(doors, capfd):
    blip = load(f"{doors}/models/good")
    tokens.say_cut.cache_clear()
    cut = blip.embed_texts(["car " * 33])
    assert capfd.readouterr().err == ""
    for _ in range(2):
        np.testing.assert_allclose(blip.embed_texts(["car " * 90_000]), cut, rtol=0, atol=1e-6)
    assert capfd.readouterr().err == "blip_udfs: a text of more than 35 tokens is cut to them, as BLIP does\n"


def test_many_texts_are_scored_in_parts_and_in_order(doors):
    blip = load(f"{doors}/models/good")
    features = blip.features(np.zeros((1, 32, 32, 3), np.uint8))[0]
    texts = [None if i % 50 == 7 else f"a car {'and a bus ' * (i % 9)}" for i in range(150)]
    got = batches.probabilities(blip, Settings.of_task(), features, texts)
    wanted = [text for text in texts if text is not None]
    expected = iter(blip.match_probability(blip.itm_logits_of_many(features, wanted)))
    assert [each is None for each in got] == [text is None for text in texts]
    np.testing.assert_allclose([each for each in got if each is not None], list(expected), atol=1e-6)


def test_limits_that_are_no_numbers_say_so(monkeypatch):
    monkeypatch.setenv("BLIP_MAX_TEXT_CHARACTERS", "-1")
    with pytest.raises(ValueError, match="^BLIP_MAX_TEXT_CHARACTERS = '-1': expected a whole number; unset it for 100"):
        batches.checked_text("a car")
