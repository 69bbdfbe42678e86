# Commands for a fresh machine; they create their own environment in .venv.
#   make demo    trains the baseline and PseudoSeg on a synthetic data set, compares them
#   make test    runs the tests
#   make docs    builds the documentation as a site and checks its links
#   make guard   fails if something has become much slower
# Another Python: make demo PYTHON=python3.11     Another folder: make demo VENV=/tmp/venv

VENV ?= .venv
BIN := $(VENV)/bin

# PYTHON is the first of these that TensorFlow supports and that can create environments.
CANDIDATES ?= python3 python3.11 python3.12 python3.13 python3.10 python3.9 python
SUPPORTED = import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && $$p -c 'import venv, ensurepip' 2>/dev/null \
	&& { echo $$p; break; }; done)

.PHONY: demo test smoke guard docs clean

demo: $(VENV)/.installed
	$(BIN)/python -m wss.demo

# Some of them: make test FLAGS='-k "not xception"'. What `make smoke` does, other tests
# do too.
test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n 3 --dist worksteal \
		--ignore=tests/test_smoke.py $(FLAGS) tests

# A quick check of another Python (a few minutes): imports, one golden, two training steps.
smoke: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q tests/test_smoke.py

guard: $(VENV)/.installed
	$(BIN)/python -m benchmarks.guard

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

$(VENV)/.installed: setup.py
	@$(check_python)
	@echo "Installing into $(VENV) (2 to 5 minutes, about 2 GB) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) *.egg-info .pytest_cache site

# Prints one sentence if there is no suitable Python.
define check_python
if [ -z "$(PYTHON)" ]; then \
	for p in $(CANDIDATES); do \
		if $$p -c '$(SUPPORTED)' 2>/dev/null; then \
			echo "error: $$p has no venv module; install it first (Debian, Ubuntu: apt install python3-venv), then run make again." >&2; \
			exit 2; \
		fi; \
	done; \
	echo "error: wss needs Python 3.9 to 3.13 and found none on this machine; install one, or name it: make demo PYTHON=/path/to/python3.11" >&2; \
	exit 2; \
fi; \
$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
	echo "error: wss needs Python 3.9 to 3.13, and $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1); name another one: make demo PYTHON=python3.11" >&2; \
	exit 2; \
}; \
$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	echo "error: $(PYTHON) has no venv module; install it first (Debian, Ubuntu: apt install python3-venv), then run make again." >&2; \
	exit 2; \
}
endef
