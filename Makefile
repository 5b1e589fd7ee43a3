# Every target works in a fresh clone; `make` alone lists them. Paths are relative, so the
# project may live in a folder with spaces in its name.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run test check format up down ingest features train promote serve ask verify report bench lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## Make .venv from the hashed lock file, and .env from .env.example

$(READY): requirements.lock infra/bootstrap.lock pyproject.toml infra/stages/pyproject.toml infra/setup.sh
	@PYTHON="$(PYTHON)" sh infra/setup.sh
	@touch $(READY)

run: setup ## Everything: a year of flights from raw files to answers, with a report
	@$(BIN)/python -m larder run

test: setup ## All tests, with real Spark, Delta, Redis and MLflow
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup ## Lint, formatting, types and layout; under a minute
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_layout.py

format: setup ## Rewrite the code as `make check` wants it
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

up: setup ## Start the embedded Redis (or check the configured one)
	@$(BIN)/python -m larder up

down: setup ## Stop what `make up` started
	@$(BIN)/python -m larder down

ingest: setup ## Raw files -> bronze, silver and label tables
	@$(BIN)/python -m larder ingest

features: setup ## feast apply; silver -> gold -> Redis
	@$(BIN)/python -m larder features

train: setup ## Labels + as-of join -> challenger in MLflow
	@$(BIN)/python -m larder train

promote: setup ## Challenger -> gates -> champion and its serving bundle
	@$(BIN)/python -m larder promote

serve: setup ## Answer over HTTP
	@$(BIN)/python -m larder serve

ask: setup ## Ask the server about a few real rows
	@$(BIN)/python -m larder ask

verify: setup ## Compare every online value with its offline value
	@$(BIN)/python -m larder verify

report: setup ## The report of the last run, in the terminal and as a page
	@$(BIN)/python -m larder report

bench: setup ## The benchmarks at their quick size
	@for script in $$(grep -l __main__ benchmarks/*.py); do $(BIN)/python "$$script" --quick || exit 1; done

lock: setup ## Resolve requirements.lock anew after a change of pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet -o requirements.lock

clean: ## Delete all state and the environment; stops the embedded Redis first
	@if [ -x $(BIN)/larder ]; then $(BIN)/python -m larder down || true; fi
	rm -rf .larder .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
