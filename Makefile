# Both of the README's commands work from a clean clone: lab/setup brings what is missing.
PYTHON := .venv/bin/python
# test files side by side, each with servers of its own; they wait more than they work
WORKERS ?= 4
# each run's workers collect all tests, and a test may start the program: what is compiled once stays compiled
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup setup-16 setup-20 setup-browser setup-systemd setup-kamailio demo test test-22 test-16 test-20 test-nodes test-node-calls test-browser test-desk test-console pictures check web-check web-vendor bench bench-nodes faults deb clean

setup:
	@lab/setup

setup-16:
	@lab/setup --asterisk-16

setup-20:
	@lab/setup --asterisk-20

setup-browser:
	@lab/setup --browser

setup-systemd:
	@lab/setup --systemd

setup-kamailio:
	@lab/setup --kamailio

# make demo ASTERISK=16 (or 20): on that version; also a root folder with an Asterisk of your own
demo: $(if $(filter 16 20,$(ASTERISK)),setup-$(ASTERISK),setup)
	@$(if $(ASTERISK),AGENTBRIDGE_ASTERISK_ROOTS=$(ASTERISK)) $(PYTHON) -m lab.demo

# all of it on Asterisk 22, on 16 again what tries an Asterisk, and the desk in a browser; both versions are there before
# the first test, since one of them goes from the one to the other
test: setup-16 test-22 test-16 test-node-calls test-browser

# short tracebacks: a long one of a deep recursion ends the whole run of Python 3.11's pytest
# in the order of the folders: by number of tests, as pytest-xdist would, the slowest files begin last
PYTEST := lab/run-tests --tb=short -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# branches that the tests' own processes take, but for tests/acceptance; the daemons that they start are not measured, so
# that the floor is lower.
# `make test COVERAGE=` runs without: it costs the tests some speed.
ELSEWHERE := $(addprefix --ignore=tests/,bench faults browser nodes)
COVERAGE ?= --cov --cov-report=term:skip-covered --cov-fail-under=55
test-22: setup
	AGENTBRIDGE_ASTERISK_ROOTS=22 $(PYTEST) $(COVERAGE) tests $(ELSEWHERE)

# on 16 each file that tries a running Asterisk, as tests/conftest.py marks it
test-16: setup-16
	AGENTBRIDGE_ASTERISK_ROOTS=16 $(PYTEST) -m asterisk tests/contract tests/acceptance

# the same on Ubuntu's 20.6, by hand: `make test` leaves it out
test-20: setup-20
	AGENTBRIDGE_ASTERISK_ROOTS=20 $(PYTEST) -m asterisk tests/contract tests/acceptance

# Three Asterisks with an address each, in a network namespace of their own. What waits for outages is in `make test-nodes`
# and `make faults`; AGENTBRIDGE_NODE_PAIRS=500 make test-nodes: the long run of simultaneous calls.
NODES := unshare --net sh -c 'ip link set lo up && exec "$$@"' sh env AGENTBRIDGE_ASTERISK_ROOTS=22
test-nodes: setup-kamailio
	$(NODES) $(PYTHON) -m pytest --tb=short -s tests/nodes

test-node-calls: setup
	$(NODES) lab/run-tests --tb=short tests/nodes/test_node_calls.py

# In a network namespace of their own: with nothing but 127.0.0.1 Asterisk has no candidate to offer to a browser.
IN_NAMESPACE := unshare --net sh -c 'ip link set lo up && ip address add 10.99.0.1/32 dev lo && exec "$$@"' sh
# The agent's page and the rest beside each other, each in a namespace, since tests of the one cut its network.
test-browser: setup-browser
	$(MAKE) --no-print-directory -j2 --output-sync=target test-desk test-console
test-desk: setup-browser
	$(IN_NAMESPACE) env AGENTBRIDGE_ASTERISK_ROOTS=22 lab/run-tests $(wildcard tests/browser/test_desk*.py)
test-console: setup-browser
	$(IN_NAMESPACE) env AGENTBRIDGE_ASTERISK_ROOTS=22 lab/run-tests --durations=10 \
		$(filter-out tests/browser/test_desk%,$(wildcard tests/browser/test_*.py))

# the desk's pages in each language, theme and width, for people to judge: build/screenshots/
pictures: setup-browser
	$(IN_NAMESPACE) env AGENTBRIDGE_ASTERISK_ROOTS=22 AGENTBRIDGE_PICTURES=1 $(PYTHON) -m pytest \
		tests/browser/test_looks.py tests/browser/test_looks_desk.py

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports
	.venv/bin/deptry agentbridge lab tests
	.venv/bin/deptry agentbridge --optional-dependencies-dev-groups test,dev

# the desk's types, and its vendored modules: for whoever changes agentbridge/web, with Node
WEB := agentbridge/web
web-check:
	cd $(WEB)/vendor && npm ci --ignore-scripts --silent
	$(WEB)/vendor/node_modules/.bin/tsc -p $(WEB)/tsconfig.json

web-vendor:
	cd $(WEB)/vendor && npm ci --ignore-scripts --silent && node vendor.mjs

# one table, and JSON in the cache folder; make bench AGAINST=figures.json beside those of an earlier run
bench: setup
	$(PYTHON) -m tests.bench $(if $(AGAINST),--against $(AGAINST))

# Centres of 1 to 4 nodes, one after the other: make bench-nodes ARGS="FIGURES.json --nodes 1,4 --agents 10000 --at-work 2000 --seconds 600"
bench-nodes: setup
	$(NODES) $(PYTHON) -m tests.bench.nodes $(ARGS)

# make faults ONLY=pooler: some of them. In browsers: what takes minutes, as outages, hidden pages, and a shift of eight hours.
IN_BROWSERS := tests/faults/test_fault_browser.py tests/faults/test_fault_crowd.py
# pytest's status where ONLY selects none of a line's tests
NONE_OF_THEM := test $$? = 5
faults: setup-systemd setup-browser setup-kamailio
	$(PYTHON) -m pytest -s tests/faults $(addprefix --ignore=,$(IN_BROWSERS)) -k "$(ONLY)" || $(NONE_OF_THEM)
	$(IN_NAMESPACE) $(PYTHON) -m pytest -s $(IN_BROWSERS) -k "$(ONLY)" || $(NONE_OF_THEM)
	$(NODES) $(PYTHON) -m pytest --tb=short -s tests/nodes --ignore=tests/nodes/test_node_calls.py -k "$(ONLY)" || $(NONE_OF_THEM)

deb:
	packaging/build-deb dist

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
