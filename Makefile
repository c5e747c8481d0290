# `make run` and `make test` are all that a newcomer needs; each installs what it uses.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CONSUL := .cache/consul/consul
ARGS   ?=
# Tests of pure parts: they need neither Consul nor Debian's tools, and take seconds.
QUICK  := tests/config tests/dns tests/views tests/wire tests/agent tests/test_incidents.py tests/test_backoff.py \
          tests/kubernetes/test_desired.py tests/kubernetes/test_plan.py \
          tests/kubernetes/test_flat_names.py tests/kubernetes/test_reverse.py
# Pure packages: every branch of them can be tested without a process, so `make coverage` wants it.
PURE   := consuldns/dns/*,consuldns/wire/*,consuldns/views/*,consuldns/config/*,consuldns/sync/desired/*,consuldns/names.py

.PHONY: help run test setup consul tools lint format types contracts dependencies unit quick \
        coverage pythons lock fuzz faults differential bench binary deb test-binary test-deb site clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 22

run: setup ## set everything up, then start `consuldns dev`: embedded Consul agent, sample services, DNS
	@echo "== starting consuldns dev (Ctrl-C stops it)"
	@$(BIN)/consuldns dev

test: lint types contracts dependencies unit ## set everything up, then run all checks and tests

setup: $(VENV)/.installed ## virtual environment with the project and its locked dependencies

$(VENV)/.installed: pyproject.toml requirements/dev.txt
	@echo "== installing consuldns and its dependencies into $(VENV)"
	@tests/support/ensure_python.sh $(PYTHON) $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

consul: $(CONSUL) ## a real Consul for the tests, under .cache/ (one on PATH, else Debian 11's package)

$(CONSUL):
	@echo "== providing a Consul binary under .cache/consul"
	@tests/support/ensure_consul.sh $(CONSUL)

tools: ## Debian's tools for the tests: dig, kdig, dnsperf, unbound, dnsmasq, chromium
	@tests/support/ensure_tools.sh

lint: setup ## ruff: rules and format
	@echo "== lint"
	@$(BIN)/ruff check consuldns tests benchmarks packaging
	@$(BIN)/ruff format --check consuldns tests benchmarks packaging

format: setup ## format the code with ruff, and fix what it can fix
	@$(BIN)/ruff check --fix-only consuldns tests benchmarks packaging
	@$(BIN)/ruff format consuldns tests benchmarks packaging

types: setup ## mypy, strict
	@echo "== types"
	@$(BIN)/mypy

contracts: setup ## import-linter: the import layers in pyproject.toml
	@echo "== import contracts"
	@$(BIN)/lint-imports

dependencies: setup ## deptry: no unused and no undeclared dependencies
	@echo "== dependencies"
	@$(BIN)/deptry .

quick: setup ## tests of the pure parts, in seconds: no Consul, no DNS tools; ARGS=... for pytest
	@$(BIN)/python -m pytest -n 2 --hypothesis-profile=quick $(QUICK) $(ARGS)

unit: setup consul tools ## all tests, or some: make unit ARGS="tests/dns -k alias"
	@echo "== tests"
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

coverage: setup consul tools ## branch coverage of all tests, including child processes
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n 2 --dist worksteal $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --skip-covered
	@echo "== pure packages: at least 95 %"
	@$(BIN)/coverage report --format=total --fail-under=95 --include="$(PURE)"

pythons: ## `make quick` with every Python from 3.11 on that is installed
	@for version in 3.11 3.12 3.13 3.14; do \
	    python=; \
	    for candidate in "$$HOME"/.pyenv/versions/$$version.*/bin/python3 python$$version; do \
	        if "$$candidate" -c "" 2>/dev/null; then python=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then echo "== Python $$version is not installed"; continue; fi; \
	    echo "== Python $$version"; \
	    $(MAKE) --no-print-directory quick PYTHON="$$python" VENV=.cache/venv-$$version || exit 1; \
	done

lock: setup ## resolve the dependencies of pyproject.toml again into requirements/
	@$(BIN)/pip-compile $(LOCK) --output-file requirements/run.txt pyproject.toml
	@$(BIN)/pip-compile $(LOCK) --extra dev --constraint requirements/run.txt \
	    --output-file requirements/dev.txt pyproject.toml
	@$(BIN)/pip-compile $(LOCK) --extra packaging --constraint requirements/run.txt \
	    --output-file requirements/packaging.txt pyproject.toml
	@$(BIN)/pip-compile $(LOCK) --extra fuzz --constraint requirements/run.txt \
	    --output-file requirements/fuzz.txt pyproject.toml
	@$(BIN)/pip-compile $(LOCK) --extra docs --constraint requirements/run.txt \
	    --output-file requirements/docs.txt pyproject.toml

# No index, no addresses: a lock is names, versions and hashes.
LOCK := --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

fuzz: setup ## fuzz what comes from outside (MINUTES=5, TARGETS="queries upstream ...")
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/fuzz.txt
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),5) $(TARGETS)

faults: setup consul ## faults of Consul, network and processes under a steady client (SECONDS=10, NAMES="silent ...")
	@$(BIN)/python -m tests.faults --seconds $(or $(SECONDS),10) $(NAMES)

PACKAGING := .cache/packaging

$(PACKAGING)/.installed: requirements/packaging.txt pyproject.toml
	@echo "== installing what packages are built with into $(PACKAGING)"
	@tests/support/ensure_python.sh $(PYTHON) $(PACKAGING)
	@$(PACKAGING)/bin/python -m pip install --quiet --require-hashes --requirement requirements/packaging.txt
	@$(PACKAGING)/bin/python -m pip install --quiet --no-deps .
	@touch $@

binary: $(PACKAGING)/.installed ## dist/consuldns-<version>-linux-<arch>.tar.gz: the program with its own Python
	@$(PACKAGING)/bin/python -m pip install --quiet --no-deps --force-reinstall .
	@packaging/binary.sh $(PACKAGING)/bin/python

deb: binary ## dist/consuldns_<version>_<arch>.deb: the same for Debian and Ubuntu, with a systemd unit
	@packaging/deb.sh $(PACKAGING)/bin/python

# What a package must do: the walk-through, serving, the sync worker, a worker that is killed, reload.
PACKAGED := tests/end_to_end/test_dev.py tests/end_to_end/test_serve.py tests/end_to_end/test_processes.py \
            tests/end_to_end/test_serve_with_sync.py tests/end_to_end/test_nested_names.py

test-binary: binary setup consul tools ## the end-to-end tests with the standalone binary
	@rm -rf .cache/binary && mkdir -p .cache/binary
	@tar --strip-components=1 -C .cache/binary -xzf dist/consuldns-*-linux-$$(uname -m).tar.gz
	@PROGRAM_UNDER_TEST=$(CURDIR)/.cache/binary/consuldns $(BIN)/python -m pytest -n 2 $(PACKAGED) $(ARGS)

test-deb: deb setup consul tools ## the same with the files of the .deb, unpacked
	@rm -rf .cache/deb && mkdir -p .cache/deb
	@dpkg-deb -x dist/consuldns_*.deb .cache/deb
	@PROGRAM_UNDER_TEST=$(CURDIR)/.cache/deb/usr/bin/consuldns $(BIN)/python -m pytest -n 2 $(PACKAGED) $(ARGS)

SITE := .cache/site-tools

$(SITE)/.installed: requirements/docs.txt
	@echo "== installing what the site is built with into $(SITE)"
	@tests/support/ensure_python.sh $(PYTHON) $(SITE)
	@$(SITE)/bin/python -m pip install --quiet --require-hashes --requirement requirements/docs.txt
	@touch $@

site: $(SITE)/.installed ## the documents as a site in .cache/site/site; a page with a mistake ends it
	@rm -rf .cache/site && mkdir -p .cache/site && cp -r docs packaging/zensical.toml .cache/site
	@cd .cache/site && $(CURDIR)/$(SITE)/bin/zensical build --strict

differential: setup consul ## this server and a real Consul side by side: 50,000 generated questions
	@echo "== the same questions to Consul and to consuldns"
	@$(BIN)/python -m tests.differential --seeds 20 --queries 2500
	@echo "== the same while the catalog changes, and from another datacenter"
	@$(BIN)/python -m tests.differential --seeds 3 --queries 2000 --rounds 8
	@$(BIN)/python -m tests.differential --seeds 3 --queries 2000 --remote

bench: setup consul tools ## consuldns, Consul's own DNS, NSD and unbound, asked in turn by dnsperf
	@$(BIN)/python -m benchmarks.compare $(ARGS)

clean: ## remove everything that the other targets have created
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*
