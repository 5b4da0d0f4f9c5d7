# Both of the README's commands work from a clean clone: lab/setup brings what is missing.
PYTHON := .venv/bin/python
# test files side by side, each with servers of its own; they wait more than they work
WORKERS ?= 4

<<<<<<< HEAD
.PHONY: setup setup-16 setup-systemd demo test test-22 test-16 check bench faults clean
=======
.PHONY: setup setup-16 setup-systemd demo test test-browser check web-check web-vendor bench faults clean
>>>>>>> f97af43 (Try the desk in a real Chromium, in a network namespace of its own)

setup:
	@lab/setup

setup-16:
	@lab/setup --asterisk-16 --browser

setup-systemd:
	@lab/setup --systemd

demo: setup
	@$(PYTHON) -m lab.demo

<<<<<<< HEAD
# all of it on Asterisk 22, and on 16 again what meets an Asterisk
test: test-22 test-16

PYTEST := $(PYTHON) -m pytest -n $(WORKERS) --dist loadfile
test-22: setup
	AGENTBRIDGE_ASTERISK_ROOTS=22 $(PYTEST) tests --ignore=tests/bench --ignore=tests/faults

test-16: setup-16
	AGENTBRIDGE_ASTERISK_ROOTS=16 $(PYTEST) tests/acceptance tests/contract
=======
test: setup-16
	$(PYTHON) -m pytest tests --ignore=tests/bench --ignore=tests/faults --ignore=tests/browser -n $(WORKERS) --dist loadfile
	@$(MAKE) --no-print-directory test-browser

# In a network namespace of their own: with nothing but 127.0.0.1 Asterisk has no candidate to offer to a browser,.
NAMESPACE := ip link set lo up && ip address add 10.99.0.1/32 dev lo
test-browser:
	unshare --net sh -c '$(NAMESPACE) && exec "$$@"' sh $(PYTHON) -m pytest tests/browser
>>>>>>> f97af43 (Try the desk in a real Chromium, in a network namespace of its own)

check: setup
	.venv/bin/ruff check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

# the desk's types, and its vendored modules: for whoever changes agentbridge/web, with Node
WEB := agentbridge/web
web-check:
	cd $(WEB)/vendor && npm ci --ignore-scripts --silent
	$(WEB)/vendor/node_modules/.bin/tsc -p $(WEB)/tsconfig.json

web-vendor:
	cd $(WEB)/vendor && npm ci --ignore-scripts --silent && node vendor.mjs

bench: setup
	$(PYTHON) -m tests.bench
	$(PYTHON) -m tests.bench.load

# make faults ONLY=pooler: some of them
faults: setup-systemd
	$(PYTHON) -m pytest -s tests/faults -k "$(ONLY)"

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
