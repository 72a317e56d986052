"""Stored patch features: blobs of every kind that was ever written are read, alone and mixed, by every function."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.errors import PythonException

from blip_udfs.blip.features import ImageError, header_of, pack_features, read_features, stored, unpack_features
from blip_udfs.blip.model import load
from blip_udfs.files.images import pixels
from tests.tiny_model import make

BLOBS = Path(__file__).parent / "stored_features"  # as the first version to write each kind wrote it; never rewritten
DIGEST = "0123456789ab"
TEXT = "a car on the highway"
SCALES = 32  # where int8's begin


def written() -> np.ndarray:
    """What the blobs hold, (17, 32): the tiny model's shape."""
    values = (3 * np.sin(np.arange(17 * 32))).reshape(17, 32)
    values[3] = 0
    return values


def blob(kind: str) -> bytes:
    return (BLOBS / f"{kind}.blipfeat").read_bytes()


def of(model, kind: str) -> bytes:
    """The blob as if this model had made it."""
    at = int(stored()["digest"]) - 1
    return blob(kind)[:at] + model.digest.encode() + blob(kind)[at + 12 :]


@pytest.fixture(scope="module")
def model(tiny_model):
    return load(str(tiny_model))


@pytest.mark.parametrize(("kind", "size", "off"), [("float16", 32 + 2 * 544, 1e-3), ("int8", 32 + 4 * 17 + 544, 0.012)])
def test_blobs_of_earlier_versions_stay_readable(kind, size, off):
    assert len(blob(kind)) == size
    assert header_of(blob(kind)) == (kind, 17, 32, DIGEST)
    np.testing.assert_allclose(unpack_features(blob(kind), DIGEST, (17, 32)), written(), atol=off)
    assert pack_features(written(), DIGEST, kind) == blob(kind)


def test_int8_is_half_the_bytes_and_each_patch_is_as_exact_as_its_largest_number_allows():
    base = np.random.default_rng(0).standard_normal((577, 768)) * np.geomspace(1e-4, 1e3, 577)[:, None]
    half, small = (pack_features(base, DIGEST, dtype) for dtype in ("float16", "int8"))
    assert (len(half), len(small)) == (886_304, 445_476)
    found = unpack_features(small)
    assert found.dtype == np.float32
    assert (np.abs(found - base).max(1) <= np.abs(base).max(1) / 254 * (1 + 1e-5)).all()
    assert np.abs(found).max(1) == pytest.approx(np.abs(base).max(1), rel=1e-6)
    again = pack_features(found, DIGEST, "int8")  # loses nothing more
    np.testing.assert_allclose(unpack_features(again), found, rtol=1e-6)


def test_the_smallest_and_largest_numbers_keep_their_sign_and_size():
    edge = np.array([[65504, -65504, 1], [2e-45, -1e-45, 0], [0, 0, 0]], np.float32)
    found = unpack_features(pack_features(edge, DIGEST, "int8"))
    assert found[0].tolist() == pytest.approx([65504, -65504, 0]) and not found[2].any()
    assert np.abs(found[1]).max() < 1e-42 and np.isfinite(found).all()


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("bad", [65536, -1e30, float("inf"), float("nan")])
def test_what_cannot_be_stored_says_so(dtype, bad):
    with pytest.raises(ImageError, match=r"exceed half precision \(65504\): they cannot be stored, score images"):
        pack_features(np.array([[1, bad], [0, 0]]), DIGEST, dtype)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -float("inf"), 520, -1e30])
def test_a_scale_by_which_numbers_would_not_be_finite_is_refused(scale):
    damaged = bytearray(blob("int8"))
    damaged[SCALES : SCALES + 4] = np.float32(scale).tobytes()
    with pytest.raises(
        ImageError, match="^patch features of 17 x 32: expected numbers, got infinity or NaN among them"
    ):
        read_features(bytes(damaged))


def test_other_kinds_and_lengths_are_refused():
    whole = blob("int8")
    cases = {
        whole[:-1]: "patch features of 17 x 32: expected 644 bytes, got 643",
        whole[:10] + b"\1" + whole[11:]: "patch features of 17 x 32: expected 1,120 bytes, got 644",
        whole[:10] + b"\3" + whole[11:]: r"version 1, dtype 3: expected version 1, dtype 1 \(float16\) or 2 \(int8\); ",
    }
    for broken, message in cases.items():
        with pytest.raises(ImageError, match=message):
            read_features(broken)


VALUES = ("blip_itm", "blip_itm_logit", "blip_itm_many", "blip_image_embed")


@pytest.fixture
def mixed(spark, use_model, model, once_tree):
    """Two images; the features of each as float16 and as int8; the earlier versions' blobs; in one column."""
    images = sorted(once_tree.rglob("*.jpg"))[:2]
    found = model.features(np.stack([pixels(str(image), model.image_size) for image in images]))
    rows = [(f"{at} image", bytearray(image.read_bytes())) for at, image in enumerate(images)]
    for kind in ("float16", "int8"):
        rows += [(f"{at} {kind}", bytearray(model.pack(each, kind))) for at, each in enumerate(found)]
        rows.append((f"kept {kind}", bytearray(of(model, kind))))
    spark.createDataFrame(rows, "name STRING, image BINARY").coalesce(1).createOrReplaceTempView("mixed")
    return found


def test_every_function_takes_both_kinds_in_one_batch_with_images(spark, model, mixed):
    """Against the model called with the features as they were before they were stored."""
    shown = ", ".join(f"{name}(image{text})" for name, text in zip(VALUES, TEXTS, strict=True))
    query = f"SELECT name, {shown}, blip_image_error(image) FROM mixed"
    features = {"0": mixed[0], "1": mixed[1], "kept": written().astype(np.float32)}
    for row in spark.sql(query).collect():
        whose, kind = row[0].split()
        expected = features[whose][None]
        logits = model.itm_logits(expected, [TEXT])
        chance = float(model.match_probability(logits)[0])
        off = {"image": 1e-5, "float16": 5e-3, "int8": 3e-2}[kind]
        assert row[1] == pytest.approx(chance, abs=off) and row[3] == pytest.approx([chance], abs=off), row[0]
        assert row[2] == pytest.approx(float(logits[0, 1]), abs=2 * off), row[0]
        np.testing.assert_allclose(row[4], model.embed_features(expected)[0], atol=off, err_msg=row[0])
        assert row[5] is None


TEXTS = (f", '{TEXT}'", f", '{TEXT}'", f", array('{TEXT}')", "")


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_the_setting_says_what_is_written_of_images_and_of_stored_features(spark, model, mixed, kind):
    try:
        if kind == "int8":
            spark.sql("SET spark.blip.features = int8")
        rows = spark.sql("SELECT name, blip_image_features(image), try_blip_image_features(image) FROM mixed").collect()
    finally:
        spark.sql("RESET spark.blip.features")
    features = {"0": mixed[0], "1": mixed[1], "kept": written()}
    for name, made, tried in rows:
        assert made == tried and header_of(bytes(made)) == (kind, 17, 32, model.digest)
        expected = features[name.split()[0]]
        np.testing.assert_allclose(unpack_features(bytes(made)), expected, atol=np.abs(expected).max() / 230)


def test_another_value_of_the_setting_says_which_there_are(spark, mixed):
    spark.sql("SET spark.blip.features = int4")
    try:
        with pytest.raises(PythonException, match="spark.blip.features = 'int4': expected one of float16, int8; SET"):
            spark.sql("SELECT blip_image_features(image) FROM mixed").collect()
    finally:
        spark.sql("RESET spark.blip.features")


def test_candidates_are_told_apart_by_the_digest_of_either_kind(spark, model, mixed, tmp_path):
    other = load(str(make(tmp_path / "other", seed=9)))
    vector = model.embed_texts([TEXT])[0].tolist()
    rows = [(owner.label, kind, bytearray(of(owner, kind)), vector) for owner in (model, other) for kind in KINDS]
    table = spark.createDataFrame(rows, "of STRING, kind STRING, image BINARY, embedding ARRAY<FLOAT>")
    table.write.parquet(str(tmp_path / "rows"))
    spark.read.parquet(str(tmp_path / "rows")).createOrReplaceTempView("kept_features")
    spark.conf.set("spark.blip.search.candidates", "3")
    try:
        query = f"SELECT of, kind, blip_itm(image, '{TEXT}') AS s FROM kept_features ORDER BY s DESC LIMIT 2"
        plain = spark.sql(query).collect()
        found = spark.sql(f"SELECT of, kind, score FROM blip_search('kept_features', '{TEXT}', 4, 4)").collect()
    finally:
        spark.conf.unset("spark.blip.search.candidates")
    for answer in (plain, found):
        assert {(row[0], row[1]) for row in answer} == {(model.label, kind) for kind in KINDS}


KINDS = ("float16", "int8")
