# One file for the things people type. `make demo` and `make test` need nothing but Python >= 3.11.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TORCH  ?= torch==2.13.0
OUT    ?= runs/demo

.PHONY: help setup demo test test-all check format docs bench clean

help:
	@echo "make demo      install, run the main job on the embedded cohort, say where the report is"
	@echo "make test      install, run the quick suite"
	@echo "make test-all  every test, the slow ones too"
	@echo "make check     lint and types"
	@echo "make docs      run the examples of the documentation"
	@echo "make bench     the benchmarks of benchmarks/ (long)"

# torch comes first and alone, pinned: asked for by another package it would bring gigabytes of CUDA.
$(BIN)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

setup: $(BIN)/.installed

demo: setup
	$(BIN)/scanwright demo --out $(OUT)

test: setup
	$(BIN)/python -m pytest -m "not slow"

test-all: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

docs: setup
	$(BIN)/python -m pytest --doctest-glob='*.md' docs tests/e2e/test_notebook.py

bench: setup
	$(BIN)/python benchmarks/speed/read_series.py
	$(BIN)/python benchmarks/quality/cohorts.py

clean:
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache
