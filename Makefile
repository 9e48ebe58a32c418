# make quickstart   from nothing to a forecast, its tables, figures and report
# make test         all tests, one run of the whole workflow among them
# make check        lint, format and types
# make docs         the documentation, docs/_build/html/index.html
#
# Each builds .venv first, anew whenever requirements.lock changes. PYTHON=... chooses another interpreter.

SHELL := /bin/bash
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
QUICKSTART := config/quickstart.yaml
RESULTS := results/quickstart
CODE := Snakefile workflow

.PHONY: help quickstart test check docs clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

quickstart: .venv/package
	$(RUN) snakemake --configfile $(QUICKSTART) --cores all --rerun-incomplete
	@echo
	@cat $(RESULTS)/tables/summary.md
	@echo
	@echo "Tables:   $(CURDIR)/$(RESULTS)/tables (every number: forecast.csv; the summary above: summary.md)"
	@echo "Figures:  $(CURDIR)/$(RESULTS)/cylinder/*/*/figures and $(CURDIR)/$(RESULTS)/figures"
	@echo "Report:   $(CURDIR)/$(RESULTS)/report.html (begins with the result; opens in a browser, without a network)"
	@echo "Runs:     $(BIN)/mlflow ui --backend-store-uri sqlite:///$(CURDIR)/results/mlflow.db (there, choose Model training at the left)"

test: .venv/test
	@$(RUN) python -m pytest

check: .venv/test
	$(RUN) snakemake --lint
	$(RUN) snakefmt --check $(CODE)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

docs: .venv/docs
	$(RUN) python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "Documentation: $(CURDIR)/docs/_build/html/index.html"

clean:
	rm -rf .venv

# The environment: pinned dependencies, then this package, then what tests need.

.venv/dependencies: requirements.lock
	@$(CHECK_COMPILER)
	@python=$$($(FIND_PYTHON)) && echo "Building .venv with $$($$python --version)" && \
		rm -rf .venv && $$python -m venv .venv
	$(PIP) install --requirement requirements.lock
	@touch $@

.venv/package: .venv/dependencies pyproject.toml requirements-networks.lock
	$(PIP) install --no-deps --requirement requirements-networks.lock
	$(PIP) install --no-deps --editable .
	@touch $@

.venv/docs: .venv/package requirements-docs.lock
	$(PIP) install --requirement requirements-docs.lock
	@touch $@

.venv/test: .venv/docs requirements-test.lock requirements-test-data.lock
	$(PIP) install --requirement requirements-test.lock
	$(PIP) install --no-deps --requirement requirements-test-data.lock
	@touch $@

define FIND_PYTHON
for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		2>/dev/null; then echo $$python; exit 0; fi; \
done; \
echo "error: sparsevq needs Python 3.11, 3.12 or 3.13 with its venv module: install one" \
	"(Debian and Ubuntu: apt install python3-venv), or name it: make PYTHON=/path/to/python3." >&2; exit 1
endef

define CHECK_COMPILER
command -v "$${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
	echo "error: the flow simulator needs a C++ compiler: install one" \
		"(Debian and Ubuntu: apt install g++; macOS: xcode-select --install)." >&2; exit 1; }
endef
