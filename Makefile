# Every target makes its own environment the first time (.venv, from the exact versions in requirements.lock)
# and is quick the second.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= demo_output
# without data, and without what is rendered from other sources
SOURCES = $(shell find blip_udfs conf notebooks sql tests setup.py Makefile README.md -type f \
  ! -name '*.ipynb' ! -name '*.jar' ! -name '*.jpg' ! -name '*.png' ! -name '*.pyc' ! -path 'blip_udfs/demo/model/*' \
  ! -path 'tests/blip_reference/*' ! -path 'tests/once/*' ! -path sql/README.md ! -path sql/databricks/unity_catalog.sql)

.PHONY: setup java wheel demo test slow endurance lakes matrix reference lint bench gpu notebooks clean

setup: java $(READY) ## environment and extension jar
	@$(BIN)/python -m blip_udfs.spark.catalyst.build

$(READY): requirements.lock setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or newer is needed, $$($(PYTHON) --version) found; name another: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

java: ## Spark needs Java 17 or newer: install it where that is possible, else say what to install
	@version=$$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'); \
	if [ "$${version:-0}" -ge 17 ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Java 17 not found: installing openjdk-17-jre-headless"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openjdk-17-jre-headless >/dev/null; \
	else \
	  echo "Spark needs Java 17 or newer, found: $${version:-none}."; \
	  echo "Install it (Debian, Ubuntu: sudo apt-get install openjdk-17-jre-headless; macOS: brew install openjdk@17)"; \
	  echo "and put java on the PATH."; exit 1; \
	fi

wheel: setup ## one wheel with the extension's jars for the last release of each Spark, and for SPARKS="folder ...", into dist/
	$(BIN)/python -m blip_udfs.spark.catalyst.released $(SPARKS)
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist .

demo: setup ## draw an ONCE tree, embed it, search it with SQL, show the pictures
	$(BIN)/blip-udfs demo --out $(OUT)

test: setup ## all tests but the slow ones, whole files in two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile

slow: setup ## the tests that take a minute, in two processes: servers, clusters, the demo
	$(BIN)/python -m pytest -m "slow and not endurance" -n 2 --dist loadfile --no-loadscope-reorder

endurance: setup ## kills, load, scale and 500 random plans: hours
	$(BIN)/python -m pytest -m endurance
	BLIP_PLANS=500 $(BIN)/python -m pytest -m slow tests/test_random_plans.py

lakes: setup ## Iceberg on Spark 3.5, and Delta where LAKE_JARS names its jars: the job, the cascade, branches
	$(BIN)/python -m tests.lakes

matrix: setup ## on every Spark from 3.5 to 4.3: compile, link, a choice of tests, the same rows
	$(BIN)/python -m tests.matrix

reference: setup ## run the examples of sql/functions, write their results beside them, and sql/README.md
	$(BIN)/python -m blip_udfs.reference.build

lint: setup ## style, types, long files, repeated lines, and that the reference says what is so
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@wc -l $(SOURCES) | awk '$$2 != "total" && $$1 > 400 {print $$2 ": " $$1 " lines, expected at most 400"; long = 1} \
	  END {exit long}'
	@found=$$($(BIN)/symilar --duplicates 10 --ignore-comments --ignore-docstrings $(filter-out %.md,$(SOURCES))); \
	  [[ "$$found" == *" duplicates=0 "* ]] || { echo "$$found"; echo "expected no 10 lines to be in two places"; exit 1; }
	$(BIN)/python -m blip_udfs.reference.build --check

bench: setup ## measure beside the alternatives and put the table into the page of figures
	$(BIN)/blip-udfs bench --page blip_udfs/measure/README.md

gpu: ## on a machine with an NVIDIA GPU: in .venv-gpu, with a CUDA torch, its parity, speed, memory and use
	@nvidia-smi -L 2>/dev/null | grep -q '^GPU ' \
	  || { echo "make gpu: expected an NVIDIA GPU, 'nvidia-smi -L' lists none; nothing was installed"; exit 2; }
	@$(MAKE) --no-print-directory VENV=.venv-gpu setup
	.venv-gpu/bin/blip-udfs bench gpu --work gpu_output

notebooks: demo ## run them over the demo's tree and keep their outputs
	$(BIN)/python notebooks/run.py

clean: ## all that make and the demo made
	rm -rf $(VENV) .venv-gpu $(OUT) gpu_output build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache blip_udfs/spark/catalyst/*.jar
