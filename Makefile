# Every command of the project. Each sets up .venv first where that is needed: a Python 3.11 or
# later with venv, git and make are enough.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV ?= .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export DBT_SEND_ANONYMOUS_USAGE_STATS = false

# The first interpreter that is 3.11 or later and has venv; say make PYTHON=... to choose another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo $$p && break; done)

.PHONY: help
help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## */\t/' | expand -t 12

$(PY):
	@test -n "$(PYTHON)" || { echo "fstore needs Python 3.11 or later with venv" \
	  "(on Debian: apt install python3 python3-venv), or say make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp tells which extras .venv holds, so that nothing is installed twice.
$(VENV)/.demo: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dbt,demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: pyproject.toml constraints.txt | $(PY)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@

# A peer with an environment of its own: it needs an older pandas than we do.
benchmarks/.venv-feast/.done: benchmarks/requirements-feast.txt | $(PY)
	$(PY) -m venv benchmarks/.venv-feast
	benchmarks/.venv-feast/bin/python -m pip install --quiet --requirement $<
	@touch $@

.PHONY: demo
demo: $(VENV)/.demo  ## flights in, features, a trained model and online answers out
	$(PY) -m demo

.PHONY: test
test: $(VENV)/.dev benchmarks/.venv-feast/.done  ## every test but the soak
	$(PY) -m pytest -n 2

.PHONY: check
check: $(VENV)/.dev  ## ruff, mypy --strict, the layers, docs/cli.md
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/test_layers.py
	$(PY) docs/generate_cli.py --check

.PHONY: docs
docs: $(VENV)/.dev  ## write docs/cli.md anew from the commands' own help
	$(PY) docs/generate_cli.py

.PHONY: golden
golden: $(VENV)/.dev  ## write the expected SQL in tests/golden anew; look at the difference
	$(PY) -m pytest -q tests/test_golden.py --golden

.PHONY: bench
bench: bench-offline bench-online bench-windows bench-online-windows  ## all benchmarks: hours; writes docs/benchmarks*.md

.PHONY: bench-offline
bench-offline: $(VENV)/.bench benchmarks/.venv-feast/.done  ## the offline engine against its peers
	$(PY) -m benchmarks.offline
	$(PY) -m benchmarks.report

.PHONY: bench-windows
bench-windows: $(VENV)/.bench benchmarks/.venv-feast/.done  ## window features offline against SQL by hand
	$(PY) -m benchmarks.windows
	$(PY) -m benchmarks.windows_report

ONLINE := benchmarks/.data/online/scale-1/project
.PHONY: bench-online
bench-online: $(VENV)/.bench benchmarks/.venv-feast/.done  ## the online store and its server against Feast's
	$(PY) -m benchmarks.online
	$(PY) -m benchmarks.online_profile $(ONLINE) ten_parquet
	$(PY) -m benchmarks.online_http_profile $(ONLINE) ten_parquet
	$(PY) -m benchmarks.online_report

.PHONY: bench-online-windows
bench-online-windows: $(VENV)/.bench  ## window features online: reads, pushes, HTTP, every store
	$(PY) -m benchmarks.online_windows
	$(PY) -m benchmarks.online_windows_report

.PHONY: soak
soak: $(VENV)/.dev  ## kills, faults and load at full length
	$(PY) -m pytest -m soak

.PHONY: clean
clean:  ## remove .venv and what building and testing leave
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  benchmarks/.data benchmarks/.venv-feast
