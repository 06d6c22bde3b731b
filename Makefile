# Everything here sets up .venv by itself. PYTHON=python3.12 make ... takes another interpreter.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test slow chaos browser cluster cluster-full gpu bench check format clean

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "finegrid needs Python 3.11 or newer; try: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/python train.py -m model=resnet18,resnet50 sweep.name=demo
	$(BIN)/python -m analysis.report outputs/demo --html outputs/demo.html --format csv > outputs/demo.csv

test: install
	$(BIN)/python -m pytest

# Slow tests, by their marker: exports and soups, kills at random, Chromium (apt-get install chromium), a CUDA device, accuracy over seeds
slow chaos browser bench: install
	$(BIN)/python -m pytest -n 2 --timeout 900 -m $@

# One at a time: some fill the device. Then a short table of training speeds, and the table that the project began with, for
# 1 and 4 of its 100 epochs. Meant to take 8 minutes at most, which has not been measured
gpu: install
	$(BIN)/python -m pytest -n 0 --timeout 900 -m $@
	$(BIN)/python -m benchmarks.training --models resnet18 --batches 16 --repeats 1 --rows tuned ceiling ceiling-free --no-lab2
	$(BIN)/python -m benchmarks.lab2 --epochs 1 4

# Ray, Slurm (apt-get install slurm-wlm munge), PostgreSQL (apt-get install postgresql): what is missing is skipped.
# Networks of their own take root. `cluster` is what .ci/run runs, `cluster-full` the rest, which takes minutes a test
cluster cluster-full: install .venv/engines
	$(BIN)/python -m pytest -n 2 --timeout 900 -m $(subst -,_,$@)

# One at a time: without Ray's wheel, say, the others are tested still
.venv/engines: .venv/installed
	for extra in postgres ray; do \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$$extra]" || \
	    { echo "finegrid[$$extra] could not be installed: its tests will be skipped" >&2; failed=1; }; \
	done; test -n "$$failed" || touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build *.egg-info
