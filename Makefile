# nightscore. Only make and Python 3.11 or 3.12 need to be there; `make help` says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

SUITE ?= scoring
JSON ?= .scratch/bench-$(SUITE).json
ARGS ?=
WORKERS ?= 2

# Stamps, written last: an environment is made again when a lock or the package's own set-up changes.
JOBS_ENV := .venv/nightscore/installed
AIRFLOW_ENV := .venv-airflow/nightscore/installed
FIT_ENV := .venv-fit/nightscore/installed
BENCH_ENV := .venv/nightscore/bench

.PHONY: help
help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-zA-Z_.-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(JOBS_ENV) ## Run a few nights end to end and open a report (ARGS=...)
	.venv/bin/python -m jobs.demo $(ARGS)

# Files are dealt out in the order of their names: long ones of Spark first, short ones fill the end.
.PHONY: test
test: $(JOBS_ENV) $(AIRFLOW_ENV) ## Run the tests but the slow ones (ARGS="-k name" for some)
	.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

.PHONY: test-slow
test-slow: $(JOBS_ENV) $(AIRFLOW_ENV) ## Run the slow tests: real servers, kill -9, a full disk
	.venv/bin/python -m pytest -m slow $(ARGS)

.PHONY: check-model
check-model: $(JOBS_ENV) ## Try what every model must do on one of your own (MODEL=path.py:NAME)
	NIGHTSCORE_TEST_MODEL="$(MODEL)" .venv/bin/python -m pytest -q -p no:cacheprovider tests/unit/models/test_zoo.py $(ARGS)

.PHONY: check
check: $(JOBS_ENV) ## Check style, lint, types and the direction of imports
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m pytest -q tests/unit/test_import_direction.py

.PHONY: format
format: $(JOBS_ENV) ## Put the code in the shape that check wants
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.PHONY: bench
bench: $(JOBS_ENV) $(if $(filter features training,$(SUITE)),$(BENCH_ENV)) ## Measure: SUITE=scoring|training|night|backfill|history|zoo|features JSON=path ARGS=...
	@mkdir -p "$(dir $(JSON))"
	.venv/bin/python -m tests.benchmarks.$(SUITE) --json "$(JSON)" $(ARGS)

.PHONY: quality
quality: $(JOBS_ENV) ## Say which of a corpus of faults the verdict on a night finds (ARGS="--tries N")
	.venv/bin/python -m tests.quality $(ARGS)

.PHONY: airflow
airflow: $(JOBS_ENV) $(AIRFLOW_ENV) ## Start Airflow on this machine with our DAGs
	infra/airflow.sh $(ARGS)

.PHONY: doctor
doctor: $(JOBS_ENV) ## Say whether this machine has all that is needed
	.venv/bin/python -m jobs.machine.doctor

.PHONY: .venv
.venv: $(JOBS_ENV) ## Make the jobs' environment (PYTHON=path names a new one's interpreter)

.PHONY: .venv-fit
.venv-fit: $(FIT_ENV) ## Make the environment of a machine that only fits models, a GPU node say

.PHONY: .venv-airflow
.venv-airflow: $(AIRFLOW_ENV) ## Make Airflow's environment

$(JOBS_ENV): infra/locks/jobs.lock infra/locks/jars.lock infra/env.sh infra/setup_jars.py infra/setup_archive.py \
             setup.py
	@infra/env.sh jobs

$(FIT_ENV): infra/locks/fit.lock infra/env.sh setup.py
	@infra/env.sh fit

# uv comes from the jobs' environment, so that one is made first.
$(AIRFLOW_ENV): infra/locks/airflow.lock infra/env.sh | $(JOBS_ENV)
	@infra/env.sh airflow

# The jobs' environment, made again, has nothing but what its own lock says.
$(BENCH_ENV): infra/locks/bench.lock $(JOBS_ENV)
	@infra/env.sh bench

.PHONY: lock
lock: $(JOBS_ENV) ## Resolve infra/locks/*.in again (ARGS=--upgrade moves what is not pinned)
	infra/lock.sh $(ARGS)

.PHONY: clean
clean: ## Remove what tests and tools left in the checkout; environments and data stay
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .scratch build dist \
	  spark-warehouse metastore_db derby.log

.PHONY: distclean
distclean: clean ## Remove the environments as well
	rm -rf .venv .venv-fit .venv-airflow .venv.lock .venv-fit.lock .venv-airflow.lock \
	  nightscore.egg-info
