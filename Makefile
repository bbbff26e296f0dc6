# make demo, make test, make check: each works on a fresh clone, with nothing but Python 3.11, venv and make.
# PYTHON=python3.12 chooses the interpreter, ARGS="-k lease" goes to pytest, which runs in JOBS processes (0: in one,
# which ARGS="-s" or --pdb wants). DRIVER=redis (or postgres, mysql,
# rabbitmq, sqs) runs the demo on the server that the settings name, else on a private one that ends with it.
# make bench takes DRIVER=redis and ARGS="--workloads W2 --contenders asyncdq,arq".

PYTHON ?= python3
JOBS ?= 4
BIN := .venv/bin
SERVER := $(filter-out sqlite,$(DRIVER))

# The tests start workers by the hundred: each would compile all of asyncdq anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test simulate faults bench bench-quick check format test-pythons environment clean

help:
	@echo "make demo          enqueue and run one task per file of Python's standard library; DRIVER=redis, postgres, mysql, rabbitmq, sqs"
	@echo "make test          all tests"
	@echo "make simulate      seeded worlds on a virtual clock, on all cores; SEEDS=1000000, or SEED=417 for the story of one"
	@echo "make faults        break servers, workers and network on purpose, and count; DRIVER=redis, SEED=7, LONG=1"
	@echo "make bench         speed beside rivals, all drivers: 45 to 90 minutes; DRIVER=redis: 15; writes docs/benchmarks.md"
	@echo "make bench-quick   speed on SQLite, Redis and PostgreSQL, without rivals: a minute or two"
	@echo "make check         format, lint, types, architecture"
	@echo "make format        put the source into the form that check wants"
	@echo "make test-pythons  unit, typing and SQLite contract tests on Python 3.11, 3.12 and 3.13"
	@echo "make clean         remove environments and caches"

demo:
	@$(PYTHON) scripts/environment.py .venv $(if $(SERVER),dev)
	@$(if $(SERVER),$(BIN)/python -m tests.servers $(SERVER) -- )$(BIN)/python examples/stdlib_stats.py \
		$(if $(SERVER),--driver $(SERVER))

# A test that waited in vain for another process, or longer than its bound of seconds, gets one more chance: the machine
# may be somebody else's, too. It is listed. A count or a value that is wrong never gets one.
AGAIN := --reruns 1 -raR --only-rerun 'not within' --only-rerun 'Timeout' --only-rerun 'ConnectionLost' \
	--only-rerun 'ServerFailed' --only-rerun 'assert .*[0-9]\.[0-9].* <'

test: environment
	@$(BIN)/python -m tests.servers.install $(ARGS)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) $(if $(filter-out 0,$(JOBS)),$(AGAIN)) $(ARGS)

simulate: environment
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed=$(SEED)) $(if $(SEEDS),--seeds=$(SEEDS)) \
		$(if $(FIRST),--first=$(FIRST))

faults: environment
	@$(BIN)/python -m tests.servers.install $(if $(DRIVER),--drivers=$(DRIVER))
	@$(BIN)/python -m tests.faults $(if $(DRIVER),--drivers=$(DRIVER)) $(if $(SEED),--seed=$(SEED)) \
		$(if $(LONG),--scale=long)

bench: environment
	@$(BIN)/python -m tests.servers.install $(if $(DRIVER),--drivers=$(DRIVER))
	@$(BIN)/python -m benchmarks --flames $(if $(DRIVER),--driver=$(DRIVER)) $(ARGS)

bench-quick: environment
	@$(BIN)/python -m tests.servers.install --drivers=sqlite,redis,postgres
	@$(BIN)/python -m benchmarks --quick $(ARGS)

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
