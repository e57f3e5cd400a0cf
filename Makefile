# Every command a developer or CI needs; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
INVENTORY ?= inventories/local.yml
BENCH ?=
ROUNDS ?= 200
PYTEST_ARGS ?=
# Workers that share the tests; what may not run at one time stays together (tests/conftest.py).
JOBS ?= 2
export PYTEST_PARALLEL := -n $(JOBS)
# ansible-core wants a UTF-8 locale, whatever the caller has.
export LC_ALL := C.UTF-8
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMP) ## Make .venv and install everything into it

$(STAMP): pyproject.toml constraints.txt tests/tools/make_venv.sh
	@tests/tools/make_venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

.PHONY: check
check: setup ## Format, lint, types, import directions, Ansible and YAML lint, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --offline --strict
	$(BIN)/python -m mlsysops_core.model.export --templates-dir templates --check

.PHONY: format
format: setup ## Format the code and mend what can be mended mechanically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: generate
generate: setup ## Write the generated files again (CRDs, schemas, OpenAPI, reference)
	$(BIN)/python -m mlsysops_core.model.export --templates-dir templates
	$(BIN)/python tests/tools/generate.py

.PHONY: test
test: check docs ## Every check and every test that is not on demand (what CI runs)
	@tests/tools/matrix.sh "$(BIN)/python" newest
	$(BIN)/pytest $(PYTEST_PARALLEL) $(PYTEST_ARGS)

.PHONY: test-unit
test-unit: setup ## Unit tests only: no sockets, seconds
	$(BIN)/pytest $(PYTEST_PARALLEL) tests/unit $(PYTEST_ARGS)

.PHONY: hosts
hosts: setup ## Deploy to systemd hosts over SSH, made on this machine (root, Debian), break and remove them
	MLS_TEST_HOSTS=1 $(BIN)/pytest tests/e2e/test_hosts*.py $(PYTEST_ARGS)

.PHONY: test-matrix
test-matrix: setup ## Unit tests on every other Python from 3.11 to 3.14 that this machine has
	@tests/tools/matrix.sh "$(BIN)/python"

.PHONY: contract
contract: setup ## Kubernetes contract tests of the embedded engine (and of KUBEBUILDER_ASSETS where present)
	$(BIN)/pytest tests/integration/contract $(PYTEST_ARGS)

.PHONY: existing
existing: setup ## Deploy onto clusters that exist, real ones too (KUBEBUILDER_ASSETS, KARMADA_ASSETS; see CONTRIBUTING.md)
	MLS_TEST_EXISTING=1 $(BIN)/pytest tests/integration/existing tests/e2e/test_existing*.py $(PYTEST_ARGS)

.PHONY: crashes
crashes: setup ## Kill agents, and control planes, at random instants, ROUNDS times each (200)
	MLS_CRASH_ROUNDS=$(ROUNDS) $(BIN)/pytest tests/integration/agents/tiers/test_crashes.py tests/integration/contract/test_durability.py $(PYTEST_ARGS)

.PHONY: bench
bench: setup ## Measure the published figures: make bench [BENCH=name]
	@mkdir -p build
	$(BIN)/python tests/bench/run.py --output build/bench.json $(BENCH)

.PHONY: images
images: setup ## Build the images of agents and northbound with podman, buildah or docker; IMAGES_ARGS="--archives DIR"
	@$(BIN)/python tests/tools/images.py $(IMAGES_ARGS)

.PHONY: deploy-testbed
deploy-testbed: setup ## Stand up the local slice, deploy the test application and show it running
	@tests/tools/deploy_testbed.sh "$(BIN)" "$(INVENTORY)"

.PHONY: destroy-testbed
destroy-testbed: setup ## Remove the local slice again
	$(BIN)/mls framework destroy-all --inventory "$(INVENTORY)" --yes

.PHONY: docs
docs: setup ## Build the documentation, strictly, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

.PHONY: constraints
constraints: ## Resolve every dependency anew and pin the versions (PYTHON: the oldest that is supported)
	@tests/tools/constraints.sh "$(PYTHON)"

.PHONY: clean
clean: ## Remove build products and environments
	rm -rf build dist site .venv .venv-3.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
