# Two commands matter: `make run` and `make test`. Everything else serves them.
VENV   := .venv
PYTHON ?= python3.11
BIN    := $(VENV)/bin

# The dashboard is built again when one of its sources is newer than the stamp that a build leaves last. Folders are
# among them, so that a file that was taken away counts too.
WEB         := api/web/dist/.built
WEB_SOURCES := $(shell find api/web/app api/web/public api/web/toolchain) \
  $(addprefix api/web/,package.json pnpm-lock.yaml nuxt.config.ts build.py) requirements-node.lock

# The clients that others wrote for the chains, which the devnets are tried with.
CHAIN_CLIENTS := tests/adapters/chains/node

ON_RAY := $(addprefix tests/,actors api console security web)

.PHONY: run web chromium test test-on-ray test-beside-ray lint lock soak simulate benchmark clean

run: $(VENV)/.installed  ## build what changed, start everything and print the address
	@$(MAKE) --no-print-directory web || echo "! The dashboard could not be built. Everything else starts without it."
	@$(BIN)/trellis up

web: $(WEB)  ## build the dashboard if its sources changed

$(WEB): $(WEB_SOURCES) | $(VENV)/.installed
	@test -e $@ || echo "· building the dashboard (about a minute the first time, half a minute when it changed)"
	@$(BIN)/python api/web/build.py

api/web/dist/.checked: $(WEB) | $(VENV)/.installed
	@$(BIN)/python api/web/build.py --check

chromium:  # what the browser tests drive; where it cannot be had, pytest's last lines say what was not run
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "· installing Chromium (Debian's package, about a minute)"; \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } \
	    >/dev/null 2>&1 || echo "! Chromium could not be installed: the browser tests are not run"; \
	else echo "! There is no Chromium here, so the browser tests are not run. As root: make chromium"; fi

$(CHAIN_CLIENTS)/node_modules/.installed: $(addprefix $(CHAIN_CLIENTS)/,package-lock.json install.py) | $(VENV)/.installed
	@$(BIN)/python $(CHAIN_CLIENTS)/install.py

test: $(VENV)/.installed-test lint web api/web/dist/.checked chromium $(CHAIN_CLIENTS)/node_modules/.installed  ## every check and every test
	@# The engine's coverage is measured where its rules are tested one by one; tracing the whole suite doubles its time.
	@$(BIN)/pytest tests/unit --cov=engine --cov-fail-under=95
	@# Most of the others wait for sockets and processes, so two halves run at once. What starts Ray stays together.
	@$(MAKE) --no-print-directory -j 2 --output-sync=target test-on-ray test-beside-ray
	@# The crash simulation computes, on both cores; its time is told.
	@$(BIN)/pytest tests/simulation

test-on-ray:
	@$(BIN)/pytest $(ON_RAY)

test-beside-ray:
	@$(BIN)/pytest tests $(addprefix --ignore=,tests/unit tests/simulation $(ON_RAY))

lint: $(VENV)/.installed-test
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

soak: $(VENV)/.installed-test  ## 20 bots, an hour of recordings, faults and kills: prints the counts
	@$(BIN)/python -m benchmarks.soak

simulate: $(VENV)/.installed-test  ## 5,000 seeded worlds, the table of crashes, 500 kills: an hour and more; prints the counts
	@$(BIN)/python -m benchmarks.simulate

benchmark: $(VENV)/.installed-test  ## the grid order loop beside its peers
	@$(BIN)/python -m benchmarks.order_loop

lock: $(VENV)/bin/uv  ## resolve pyproject.toml again; no registry address is written
	@$(BIN)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 --extra test \
	  -c requirements.lock pyproject.toml -o requirements-test.lock

$(VENV)/bin/uv:
	@command -v $(PYTHON) >/dev/null || { echo "Trellis needs Python 3.11: install it, or say where: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "· making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/uv
	@echo "· installing the locked packages (about half a minute the first time)"
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-test: requirements-test.lock $(VENV)/.installed
	@echo "· installing what the tests need"
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements-test.lock
	@touch $@

clean:
	@rm -rf $(VENV) $(CHAIN_CLIENTS)/node_modules api/web/node_modules api/web/dist api/web/.nuxt api/web/.output .pytest_cache .mypy_cache .ruff_cache .hypothesis
