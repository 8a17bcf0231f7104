# Every target makes its own environment: on a fresh machine, `make compare` is all there is to type.

PRESET ?= quick
STUDY  ?= compare
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$python && break; done)

BIN := .venv/bin
PIP  = $(BIN)/python -m pip --disable-pip-version-check
RUN  = $(BIN)/unamortized
SIZE = --preset $(PRESET) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(WORKERS),--workers $(WORKERS)) \
	$(if $(DEVICE),--device $(DEVICE)) $(if $(LOGGER),--logger $(LOGGER))
ONE_TASK  = $(or $(TASK),tasks/noisy_permutation.yaml)
ANY_TASKS = $(foreach task,$(TASK),--task $(task))

# Data sets are made here, never fetched; pyright is pinned and need not ask whether it is the newest.
export HF_HUB_OFFLINE = 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

.DEFAULT_GOAL := help
.PHONY: help setup train-amortized train-cot compare study report preview describe docs test check bench format clean

help: ## show this text
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { sub("%", "<condition>", $$1); printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  PRESET=quick|full|smoke   how much to compute (quick)"
	@echo "  TASK=tasks/….yaml         the world (noisy_permutation; for a study: the study's own)"
	@echo "  SEEDS=3  WORKERS=2        number of seeds, of runs at a time"
	@echo "  DEVICE=auto|cpu|cuda      where models train and answer (auto)"
	@echo "  LOGGER=tensorboard        also log training curves there"
	@echo "  STUDY=compare|training|worlds|pointer|locality|stride|faithfulness|law|modes|geometry|depth"
	@echo "  OVERRIDES='train.steps=500 …'   any field of the run, dotted"
	@echo "  PYTHON=…  TORCH_INDEX=…   the interpreter, and the index torch is installed from"

setup: .venv/.stamp ## install everything into .venv

train-amortized: .venv/.stamp ## train the model that answers at once
	$(RUN) train $(ONE_TASK) --condition amortized $(SIZE) $(OVERRIDES)

train-%: .venv/.stamp ## train under any condition of docs/conditions.md
	$(RUN) train $(ONE_TASK) --condition $* $(SIZE) $(OVERRIDES)

train-cot: .venv/.stamp ## train the model that writes its beliefs down first
	$(RUN) train $(ONE_TASK) --condition cot $(SIZE) $(OVERRIDES)

compare: .venv/.stamp ## the headline study: amortized against chain of thought
	$(RUN) compare $(ANY_TASKS) $(SIZE) $(OVERRIDES)

study: .venv/.stamp ## another study: make study STUDY=worlds
	$(RUN) study $(STUDY) $(ANY_TASKS) $(SIZE) $(OVERRIDES)

report: .venv/.stamp ## write results/<preset>/report.html from what has been computed
	$(RUN) report --preset $(PRESET)

preview: .venv/.stamp ## look at a world: its problems, beliefs and traces
	$(RUN) preview $(ONE_TASK)

describe: .venv/.stamp ## what a world is like, in numbers and two pictures
	$(RUN) describe $(ONE_TASK) $(OVERRIDES)

docs: .venv/.stamp ## write the tables and numbers of README and docs/ anew
	$(BIN)/python -m unamortized.documentation README.md docs/*.md

test: .venv/.interp-stamp ## run the tests, on all cores
	$(BIN)/pytest -n $(or $(WORKERS),auto) --dist worksteal

check: .venv/.stamp ## format, lint, types, floors, file lengths: what CI checks
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	@find src tests -name '*.py' -exec awk \
		'FNR == 401 { print FILENAME ": over 400 lines; it holds two ideas"; long = 1 } END { exit long }' {} +

bench: .venv/.bench-stamp ## time the hot paths beside their peers: numpy, JAX, dynamax, hmmlearn
	$(BIN)/pytest tests/benchmarks --benchmark-enable -o python_files='bench_*.py' -o python_functions='bench_* test_*'

format: .venv/.stamp ## put the code in the house format, repair what can be repaired
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove .venv and all caches; results stay
	rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# torch goes first, so that the rest finds it there and no other build of it is drawn in.
.venv/.stamp: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer, with its venv module, is needed;" \
		"install it or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing into .venv; this takes about two minutes the first time."
	@"$(PYTHON)" -m venv .venv
	@$(PIP) install -q -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@

# Other people's tools are installed only for the tests of what they open: wherever transformers is, all starts later.
.venv/.interp-stamp: .venv/.stamp
	@$(PIP) install -q -c constraints.txt -e '.[dev,interp,tensorboard]'
	@touch $@

# The peers are installed only for who wants to time them.
.venv/.bench-stamp: .venv/.stamp
	@$(PIP) install -q -c constraints.txt -e '.[dev,bench]'
	@touch $@
