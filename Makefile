# Each command below does its own set-up: the first use makes .venv with the pinned versions of constraints.txt. test-esm
# makes .venv-esm with those of constraints-esm.txt, because the package esm asks for an older transformers; and
# test-esm-newest .venv-esm-newest with what pip gives, which is what its users have.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PYTHON312 ?= python3.12
BIN := .venv/bin
ESM_BIN := .venv-esm/bin
ESM_NEWEST_BIN := .venv-esm-newest/bin
EXAMPLE := biofm/examples/proteins.fasta
MODEL := protein-nano

# For two cores: tests in two processes of one thread.
threads = OMP_NUM_THREADS=$(1) MKL_NUM_THREADS=$(1) OPENBLAS_NUM_THREADS=$(1)

# One line for each larger download, so that a first install is not a silent one.
pip_install = $(1)/python -m pip install --progress-bar off $(if $(2),--constraint $(2))
PIP_INSTALL := $(call pip_install,$(BIN),constraints.txt)
SHOW_PROGRESS := sed -n -E -e 's/^ *(Downloading .* MB\))/  \1/p' -e 's/^(Installing collected packages).*/  \1/p'

.PHONY: help demo test test-all test-esm test-esm-newest proofs docs lint bench bench-gpu clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 25

demo: .venv/.base  ## embed the example proteins and draw their nearest neighbours, into demo/
	@mkdir -p demo
	$(BIN)/biofm embed $(EXAMPLE) --model $(MODEL) --output demo/proteins.h5ad --overwrite
	$(BIN)/biofm neighbours demo/proteins.h5ad --output demo/proteins.png --overwrite
	$(BIN)/python biofm/examples/counterparts.py demo/proteins.h5ad

test: .venv/.dev  ## run the quick tests
	$(call threads,1) $(BIN)/python -m pytest -n 2 -m "not slow"

test-esm: .venv-esm/.dev  ## run the tests of the client for the package esm
	$(call threads,2) $(ESM_BIN)/python -m pytest tests/esm

test-esm-newest: .venv-esm-newest/.dev  ## the same with the newest esm, which needs Python 3.12; before a release
	$(call threads,2) $(ESM_NEWEST_BIN)/python -m pytest tests/esm

test-all: test test-esm  ## run the quick tests, those of test-esm, then the slow ones
	$(call threads,1) $(BIN)/python -m pytest -n 2 --dist worksteal -m slow

proofs: .venv/.dev  ## run the long proofs of tests/long, one after another, by hand before a release
	for proof in tests/long/*.py; do echo "$$proof"; $(call threads,1) $(BIN)/python "$$proof"; done

docs: .venv/.dev  ## build the documentation into site/; to read it: python3 -m http.server --directory site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: .venv/.dev  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.dev  ## measure speed beside transformers and torch, in one run
	$(BIN)/python kernels/bench/embed.py
	$(BIN)/python kernels/bench/score.py
	OMP_WAIT_POLICY=passive $(BIN)/python kernels/bench/attention/cpu.py
	$(BIN)/python kernels/bench/train.py

bench-gpu: .venv/.dev  ## measure the attention kernels on a GPU beside torch and transformers, in ten minutes
	$(BIN)/python kernels/bench/attention/gpu.py

clean:  ## remove the environment, builds and caches
	rm -rf .venv .venv-esm .venv-esm-newest build dist demo site *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/bin/python .venv-esm/bin/python: %/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
		f"biofm needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}. Say: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $*

.venv-esm-newest/bin/python:
	$(PYTHON312) -m venv .venv-esm-newest

# What biofm needs to run. The stamps are files, so that an installed environment is left alone.
.venv/.base: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing biofm into .venv (the first time takes a few minutes)"
	@$(PIP_INSTALL) --editable . | $(SHOW_PROGRESS)
	@touch $@

# And what its tests, linters and benchmarks need.
.venv/.dev: .venv/.base
	@echo "Installing the development tools into .venv"
	@$(PIP_INSTALL) --editable '.[dev]' | $(SHOW_PROGRESS)
	@touch $@

.venv-esm/.dev: pyproject.toml constraints-esm.txt | .venv-esm/bin/python
	@echo "Installing biofm and the package esm into .venv-esm (the first time takes a few minutes)"
	@$(call pip_install,$(ESM_BIN),constraints-esm.txt) --editable '.[esm]' pytest beartype | $(SHOW_PROGRESS)
	@touch $@

.venv-esm-newest/.dev: pyproject.toml | .venv-esm-newest/bin/python
	@echo "Installing biofm and the newest esm into .venv-esm-newest (7 GB, as torch for CUDA comes along)"
	@$(call pip_install,$(ESM_NEWEST_BIN)) --editable '.[esm]' pytest beartype | $(SHOW_PROGRESS)
	@touch $@
