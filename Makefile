# Every target sets up what it needs and says so; a second call finds it done. PYTHON=/path/to/python3.11 names the Python.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Where nothing compiled is kept, each worker compiles all tests, and each `ebbtide` all of itself.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin

.PHONY: help setup dev demo test e2e fmt check soak bench lock clean

help: ## show this
	@awk -F':.*## ' '/^[a-z0-9]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: setup ## four sleeping models, two GPUs, real requests: see it work and what it cost
	@$(BIN)/python scripts/demo.py

test: setup ## pass the tests, those with real Triton and a real control plane of Kubernetes among them
	@python3 scripts/setup.py kube
	@$(BIN)/python -m pytest -n 4 --dist loadscope --no-loadscope-reorder tests --ignore=tests/e2e

e2e: setup ## other people's clients, unchanged; then the chart on a real cluster with real Triton
	@python3 scripts/setup.py clients cluster
	@$(BIN)/python -m tests.e2e
	@$(BIN)/python -m pytest -n 2 tests/e2e --ignore=tests/e2e/kube
	@$(BIN)/python -m pytest tests/e2e/kube

fmt: dev ## put the code in form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .

check: dev ## form, lint, floors, types and house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/house

soak: setup ## the long tests in full: 10 minutes each (`make test` runs each for 20 s), and properties on new examples
	@python3 scripts/setup.py cluster
	@$(BIN)/python -m pytest --soak tests/core
	@$(BIN)/python -m pytest -m soak --soak tests

bench: setup ## measure beside peers; fails when a figure that must hold is missed
	-@python3 scripts/setup.py kube node
	@$(BIN)/python -m bench

lock: dev ## pin the newest versions that go together, with their hashes
	@$(BIN)/python scripts/lock.py

clean: ## remove the environments and everything that tests and builds leave behind
	rm -rf .venv .venv-models .cache .ebbtide .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache dist build bench/out
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

setup: ## only set up: the development environment, and the one with Triton and the models
	@python3 scripts/setup.py dev models

dev:
	@python3 scripts/setup.py dev
