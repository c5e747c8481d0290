# `make run` and `make test` are all that a newcomer needs; each sets up what it uses and says so.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CONSUL := .cache/consul/consul

.PHONY: help run test setup consul tools lint types contracts unit differential bench clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 22

run: setup ## set everything up, then start `consuldns dev`: embedded Consul agent, sample services, DNS
	@echo "== starting consuldns dev (Ctrl-C stops it)"
	@$(BIN)/consuldns dev

test: lint types contracts unit ## set everything up, then every test, with lint, types and import contracts

setup: $(VENV)/.installed ## virtual environment with the project and its dependencies

$(VENV)/.installed: pyproject.toml
	@echo "== installing consuldns and its dependencies into $(VENV)"
	@tests/support/ensure_python.sh $(PYTHON) $(VENV)
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

consul: $(CONSUL) ## a real Consul for the tests, under .cache/ (one on PATH, else Debian 11's package)

$(CONSUL):
	@echo "== providing a Consul binary under .cache/consul"
	@tests/support/ensure_consul.sh $(CONSUL)

tools: ## Debian's DNS tools for the tests: dig, kdig, dnsperf, unbound, dnsmasq
	@tests/support/ensure_tools.sh

lint: setup
	@echo "== lint"
	@$(BIN)/ruff check consuldns tests benchmarks
	@$(BIN)/ruff format --check consuldns tests benchmarks

types: setup
	@echo "== types"
	@$(BIN)/mypy

contracts: setup
	@echo "== import contracts"
	@$(BIN)/lint-imports

unit: setup consul tools
	@echo "== tests"
	@$(BIN)/python -m pytest -n 2

differential: setup consul ## this server and a real Consul side by side: 50,000 generated questions
	@echo "== the same questions to Consul and to consuldns"
	@$(BIN)/python -m tests.differential --seeds 20 --queries 2500
	@echo "== the same while the catalog changes, and from another datacenter"
	@$(BIN)/python -m tests.differential --seeds 3 --queries 2000 --rounds 8
	@$(BIN)/python -m tests.differential --seeds 3 --queries 2000 --remote

clean: ## remove what the targets above made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

bench: setup consul tools ## dnsperf against Consul's own DNS and against consuldns, the ratio of the two
	@$(BIN)/python -m benchmarks.throughput
