# Everything a developer runs. Needs only make and Python 3.11+ with its venv module.

PYTHON ?= python3
export PIP_DISABLE_PIP_VERSION_CHECK := 1
BIN := .venv/bin

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test demo bench bench-quick lint protos release-protos lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

run: .venv/local.stamp ## Serve with a local PostgreSQL in var/ and a sample program
	@$(BIN)/loyalty serve --local

test: .venv/dev.stamp ## Run every test
	@$(BIN)/pytest

demo: $(if $(PROGRAM),.venv/dev.stamp,.venv/demo.stamp) ## Load a year of real baskets and prove the balances (DEMO_BASKETS=n: the first n; PROGRAM=grocery: by its rules, and by a model)
	@$(if $(PROGRAM),$(BIN)/python -m tests.year $(PROGRAM),$(BIN)/loyalty demo)

bench: .venv/dev.stamp ## Measure speed and memory against the goals; writes var/bench.json
	@$(BIN)/python -m tests.bench

bench-quick: .venv/dev.stamp ## The same lines in under two minutes
	@$(BIN)/python -m tests.bench --quick

lint: .venv/dev.stamp ## Check style, types, layers, protos and generated code
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint protos
	@if [ -f protos/released.binpb ]; then set -x; $(BIN)/buf breaking protos --against protos/released.binpb; fi
	$(BIN)/python protos/generate.py --check

protos: .venv/dev.stamp ## Generate the Python code of protos/ again
	$(BIN)/python protos/generate.py

release-protos: .venv/dev.stamp ## At a release: what `make lint` holds later protos compatible with
	$(BIN)/buf build protos --exclude-source-info -o protos/released.binpb

# The largest set is resolved first and binds the smaller ones, so that all of them fit into one .venv.
# LOCK_FLAGS=--upgrade takes newer versions; without it only what pyproject.toml demands is changed.
UV_COMPILE = .venv-lock/bin/uv pip compile pyproject.toml --group build --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command 'make lock' --quiet $(LOCK_FLAGS)
lock: ## Resolve pyproject.toml into requirements/ again (LOCK_FLAGS=--upgrade: newer versions)
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	$(UV_COMPILE) --extra dev -o requirements/dev.txt
	$(UV_COMPILE) --extra demo -c requirements/dev.txt -o requirements/demo.txt
	$(UV_COMPILE) --extra local -c requirements/dev.txt -o requirements/local.txt
	$(UV_COMPILE) -c requirements/dev.txt -o requirements/run.txt
	rm -rf .venv-lock

clean: ## Remove what was built and installed; var/ (your data) stays
	rm -rf .venv .venv-lock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find ledger projections protos tests -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Python 3.11 or newer is needed; choose it with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Python's venv module is needed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# One stamp for each lock: installed once, and again when the lock or the project's metadata changes.
.venv/%.stamp: requirements/%.txt pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --require-hashes -r $<
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@
