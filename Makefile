# Each target is a command that README.md also shows in its plain form.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: setup setup-dev demo test chaos lint docs notebooks check-install check-container clean

setup: $(VENV)/ready

setup-dev: $(VENV)/ready-dev

$(VENV)/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: setup
	rm -rf demo
	$(PY) -m utils.demo demo
	$(PY) sort_data.py experiments/demo.toml || [ $$? -eq 3 ]  # 3: done, but broken files were left out
	$(PY) spec.py experiments/demo.toml || [ $$? -eq 3 ]
	$(PY) evaluate.py experiments/demo.toml || [ $$? -eq 3 ]
	$(PY) submission_monophone.py experiments/demo.toml || [ $$? -eq 3 ]
	$(PY) submission_soundscape.py experiments/demo.toml || [ $$? -eq 3 ]

test: setup-dev
	$(PY) -m pytest -n auto --dist loadfile

chaos: setup-dev  # half an hour or more; with KILLS=100, each stage is killed 100 times
	$(PY) -m pytest -m chaos -n auto tests/chaos tests/untrusted

lint: setup-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: setup-dev  # the site in build/docs/; warnings, such as links that lead nowhere, are errors
	$(PY) -m sphinx -E -W --keep-going -q -b html -D nb_execution_mode=$(or $(NOTEBOOKS),off) -d build/docs-cache docs build/docs
	@echo "build/docs/index.html"

notebooks: setup-dev  # some minutes; notebooks and tutorials, each in a temporary folder; an error in one is one here
	$(PY) -m pytest -m notebooks tests/test_notebooks.py tests/test_tutorials.py

check-install:  # some minutes, with network: the wheel in an environment of its own, the demo there, and each extra
	$(PYTHON) -m install.check

check-container:  # as root, with network, podman and debootstrap: the image on a stand-in of its base, the demo in it
	$(PYTHON) -m install.container

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .mypy_cache .hypothesis
