# make demo, make test, make check: each works on a fresh clone, with nothing but Python 3.11, venv and make.
# PYTHON=python3.12 chooses the interpreter, ARGS="-k lease" goes to pytest. DRIVER=redis or postgres runs the
# demo on the server that the settings name, else on a private one that ends with it.

PYTHON ?= python3
BIN := .venv/bin
SERVER := $(filter-out sqlite,$(DRIVER))

.PHONY: help demo test check format test-pythons environment clean

help:
	@echo "make demo          enqueue and run one task per file of Python's standard library; DRIVER=redis or postgres"
	@echo "make test          all tests"
	@echo "make check         format, lint, types, architecture"
	@echo "make format        put the source into the form that check wants"
	@echo "make test-pythons  unit, typing and SQLite contract tests on Python 3.11, 3.12 and 3.13"
	@echo "make clean         remove environments and caches"

demo:
	@$(PYTHON) scripts/environment.py .venv $(if $(SERVER),dev)
	@$(if $(SERVER),$(BIN)/python -m tests.servers $(SERVER) -- )$(BIN)/python examples/stdlib_stats.py \
		$(if $(SERVER),--driver $(SERVER))

test: environment
	@$(BIN)/python -m tests.servers.install $(ARGS)
	@$(BIN)/python -m pytest $(ARGS)

check: environment
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/python -m pyright
	$(BIN)/python -m pytest --quiet tests/unit/test_architecture.py tests/unit/test_habits.py

format: environment
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

test-pythons:
	@$(PYTHON) scripts/test_pythons.py

environment:
	@$(PYTHON) scripts/environment.py .venv dev

clean:
	rm -rf .venv .venvs .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
