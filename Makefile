# Each target is a command that README.md also shows in its plain form.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: setup demo test chaos lint clean

setup: $(VENV)/ready

$(VENV)/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

demo: setup
	rm -rf demo
	$(PY) -m utils.demo demo
	$(PY) sort_data.py experiments/demo.toml || [ $$? -eq 3 ]  # 3: done, but broken files were left out
	$(PY) spec.py experiments/demo.toml || [ $$? -eq 3 ]
	$(PY) evaluate.py experiments/demo.toml || [ $$? -eq 3 ]
	$(PY) submission_monophone.py experiments/demo.toml || [ $$? -eq 3 ]
	$(PY) submission_soundscape.py experiments/demo.toml || [ $$? -eq 3 ]

test: setup
	$(PY) -m pytest -n auto --dist loadfile

chaos: setup  # half an hour and more; KILLS=100 kills each stage so often
	$(PY) -m pytest -m chaos -n auto tests/chaos tests/untrusted

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .mypy_cache .hypothesis
