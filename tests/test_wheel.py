"""The wheel: what is in it, and that it works installed, from an empty folder, without the checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pyspark
import pytest

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.jar", "__pycache__", "demo_output")
pytestmark = pytest.mark.slow


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    """What a command prints, with nothing of the checkout on its path."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYSPARK"))}
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, check=False, cwd=cwd, env=bare | environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"))


def built(folder: Path) -> Path:
    """Built from a copy: a build leaves folders behind."""
    shutil.copytree(ROOT, folder / "source", ignore=LEFT_OUT)
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "-w", folder)
    run(sys.executable, "-m", "pip", "wheel", *flags, "./source", cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


def requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra)", archive.read(metadata).decode(), re.MULTILINE)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment with the wheel; its dependencies are this environment's."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=wheel.parent)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=wheel.parent)
    return environment / "bin"


def test_it_holds_jar_model_scripts_templates_and_sources(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    package = ROOT / "blip_udfs"
    assert f"blip_udfs/spark/catalyst/blip-udfs_2.13-spark{pyspark.__version__}.jar" in inside
    for pattern in ("**/*.py", "VERSION", "**/*.j2", "**/*.css", "**/*.js", "**/*.sql", "**/*.scala", "demo/model/*"):
        files = [str(file.relative_to(ROOT)) for file in package.glob(pattern)]
        assert files and inside.issuperset(files), pattern
    scripts = [f"blip_udfs/sql/{script.name}" for script in (ROOT / "sql").glob("*.sql")]
    assert len(scripts) >= 3 and inside.issuperset(scripts)
    assert {f"blip_udfs/sql/databricks/{name}" for name in ("unity_catalog.sql", "search.sql", "init.sh")} <= inside
    assert not [name for name in inside if name.startswith(("tests/", "notebooks/"))]


def test_it_requires_no_pyspark_which_the_extra_brings(wheel):
    assert "pyspark" not in requirements(wheel) and "torch" in requirements(wheel)
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        assert re.search(
            r"^Requires-Dist: pyspark>=3\.5; extra == .spark.$", archive.read(metadata).decode(), re.MULTILINE
        )


def test_it_answers_sql_from_an_empty_folder(installed, tmp_path):
    where = run(installed / "python", "-c", "import blip_udfs; print(blip_udfs.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    query = "SELECT blip_model(), size(blip_text_embed('a bus'))"
    printed = run(installed / "blip-udfs", "sql", "--warehouse", "store", "-e", query, cwd=tmp_path)
    name, numbers = printed.strip().splitlines()[-1].split("\t")
    assert name.startswith("demo@") and numbers == "64"
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_its_jar_is_not_compiled_again(installed, tmp_path):
    printed = run(
        installed / "python", "-m", "blip_udfs.spark.catalyst.build", cwd=tmp_path, PATH="/nowhere", JAVA_HOME=""
    )
    assert Path(printed.strip()).is_relative_to(installed.parent)


@pytest.mark.endurance
def test_its_scripts_search_a_drawn_tree(installed, once_tree, tmp_path):
    code = "from blip_udfs.spark import scripts; print(scripts.path('3_search.sql').parent)"
    scripts = Path(run(installed / "python", "-c", code, cwd=tmp_path).strip())
    flags = ("--warehouse", "store", "-d", f"root={once_tree}", "--conf", "spark.log.level=ERROR", "-f")
    for script in ("1_images.sql", "2_embeddings.sql", "3_search.sql"):
        printed = run(installed / "blip-udfs", "sql", *flags, scripts / script, cwd=tmp_path)
    rows = [line.split("\t") for line in printed.splitlines()]
    assert sum(len(row[0]) == 6 and row[0].isdigit() for row in rows) == 4 * 3  # of four statements, three drives each
    found = [" ".join(row[:2]) for row in rows if row[0] in ("trucks", "buses")]
    assert found == ["trucks 1", "trucks 2", "buses 1", "buses 2"]
    (count,) = rows[-1]
    assert int(count) <= 48  # frames of the tree
