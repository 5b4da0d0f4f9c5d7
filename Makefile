# Both of the README's commands work from a clean clone: lab/setup brings what is missing.
PYTHON := .venv/bin/python
# test files side by side, each with servers of its own; they wait more than they work
WORKERS ?= 4

.PHONY: setup setup-16 setup-systemd demo test check bench faults clean

setup:
	@lab/setup

setup-16:
	@lab/setup --asterisk-16

setup-systemd:
	@lab/setup --systemd

demo: setup
	@$(PYTHON) -m lab.demo

test: setup-16
	$(PYTHON) -m pytest tests --ignore=tests/bench --ignore=tests/faults -n $(WORKERS) --dist loadfile

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
