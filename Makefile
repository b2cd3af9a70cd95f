# Two commands do everything on a fresh Debian machine with Python 3.11: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# The tests start the program a hundred times: its bytecode is kept, also where the environment says otherwise.
unexport PYTHONDONTWRITEBYTECODE
# Their files lie in memory where there is room. On a disk most of a virtual day is waiting for SQLite's commits, and no
# test cuts the power; `bench` and `soak` keep the disk.
MEMORY := $(shell df --output=avail,target /dev/shm 2>/dev/null | awk 'NR > 1 && $$1 > 2^21 { print $$2 }')

.PHONY: help demo test check unit serial bench soak picture lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/.run ## the main job on the built-in emulator, on an accelerated clock; ARGS="--for 60s --report FILE"
	$(BIN)/watcher demo $(ARGS)

test: check unit serial ## lint, types, layers and every test but the long campaigns

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit serial: export PYTEST_DEBUG_TEMPROOT := $(or $(MEMORY),$(TMPDIR),/tmp)

unit: .venv/.dev .venv/.apt
	$(BIN)/pytest -n 2 --dist worksteal -m "not soak and not bench and not serial"

serial: .venv/.dev .venv/.apt
	$(BIN)/pytest -m "serial and not soak and not bench"

bench: .venv/.dev .venv/.apt ## every figure of the README, printed
	$(BIN)/pytest -q -s -m bench tests/benchmarks

soak: .venv/.dev .venv/.apt ## the long campaigns: kill -9, whole virtual days, big property runs
	HYPOTHESIS_PROFILE=soak $(BIN)/pytest -s -m soak

picture: .venv/.dev .venv/.apt ## the screenshot in the README, drawn anew
	$(BIN)/python -m tests.browser.picture docs/status-page.png

lock: .venv/.dev ## pin and hash the dependencies anew
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install -q pip-tools
	$(foreach f,deploy/requirements.txt tests/requirements.txt deploy/build-requirements.txt,$(call compile,$f);)

compile = .venv/lock/bin/pip-compile -q --upgrade --generate-hashes --strip-extras --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o $1 \
	$(if $(findstring build,$1),deploy/build-requirements.in,pyproject.toml) $(if $(findstring tests,$1),--extra dev -c deploy/requirements.txt)

clean: ## remove what was built
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=...)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/packages python3-venv
	$(PYTHON) -m venv .venv

# The locks are complete, so nothing is resolved: pip would look past a pin that a dependency names with an extra.
.venv/.run: .venv/bin/python deploy/requirements.txt deploy/build-requirements.txt pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes --no-deps -r deploy/requirements.txt -r deploy/build-requirements.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

.venv/.dev: .venv/.run tests/requirements.txt
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes --no-deps -r tests/requirements.txt
	$(BIN)/pip check --disable-pip-version-check
	touch $@

.venv/.apt: .ci/packages .ci/unpacked Makefile | .venv/bin/python
	.ci/packages chromium fonts-dejavu-core prometheus prometheus-alertmanager systemd victoria-metrics
	.ci/unpacked .venv/debian kubernetes-client
	touch $@
