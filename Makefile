# Both of the README's commands work from a clean clone: lab/setup brings what is missing.
PYTHON := .venv/bin/python
# test files side by side, each with servers of its own; they wait more than they work
WORKERS ?= 4

.PHONY: setup setup-16 setup-systemd demo test test-22 test-16 check bench faults clean

setup:
	@lab/setup

setup-16:
	@lab/setup --asterisk-16

setup-systemd:
	@lab/setup --systemd

demo: setup
	@$(PYTHON) -m lab.demo

# all of it on Asterisk 22, and on 16 again what meets an Asterisk
test: test-22 test-16

PYTEST := $(PYTHON) -m pytest -n $(WORKERS) --dist loadfile
test-22: setup
	AGENTBRIDGE_ASTERISK_ROOTS=22 $(PYTEST) tests --ignore=tests/bench --ignore=tests/faults

test-16: setup-16
	AGENTBRIDGE_ASTERISK_ROOTS=16 $(PYTEST) tests/acceptance tests/contract

check: setup
	.venv/bin/ruff check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

bench: setup
	$(PYTHON) -m tests.bench
	$(PYTHON) -m tests.bench.load

# make faults ONLY=pooler: some of them
faults: setup-systemd
	$(PYTHON) -m pytest -s tests/faults -k "$(ONLY)"

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
