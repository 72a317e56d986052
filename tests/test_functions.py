"""Every SQL function through SQL, against the model called directly."""

import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from pyspark.errors import PythonException
from pyspark.sql import functions as F

from blip_udfs import functions as BF
from blip_udfs.blip.model import load
from blip_udfs.files.images import pixels
from blip_udfs.spark import pages
from blip_udfs.spark.catalog import CATALOG
from tests.odd_images import ODD_IMAGES
from tests.tiny_model import make

TEXTS = ["a car on the highway", "a truck at night", "a bus in the rain"]


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((96, 64)).save(out, "PNG")
    return out.getvalue()


IMAGES = [picture(seed) for seed in range(7)]


@pytest.fixture(scope="module")
def model(tiny_model):
    return load(str(tiny_model))


@pytest.fixture(scope="module")
def pixel_rows(model):
    return np.stack([pixels(image, model.image_size) for image in IMAGES])


@pytest.fixture(autouse=True)
def table(spark, use_model):
    rows = [(index, bytearray(image), TEXTS[index % 3]) for index, image in enumerate(IMAGES)]
    spark.createDataFrame(rows, "id INT, image BINARY, text STRING").repartition(2).createOrReplaceTempView("t")


def column(spark, expression: str) -> list:
    return [row[0] for row in spark.sql(f"SELECT {expression} FROM t ORDER BY id").collect()]


def logits(model, pixel_rows, texts, token="enc"):
    return model.itm_logits(model.features(pixel_rows), texts, token)


def softmax(two: np.ndarray) -> np.ndarray:
    wide = two.astype(np.float64)
    return 1 / (1 + np.exp(wide[:, 0] - wide[:, 1]))


def check_image_embed(spark, model, pixel_rows, name):
    np.testing.assert_allclose(column(spark, f"{name}(image)"), model.embed_images(pixel_rows), atol=1e-6)


def check_text_embed(spark, model, pixel_rows, name):
    expected = model.embed_texts([TEXTS[index % 3] for index in range(7)])
    np.testing.assert_allclose(column(spark, f"{name}(text)"), expected, atol=1e-6)


def check_itm(spark, model, pixel_rows, name):
    expected = softmax(logits(model, pixel_rows, [TEXTS[index % 3] for index in range(7)]))
    np.testing.assert_allclose(column(spark, f"{name}(image, text)"), expected, atol=1e-6)
    same_text = softmax(logits(model, pixel_rows, [TEXTS[0]] * 7))
    np.testing.assert_allclose(column(spark, f"{name}(image, '{TEXTS[0]}')"), same_text, atol=1e-6)
    assert np.ptp(same_text) > 0.01  # the rows do differ


def check_itm_logit(spark, model, pixel_rows, name):
    expected = logits(model, pixel_rows, [TEXTS[1]] * 7)[:, 1]
    np.testing.assert_allclose(column(spark, f"{name}(image, '{TEXTS[1]}')"), expected, atol=1e-5)


def check_itm_many(spark, model, pixel_rows, name):
    got = column(spark, f"{name}(image, array('{TEXTS[0]}', NULL, '{TEXTS[2]}'))")
    assert [row[1] for row in got] == [None] * 7
    for place, text in ((0, TEXTS[0]), (2, TEXTS[2])):
        expected = softmax(logits(model, pixel_rows, [text] * 7))
        np.testing.assert_allclose([row[place] for row in got], expected, atol=1e-6)


def check_image_features(spark, model, pixel_rows, name):
    """Stored features give what the image gives, to half precision, whichever function takes them."""
    for call in ("blip_itm({}, text)", "blip_image_embed({})", "blip_itm_many({}, array(text))"):
        direct = column(spark, call.format("image"))
        stored = column(spark, call.format(f"{name}(image)"))
        np.testing.assert_allclose(stored, direct, atol=5e-3)
        assert stored != direct


def check_model(spark, model, pixel_rows, name):
    assert set(column(spark, f"{name}()")) == {model.label}
    assert re.fullmatch(r"tiny@[0-9a-f]{12}", model.label)


def check_image_error(spark, model, pixel_rows, name):
    assert column(spark, f"{name}(image)") == [None] * 7
    assert "4 bytes" in spark.sql(f"SELECT {name}(CAST('oops' AS BINARY))").first()[0]


def check_similarity(spark, model, pixel_rows, name):
    images, texts = model.embed_images(pixel_rows), model.embed_texts([TEXTS[index % 3] for index in range(7)])
    expected = (images * texts).sum(axis=1)
    np.testing.assert_allclose(
        column(spark, f"{name}(blip_image_embed(image), blip_text_embed(text))"), expected, atol=1e-6
    )
    assert np.ptp(expected) > 0.01
    assert column(spark, f"{name}(array(1F, NULL), array(1F, 2F))") == [None] * 7
    with pytest.raises(Exception, match=f"{name}.*2 .*3"):
        column(spark, f"{name}(array(1F, 2F), array(1F, 2F, 3F))")


CHECKS = {
    "blip_image_embed": check_image_embed,
    "try_blip_image_embed": check_image_embed,
    "blip_text_embed": check_text_embed,
    "blip_itm": check_itm,
    "try_blip_itm": check_itm,
    "blip_itm_logit": check_itm_logit,
    "try_blip_itm_logit": check_itm_logit,
    "blip_itm_many": check_itm_many,
    "try_blip_itm_many": check_itm_many,
    "blip_image_features": check_image_features,
    "try_blip_image_features": check_image_features,
    "blip_similarity": check_similarity,
    "blip_model": check_model,
    "blip_image_error": check_image_error,
}


@pytest.mark.parametrize("name", CHECKS)
def test_function_through_sql(spark, model, pixel_rows, name):
    CHECKS[name](spark, model, pixel_rows, name)


def test_read_once_gives_the_rows_of_its_python_twin(spark, once_tree):
    from blip_udfs import read_once

    through_sql = spark.sql(f"SELECT * FROM read_once('{once_tree}')")
    assert through_sql.count() == 48
    assert sorted(map(str, through_sql.collect())) == sorted(map(str, read_once(spark, str(once_tree)).collect()))


def test_registered_documented_and_tested_are_the_same_set(spark):
    catalog = {function.name for function in CATALOG}
    shown = spark.sql("SHOW FUNCTIONS LIKE '*blip*'").collect() + spark.sql("SHOW FUNCTIONS LIKE 'read_once'").collect()
    assert {row[0] for row in shown} == catalog
    assert set(pages.names()) == catalog
    assert {*CHECKS, "read_once", "blip_search"} == catalog  # the latter two: test_once.py, test_search.py


def test_an_active_session_does_not_change_what_the_jar_is_made_from(spark):
    """Spark would else make it an Arrow function there: another manifest, and the jar would be compiled anew."""
    (blip_model,) = (function for function in CATALOG if function.name == "blip_model")
    assert blip_model.manifest()["evalType"] == 100  # SQL_BATCHED_UDF, which has moved between Sparks


@pytest.mark.parametrize("function", [f for f in CATALOG if f.kind == "scalar" and f.parameters], ids=lambda f: f.name)
def test_null_in_null_out(spark, function):
    name, parameters = function.name, [parameter.name for parameter in function.parameters]
    values = {"image": "image", "text": "text", "texts": "array(text)", "a": "array(1F)", "b": "array(1F)"}
    types = {"image": "BINARY", "text": "STRING", "texts": "ARRAY<STRING>", "a": "ARRAY<FLOAT>", "b": "ARRAY<FLOAT>"}
    for null in parameters:
        arguments = [f"CAST(NULL AS {types[p]})" if p == null else values[p] for p in parameters]
        assert column(spark, f"{name}({', '.join(arguments)})") == [None] * 7


def test_dataframe_functions_give_what_sql_gives(spark):
    df = spark.table("t")
    python = df.select("id", BF.blip_itm("image", TEXTS[0]), BF.blip_itm_many(df.image, TEXTS), BF.blip_model())
    sql = spark.sql(
        f"SELECT id, blip_itm(image, '{TEXTS[0]}'), blip_itm_many(image, array{tuple(TEXTS)}), blip_model() FROM t"
    )
    assert sorted(python.collect()) == sorted(sql.collect())
    by_column = df.select(BF.blip_itm("image", F.col("text"))).collect()
    assert sorted(by_column) == sorted(spark.sql("SELECT blip_itm(image, text) FROM t").collect())
    with pytest.raises(TypeError, match=re.escape("blip_itm(image, text): missing a required argument: 'text'")):
        BF.blip_itm("image")


def test_path_and_bytes_give_the_same(spark, tmp_path):
    (tmp_path / "with space 100%.png").write_bytes(IMAGES[0])
    path = spark.read.format("binaryFile").load(str(tmp_path)).select("path", "content")
    row = path.select(BF.blip_image_embed("path"), BF.blip_image_embed("content")).first()
    assert row[0] == row[1]


def test_settings_take_effect_per_query(spark, model, pixel_rows, tmp_path):
    cls = softmax(logits(model, pixel_rows, [TEXTS[0]] * 7, "cls"))
    spark.sql("SET spark.blip.itm.token = cls")
    spark.sql("SET spark.blip.batchSize = 2")
    np.testing.assert_allclose(column(spark, f"blip_itm(image, '{TEXTS[0]}')"), cls, atol=1e-6)
    spark.sql("RESET spark.blip.itm.token")
    spark.sql("RESET spark.blip.batchSize")
    enc = column(spark, f"blip_itm(image, '{TEXTS[0]}')")
    assert np.abs(np.array(enc) - cls).max() > 1e-4
    other = make(tmp_path / "other", seed=1)
    spark.sql(f"SET spark.blip.model = {other}")
    assert set(column(spark, "blip_model()")) == {load(str(other)).label}


def test_features_of_another_model_are_refused(spark, model, tmp_path):
    stored = spark.sql("SELECT id, text, blip_image_features(image) AS image FROM t").collect()
    spark.createDataFrame(stored, "id INT, text STRING, image BINARY").createOrReplaceTempView("stored")
    other = make(tmp_path / "other", seed=1)
    spark.conf.set("spark.blip.model", str(other))
    with pytest.raises(PythonException) as error:
        spark.sql("SELECT blip_itm(image, text) FROM stored").collect()
    assert model.digest in str(error.value) and load(str(other)).digest in str(error.value)
    assert spark.sql("SELECT try_blip_itm(image, text) FROM stored").collect() == [(None,)] * 7


def test_an_unusable_setting_says_so(spark):
    spark.conf.set("spark.blip.batchSize", "none")
    try:
        with pytest.raises(PythonException, match="spark.blip.batchSize = 'none': expected auto or a whole number"):
            column(spark, "blip_image_embed(image)")
    finally:
        spark.conf.unset("spark.blip.batchSize")


def test_odd_images_through_sql(spark, model):
    """Each odd image gives its value or its error; the other rows and the job are unharmed."""
    rows = [(odd.name, None if odd.data is None else bytearray(odd.data)) for odd in ODD_IMAGES]
    odd = spark.createDataFrame(rows, "name STRING, image BINARY").repartition(3)
    odd = odd.select(
        "name", BF.try_blip_image_embed("image"), BF.try_blip_itm("image", TEXTS[0]), BF.blip_image_error("image")
    )
    got = {row[0]: row[1:] for row in odd.collect()}
    assert len(got) == len(ODD_IMAGES) >= 40
    for each in ODD_IMAGES:
        embedding, score, error = got[each.name]
        if each.data is None:
            assert (embedding, score, error) == (None, None, None)
        elif each.error is not None:
            assert (embedding, score) == (None, None) and re.search(each.error, error), (each.name, error)
        else:
            expected = model.embed_images(pixels(each.data, model.image_size)[None])[0]
            np.testing.assert_allclose(embedding, expected, atol=1e-6, err_msg=each.name)
            assert error is None and 0 < score < 1


def test_patch_features_beyond_half_precision_are_null_under_try_and_name_the_mend(spark, tiny_model, tmp_path):
    from safetensors.torch import load_file, save_file

    large = shutil.copytree(tiny_model, tmp_path / "large")
    weights = load_file(large / "model.safetensors")
    weights["vision_model.post_layernorm.weight"] *= 1e6
    save_file(weights, large / "model.safetensors")
    spark.conf.set("spark.blip.model", str(large))
    assert column(spark, "try_blip_image_features(image)") == [None] * len(IMAGES)
    assert None not in column(spark, "blip_image_embed(image)")
    with pytest.raises(PythonException, match="patch features exceed half precision .*score images instead"):
        column(spark, "blip_image_features(image)")
    pair = "SELECT try_blip_image_features(image) f, try_blip_image_embed(image) e FROM t WHERE id < 2"  # one call
    assert [(row.f, row.e is None) for row in spark.sql(pair).collect()] == [(None, False)] * 2


@pytest.mark.parametrize("odd", [odd for odd in ODD_IMAGES if odd.error][:3], ids=lambda odd: odd.name)
def test_a_bad_image_raises_its_error(spark, odd):
    bad = spark.createDataFrame([(bytearray(odd.data),)], "image BINARY")
    with pytest.raises(PythonException, match=odd.error):
        bad.select(BF.blip_image_embed("image")).collect()
