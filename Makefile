# `make demo` and `make test` need Python 3.11 and make, nothing else: set-up is a prerequisite of every target.
.DEFAULT_GOAL := help

# The first interpreter that is new enough; `make PYTHON=/path/to/python3 demo` overrides it.
PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test soak lint format bench accuracy screenshots requirements texts asyncapi lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(READY) ## start the whole product with a simulated company
	$(BIN)/tieout demo

# Many tests wait for servers, so more processes than cores are useful. The tests of a file run in one process.
PARALLEL ?= --numprocesses=4 --dist=loadfile --no-loadscope-reorder

test: $(READY) ## run the tests; TIEOUT_REQUIRE_CONTAINERS=1 fails instead of skipping those that need containers
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

lint: $(READY) ## check style, types and import rules; reports the faults of all checks
	@failed=; for check in "ruff check ." "ruff format --check ." "mypy" "lint-imports"; do \
		echo "$$check"; $(BIN)/$$check || failed="$$failed, $$check"; done; \
	[ -z "$$failed" ] || { echo "failed: $${failed#, }" >&2; exit 1; }

format: $(READY) ## format the code and fix style faults
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

KILLING := tests/integration/test_crashes.py tests/integration/test_two_workers.py tests/acceptance/test_attempts_under_kill.py

soak: $(READY) ## kill workers 300 times, in real time; then run all properties with 100 times the examples (long)
	@failed=; for tests in "$(KILLING)" "-m hypothesis"; do \
		TIEOUT_SOAK=1 $(BIN)/python -m pytest --timeout=21600 $$tests $(ARGS) || failed=1; done; [ -z "$$failed" ]

bench: $(READY) ## measure speed (long)
	$(BIN)/python -m benchmarks

accuracy: $(READY) ## measure how often position, amounts and cause are correct (long)
	$(BIN)/python -m benchmarks.accuracy

screenshots: $(READY) ## take screenshots of every page of the workspace, light and dark
	$(BIN)/python -m tools.screenshots $(ARGS)

requirements: $(READY) ## regenerate docs/requirements.md from the marks of the tests
	$(BIN)/python -m tools.requirements_table

texts: $(READY) ## write the templates of the catalogues again from the code, and update each language
	$(BIN)/python -m tools.texts

asyncapi: $(READY) ## regenerate docs/asyncapi.json from the code
	$(BIN)/python -m tools.asyncapi

# The lock files contain nothing specific to the machine: no index, no header. Build requirements are locked as well,
# because the project itself is installed without build isolation.
COMPILE = $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --build-deps-for editable

lock: $(READY) ## update the locked versions to the newest that pyproject.toml permits
	$(COMPILE) --extra postgres --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra postgres --extra dev --constraint requirements.lock \
		--output-file requirements-dev.lock pyproject.toml

clean: ## remove the environment and all generated files
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Set-up runs again only if the lock file or the project has changed.
$(READY): requirements-dev.lock pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "tieout needs Python 3.11 or newer, as python3.11 or python3 on the PATH." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
