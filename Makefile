# Two commands matter: `make run` starts the desk on a fresh clone, `make test` proves it.

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet
LOCKS := requirements-build.lock requirements.lock
CODE := native trading adapters actors supervision api research scripts tests

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test check fmt fmt-check lint types imports spec bench docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	@PYTHON="$(PYTHON)" scripts/bootstrap.sh

# Everything comes with its hash, the project itself from this folder without asking anybody. Where there is a C compiler
# and Python's headers this builds native/; where there is none, it does without.
.venv/.stamp-run: $(LOCKS) pyproject.toml $(wildcard native/*.c native/*.h) | .venv/bin/python
	$(PIP) --require-hashes -r requirements-build.lock
	$(PIP) --require-hashes -r requirements.lock
	rm -f native/*.so  # what was built from other sources is worse than nothing
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.stamp-dev: requirements-dev.lock .venv/.stamp-run
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

setup: .venv/.stamp-run ## install what running needs
setup-dev: .venv/.stamp-dev ## install what testing needs

# SESSION and PORT count only on make's command line: a desktop's environment may hold variables of these names.
given = $(if $(filter command line,$(origin $(1))),$(2) "$($(1))")
run: setup ## run the desk (SESSION=recording PORT=8000)
	@exec .venv/bin/propdesk run $(call given,SESSION,--session) $(call given,PORT,--port)

test: setup-dev ## all tests on all cores (ARGS="-k permit" for some)
	$(PY) -m pytest -n auto --maxprocesses 8 $(ARGS)

check: fmt-check lint types imports ## format, lint, types and rings, without changing anything

fmt: setup-dev ## format and mend what can be mended
	.venv/bin/ruff format $(CODE)
	.venv/bin/ruff check --fix $(CODE)

fmt-check: setup-dev
	.venv/bin/ruff format --check $(CODE)

lint: setup-dev ## ruff
	.venv/bin/ruff check $(CODE)

types: setup-dev ## mypy, strict
	.venv/bin/mypy

imports: setup-dev ## the rings, as contracts
	.venv/bin/lint-imports

spec: setup-dev ## which requirements have a passing test
	$(PY) scripts/spec.py $(ARGS)

bench: setup ## measure this machine
	.venv/bin/propdesk bench

docs: setup-dev ## write the generated tables anew
	$(PY) scripts/docs.py

clean: ## remove caches and builds; never data or .venv
	rm -f native/*.so .venv/.stamp-run  # without the stamp the next make builds it again
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
