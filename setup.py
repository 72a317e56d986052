"""Package definition. Every dependency says why it is here."""

import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the build asks the package for its jars
VERSION = (HERE / "blip_udfs" / "VERSION").read_text().strip()

REQUIRES = [
    "torch>=2.6",  # runs BLIP; the lock has the version with which results are compared to 1e-5
    "transformers>=5.0",  # BLIP's configuration, weights loading, tokenizer; the reference in tests
    "tokenizers>=0.20",  # the WordPiece tokenizer itself (transformers calls it)
    "safetensors>=0.4",  # weights files that are mapped, shared between workers and never run code
    "pandas>=2.2,<3",  # the series that Spark hands to the functions; pyspark does not support pandas 3 yet
    "pyarrow>=18.0",  # Arrow between JVM and worker; file systems for images named by path
    "numpy>=1.26",  # pixels and vectors
    "pillow>=11.0",  # decodes images, resizes them as BLIP's own processor does, draws the demo
    "cachetools>=5.3",  # the bounded caches of a worker: models, encoded texts
    "click>=8.1",  # the command line
    "rich>=13.0",  # progress bars and tables in the terminal
    "sqlglot>=30.30",  # finds where each statement of a SQL script ends; tests parse Databricks' SQL with it
    "jinja2>=3.1",  # the gallery page, escaped; the SQL reference
]

SPARK = [  # only where no Spark is yet: a cluster's, or a distribution's, must not be replaced by pip's
    "pyspark>=3.5",  # the engine: SQL, readers, workers, spark-sql, beeline, the Scala compiler for the extension
]

CONNECT = [  # only for users whose session is Spark Connect: pyspark's own requirements for its client
    "grpcio>=1.67",
    "grpcio-status>=1.67",
    "googleapis-common-protos>=1.65",
    "zstandard>=0.25",
]

OPENVINO = ["openvino>=2026.0"]  # only for SET spark.blip.backend = openvino: a faster vision encoder on CPUs

BENCH = [  # only for `blip-udfs bench`
    "psutil>=5.9",  # which processes are workers, and their private memory
    *OPENVINO,  # one of the ways that `bench embed` compares
]

PEERS = [  # only for `blip-udfs bench peers`: what people would use instead
    "daft>=0.7",  # a class UDF around transformers, and around this package's engine
    "ray[data]>=2.50",  # the same as actors
    "duckdb>=1.4",  # vectors in the same Parquet, scanned
    "lancedb>=0.25",  # the same vectors in its own format, scanned and by its index
]

PLOTS = ["matplotlib>=3.9"]  # only for `blip-udfs evaluate` and plots in notebooks

DEV = [
    "pytest>=8.0",  # tests
    "pytest-xdist>=3.8",  # `make test` in two processes: a session's planning keeps one core busy, not two
    "ruff>=0.8",  # lint and format
    "mypy>=1.13",  # types
    "import-linter>=2.11",  # keeps the order of the rooms
    "pylint>=4.0",  # its symilar finds lines that are in two places
    "nbclient>=0.10",  # executes the notebooks in tests
    "nbformat>=5.10",  # reads and writes them
    "ipykernel>=6.29",  # the kernel that they run in
    "hypothesis>=6.100",  # property tests
    "psutil>=6.0",  # memory of a server's processes in the load test
    "moto[s3]>=5.2",  # an S3 store on loopback, from which images are read
    "flask>=3.1",  # moto's server; its extra `server` would bring what all other services of a cloud need
    "flask-cors>=6.0",  # the same
]


class BuildWithJar(build_py):
    """Puts the SQL scripts and the extension's jars into the wheel: those that `make wheel` made, else that for the
    Spark that is there; where neither is, the jar is compiled where the wheel is installed."""

    def run(self) -> None:
        if not self.editable_mode and not list((HERE / "blip_udfs/spark/catalyst").glob("*.jar")):
            try:
                from blip_udfs.spark.catalyst.build import jar

                jar()
            except (ImportError, RuntimeError) as error:
                sys.stderr.write(f"the wheel will have no jar: {error}\n")
        super().run()
        if not self.editable_mode:
            shutil.copytree(HERE / "sql", Path(self.build_lib) / "blip_udfs" / "sql", dirs_exist_ok=True)


setup(
    name="blip-udfs",
    version=VERSION,
    description="BLIP image-text search as Spark SQL functions",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["blip_udfs", "blip_udfs.*"]),
    include_package_data=True,
    package_data={
        "blip_udfs": ["VERSION"],
        "blip_udfs.files": ["*.sql"],
        "blip_udfs.results": ["*.j2", "*.css", "*.js"],
        "blip_udfs.reference": ["*.j2"],
        "blip_udfs.spark": ["*.properties"],
        "blip_udfs.spark.catalyst": ["*.scala", "*.jar", "shims/*.scala", "shims/*/*.scala"],
        "blip_udfs.demo": ["*.j2", "model/*"],
    },
    install_requires=REQUIRES,
    extras_require={
        "spark": SPARK,
        "connect": CONNECT,
        "plots": PLOTS,
        "bench": BENCH,
        "openvino": OPENVINO,
        "peers": PEERS,
        "dev": DEV + SPARK + CONNECT + PLOTS + BENCH,
    },
    cmdclass={"build_py": BuildWithJar},
    entry_points={"console_scripts": ["blip-udfs=blip_udfs.cli:main"]},
)
