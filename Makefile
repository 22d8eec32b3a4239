# Every target sets up what it needs; `make setup` is redone only when the dependency files change.
PYTHON ?= python3
BIN := .venv/bin

export URGENCY_STORAGE

.PHONY: demo test quick fuzz coverage dev setup check bench docs

demo: setup   ## write a synthetic input and run both pipelines on it, from ZIP to report
	$(BIN)/urgency-dagster demo --storage storage/demo
	@# Models set for real data would win over the demo's own.
	env -u URGENCY_SPEECH_MODEL -u URGENCY_TEXT_MODEL $(BIN)/urgency-dagster run --storage storage/demo

test: setup   ## every test, two files at a time with a thread each, files with slow tests first
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

quick: setup  ## every test that starts no process, about 6 minutes on 2 cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

INPUTS ?= 2000
SEED ?= 7

fuzz: setup   ## INPUTS damaged inputs of each kind, drawn from SEED: labels, ZIPs, recordings, pickles, Parquet, HTTP bodies
	OMP_NUM_THREADS=1 FUZZ_INPUTS=$(INPUTS) FUZZ_SEED=$(SEED) $(BIN)/python -m pytest --hypothesis-profile random --hypothesis-seed $(SEED) urgency_dagster_tests/calls/test_fuzz.py urgency_dagster_tests/attention/test_fuzz.py urgency_dagster_tests/serving/test_fuzz.py

coverage: setup  ## the lines and branches that `make quick` runs
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -m 'not slow'
	$(BIN)/coverage report

dev: setup    ## the Dagster UI with its daemon on http://127.0.0.1:3000
	@$(BIN)/urgency-dagster dev

check: setup  ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup  ## this project's way against the original's way, timed; see docs/benchmarks.md
	$(BIN)/python -m benchmarks

docs: setup   ## the documentation as a site for the browser, without a connection: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[pipelines,replicas,demo,openvino,docs,dev]'
	@# librosa compiles its functions at their first import on a machine, which takes some 20 s.
	$(BIN)/python -c 'import librosa; librosa.yin'
	touch $@
