# OneStory. `make` lists the targets.

PYTHON ?= python3
PEOPLE ?= 20
BIN := .venv/bin
MADE := .venv/.made

.DEFAULT_GOAL := help
.PHONY: help setup demo scenario up down test lint types unit integration bench lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: $(MADE) ## make the virtual environment from the lock file

demo: setup ## the product with a synthetic care network in it (PEOPLE=20; DETACH=1 returns when it is ready)
	@$(BIN)/onestory demo --people $(PEOPLE) $(if $(filter 1 yes true,$(DETACH)),--detach)

scenario: setup ## an acceptance scenario (NAME=gloucestershire-networks or somerset-pool; SCALE=full)
	@$(BIN)/onestory scenario $(NAME) --scale $(or $(SCALE),default)

up: setup ## start the embedded stack
	@$(BIN)/onestory up

down: setup ## stop the embedded stack
	@$(BIN)/onestory down

test: setup ## everything that CI runs, on two cores
	@$(BIN)/python -m tests.run

lint: setup ## style, format and architecture contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m tests.lint.dependencies
	$(BIN)/python -m tests.lint.secrets

types: setup ## strict types, of tests too
	$(BIN)/mypy

unit: setup ## the tests that need no stack
	$(BIN)/pytest tests/unit tests/contract

integration: setup ## the tests that do (ONESTORY_TEST_STACK=docker|embedded|auto)
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(wildcard tests/integration tests/e2e)

bench: setup ## measure, and print figures beside the raw limits of this machine
	$(BIN)/python -m tests.bench

lock: ## write requirements.lock anew; needs uv
	uv pip compile pyproject.toml --extra local --extra test --extra environment --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate -o requirements.lock

clean: ## stop the stack, then delete it with its data, the virtual environment and caches
	@if [ -x $(BIN)/onestory ]; then $(BIN)/onestory down; fi
	rm -rf .venv .onestory .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(MADE): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "OneStory needs Python 3.11 or newer; this is $$($(PYTHON) --version 2>&1). Say which one: make PYTHON=python3.12"; \
		exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "This Python lacks its venv module. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "Installing what requirements.lock names; this takes a minute."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
