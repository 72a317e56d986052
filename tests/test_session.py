"""Settings: defaults, what is accepted, what the errors say."""

import subprocess
import sys

import pytest

from blip_udfs.spark.settings import SETTINGS, Settings


def settings(**given: str) -> Settings:
    return Settings.read({f"spark.blip.{key.replace('_', '.')}": value for key, value in given.items()}.get)


def test_defaults():
    expected = Settings(model="demo", device="auto", dtype="auto", backend="torch", batch_size=None, itm_token="enc")
    assert settings() == expected
    assert Settings.of_task() == settings()


def test_values_reach_their_fields():
    given = settings(model="/m", device="CPU", dtype="bfloat16", backend="OpenVINO", batchSize="7", itm_token="cls")
    assert given == Settings(
        model="/m", device="cpu", dtype="bfloat16", backend="openvino", batch_size=7, itm_token="cls"
    )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batchSize", "0", "spark.blip.batchSize = '0': expected auto or a whole number of images, 1 or more"),
        ("batchSize", "many", "SET spark.blip.batchSize = auto mends it"),
        ("device", "tpu", "spark.blip.device = 'tpu': expected one of auto, cpu, cuda, mps"),
        ("backend", "onnx", "spark.blip.backend = 'onnx': expected one of torch, openvino"),
        ("itm.token", "dec", "spark.blip.itm.token = 'dec': expected one of enc, cls"),
        ("search.candidates", "-1", "expected a whole number of rows, 0 for all"),
        ("filter.recall", "1.1", "expected a share above 0, 1 for all rows"),
        ("filter.confidence", "sure", "expected a share above 0 and below 1"),
    ],
)
def test_errors_name_the_key_the_value_and_the_mend(key, value, message):
    setting = next(each for each in SETTINGS if each.key == f"spark.blip.{key}")
    with pytest.raises(ValueError) as error:
        setting.read(value)
    assert message in str(error.value)


def test_an_import_loads_nothing_that_a_connect_client_lacks():
    lacking = "torch transformers tokenizers safetensors PIL cachetools jinja2 click rich sqlglot"
    code = (
        "import sys, blip_udfs, blip_udfs.functions; "
        f"sys.exit(' '.join(name for name in '{lacking}'.split() if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_import_and_catalog_load_no_model_code():
    code = (
        "import sys, blip_udfs, blip_udfs.functions; from blip_udfs.spark.catalog import manifest; manifest(); "
        "sys.exit(' '.join(name for name in ('torch', 'transformers', 'jinja2') if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
