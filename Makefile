# `make demo` needs Python >= 3.11 with venv; nothing else. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

VENV := .venv
PY := $(VENV)/bin/python
COCKPIT := $(VENV)/bin/cockpit
# The first of these that is Python >= 3.11 makes the environment; PYTHON=… names another.
PYTHON := python3.11 python3.12 python3.13 python3.14 python3
UV_VERSION := 0.13.8
# Test processes, each with servers of its own.
WORKERS := 3
PIP := $(PY) -m pip -qq --disable-pip-version-check --no-input

# What an operator typed is handed to the command as it stands, through the environment: `$(value …)` keeps make
# from expanding it, and the quoted "$$NOTES" below keeps the shell from reading it. Only words on make's own
# command line count, so that a stray ID in somebody's environment trips nothing.
typed = $(if $(filter command line,$(origin $(1))),$(value $(1)))
override TRIP_ID := $(call typed,ID)
override TRIP_NOTES := $(call typed,NOTES)
override TRIP_REASON := $(or $(call typed,REASON),operational)
override ID := $(TRIP_ID)
override NOTES := $(TRIP_NOTES)
override REASON := $(TRIP_REASON)
export TRIP_ID TRIP_NOTES TRIP_REASON

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

.PHONY: demo
demo: $(VENV)/.runtime ## embedded servers, the trading plant and the screen
	@exec $(COCKPIT) demo

.PHONY: test
test: check ## the checks, then every test suite, and what each took
	@$(PY) -m pytest -p tests.suites -n $(WORKERS) --dist loadfile --no-loadscope-reorder -rfE --check-times=$(VENV)/check-times.json $(PYTEST_ARGS)

.PHONY: check
check: $(VENV)/.dev ## lint, format, strict types, import contracts
	@$(PY) -m tests.checks $(VENV)/check-times.json

.PHONY: bench
bench: $(VENV)/.dev ## measured figures against their yardsticks and bounds
	@$(PY) -m tests.bench

.PHONY: pictures
pictures: $(VENV)/.dev ## draw the README's pictures anew into docs/
	@$(PY) -m cockpit.demo.pictures

# Does no setting up: a halt waits for no download.
.PHONY: circuit-trip
circuit-trip: ## ID=… NOTES=… [REASON=operational]: trip a breaker
	@if [ -z "$$TRIP_ID" ] || [ -z "$$TRIP_NOTES" ]; then \
	  echo "usage: make circuit-trip ID=instrument:BTC-USD NOTES='what was seen, at least 20 characters' [REASON=operational]" >&2; exit 2; fi; \
	command=$(COCKPIT); [ -x "$$command" ] || command=$$(command -v cockpit) || { \
	  echo "cockpit is not installed here; python3 runbooks/emergency_trip.py halts with nothing installed" >&2; exit 2; }; \
	exec "$$command" trip --reason="$$TRIP_REASON" --notes="$$TRIP_NOTES" --yes -- "$$TRIP_ID"

.PHONY: kill-switch
kill-switch: ## NOTES=…: halt everything, cancel all open orders, flatten all positions
	@if [ -z "$$TRIP_NOTES" ]; then \
	  echo "usage: make kill-switch NOTES='what was seen, at least 20 characters'   (safety-admin only)" >&2; exit 2; fi; \
	command=$(COCKPIT); [ -x "$$command" ] || command=$$(command -v cockpit) || { \
	  echo "cockpit is not installed here; python3 runbooks/emergency_trip.py halts global with nothing installed" >&2; exit 2; }; \
	echo "kill switch: trips global, cancels every open order, flattens every position" >&2; \
	exec "$$command" kill-switch --notes="$$TRIP_NOTES" --yes

.PHONY: lock
lock: ## resolve the dependencies anew and write both lock files
	@$(find-python); "$$python" -m venv .lock-venv
	@.lock-venv/bin/python -m pip -qq --disable-pip-version-check install "uv==$(UV_VERSION)"
	@$(LOCK) --extra demo --group build -o requirements.lock
	@$(LOCK) --extra demo --group build --group dev -c requirements.lock -o requirements-dev.lock
	@rm -rf .lock-venv
	@echo "wrote requirements.lock and requirements-dev.lock"

# Universal: one file serves every supported Python (3.11.2 needs a package that 3.11.3 does not). Only the public
# index counts, and no header: a lock names no host and no path. LOCK_ARGS=--upgrade takes newer versions.
LOCK = env -u UV_INDEX -u UV_DEFAULT_INDEX -u UV_FIND_LINKS -u UV_EXTRA_INDEX_URL -u UV_INDEX_URL \
  .lock-venv/bin/uv pip compile -q --no-config --universal --python-version 3.11 --generate-hashes \
  --no-header --annotation-style=line $(LOCK_ARGS) pyproject.toml

.PHONY: clean
clean: ## remove the environment, caches and build results
	rm -rf $(VENV) .lock-venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Sets $$python, or ends with one line that says what is missing.
define find-python
python=; for candidate in $(PYTHON); do \
  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then python=$$candidate; break; fi; done; \
if [ -z "$$python" ]; then echo "cockpit needs Python 3.11 or later and found none; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
if ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
  echo "$$python has no venv module; on Debian: apt install python3-venv" >&2; exit 1; fi
endef

$(VENV)/bin/python:
	@$(find-python); echo "setup: environment in $(VENV) with $$("$$python" --version)"; "$$python" -m venv --clear $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "setup: $$(grep -c == requirements.lock) locked packages"
	@$(PIP) install --require-hashes -r requirements.lock
	@echo "setup: cockpit"
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "setup: $$(grep -c == requirements-dev.lock) locked packages with the test tools"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
