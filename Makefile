# Two targets do everything: `make demo` and `make test`. Each sets up what it needs; a second call is quick.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
# One thread a process: tests run side by side, and equal thread counts give equal bits.
ONE_THREAD := OMP_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/pytest -n $(JOBS)
DEMO_DATA := build/wheel_demo.h5
DEMO_RUN := runs/wheel_demo

.PHONY: help demo test test-all lint format bench docs numbers lock clean

help:  ## Say what each target does.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv .venv

# The stamps are newer than what they depend on, so that an environment is made once.
.venv/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet -c constraints.txt -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/pip install --quiet -c constraints.txt -e ".[docs]"
	@touch $@

demo: $(DEMO_RUN)/manifest.json  ## Data, training, maps and a report, end to end, in less than ten minutes.
	$(BIN)/ram explain $(DEMO_RUN) --target umbrella --samples 5 --output build/wheel_demo_maps.h5
	@echo
	$(BIN)/ram report $(DEMO_RUN)

$(DEMO_RUN)/manifest.json: experiments/wheel_demo.toml | $(DEMO_DATA)
	@rm -rf $(DEMO_RUN)
	$(BIN)/ram train experiments/wheel_demo.toml --output $(DEMO_RUN)

$(DEMO_DATA): | .venv/installed
	@mkdir -p $(@D)
	$(BIN)/ram data make datasets/wheel --samples 1000 --size 64 --seed 7 --jobs $(JOBS) --truth-test 12 --output $@

test: .venv/installed-dev  ## The test suite, less than five minutes on two cores.
	$(PYTEST) -m "not slow"

test-all: .venv/installed-dev  ## The test suite with its long proofs.
	$(PYTEST)

lint: .venv/installed-dev  ## Style, types and the order of the rooms.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-dev  ## Put the code into the one style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-dev  ## Time and memory of generation and of maps, printed.
	@for file in benchmarks/*.py; do $(ONE_THREAD) $(BIN)/python $$file; done

docs: .venv/installed-docs  ## The pages in build/site.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

numbers: .venv/installed  ## Write the results of experiments/*.json into README.md and docs.
	$(BIN)/python docs/results.py
	$(BIN)/python docs/gap_cost.py

lock: .venv/installed-dev .venv/installed-docs  ## Pin the versions that are installed now.
	$(BIN)/python docs/lock.py

clean:  ## Remove what the other targets made, the runs excepted.
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .venv
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
