# FlowWeaver. Needs python3.11 with venv, make and git; everything else comes into .venv by itself, pinned by hash.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3.11
BIN := $(CURDIR)/.venv/bin
PACKAGES := $(sort $(patsubst %/pyproject.toml,%,$(wildcard */pyproject.toml)))
SOURCES := $(wildcard $(addsuffix /src,$(PACKAGES)) examples/*/src)
PROTOS = $(shell cd proto && find flowweaver -name '*.proto' | sort)
# what the environment was made from: when it changes, the environment is brought up to date
PINS := requirements-bootstrap.lock requirements.lock $(wildcard $(addsuffix /pyproject.toml,$(PACKAGES)))
READY := .venv/.ready-$(shell cat $(PINS) | cksum | cut -d' ' -f1)

# one checkout, one platform: its data stays here unless you say otherwise
export FLOWWEAVER_DATA ?= $(CURDIR)/.data
# values of the command line reach the programs as they were typed, whatever is in them
export KEYWORD

.PHONY: help setup demo up web test fuzz webtest screenshots guide bench bench-history simulate chaos check proto
help: ## lists the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## makes .venv (the other targets do so themselves)

$(READY):
	@{ echo "Setting up .venv from requirements.lock (the first time takes a few minutes)"; \
	test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --require-hashes -r requirements-bootstrap.lock; \
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock \
	|| { echo "Trying pip, which knows this machine's own package index"; \
	     $(BIN)/python -m ensurepip >/dev/null; \
	     $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock; }; \
	$(BIN)/uv pip install --quiet --offline --python $(BIN)/python --no-build-isolation --no-deps \
	    $(addprefix -e ./,$(PACKAGES)); \
	: "a dozen processes import all of this at each start: none of them has to compile it first"; \
	$(BIN)/python -m compileall -qq -j 0 .venv/lib $(SOURCES) || true; \
	rm -f .venv/.ready-*; touch $@; } >&2

demo: $(READY) ## starts the platform, runs the blog workflow, shows its article; KEYWORD=…, ONCE=1, KEEP=1
	@$(if $(if $(filter-out 0,$(ONCE)),$(filter-out 0,$(KEEP)),always),$(BUILD_WEB))
	@$(BIN)/flowweaver demo $(if $(filter-out 0,$(ONCE)),--once) $(if $(filter-out 0,$(KEEP)),--keep) \
	    --keyword "$$KEYWORD"

up: $(READY) ## starts the platform and shows its logs until Ctrl-C
	@$(BUILD_WEB)
	@$(BIN)/flowweaver up

web: $(READY) ## builds the web app, when it has changed
	@web/build.sh

# What must be proven to the last branch comes first; then recovery, which holds times, with nothing beside it but the
# simulation, which takes what is left over; when both are done everything else, several files at a time, since most of
# it waits for processes.
TESTERS ?= 3
# .ci/run gives a failed test a second try and names it (decision 0015)
AGAIN := $(if $(RERUNS),--reruns $(RERUNS) --max-suite-reruns 3 --rerun-show-tracebacks)
test: $(READY) ## runs every test, coverage enforced
	@$(BUILD_WEB)
	@$(BIN)/python -m pytest -q execution-service/tests/test_domain*.py --cov --cov-report=term \
	    --cov-config=execution-service/pyproject.toml
	@said=$$(mktemp); beside() { \
	    nice -n 19 $(BIN)/python -m pytest -q -n 2 tests/test_simulation.py >$$said 2>&1 || status=$$?; \
	    cat $$said; rm -f $$said; exit $${status:-0}; }; \
	beside & other=$$!; trap 'kill $$other 2>/dev/null || true' EXIT; status=0; \
	$(BIN)/python -m pytest -q $(AGAIN) tests/test_recovery.py || status=$$?; \
	wait $$other || status=$$?; trap - EXIT; \
	$(BIN)/python -m pytest -q --ignore=tests/test_recovery.py --ignore=tests/test_simulation.py --durations=20 \
	    --ignore-glob='*/execution-service/tests/test_domain*.py' \
	    $(AGAIN) -n $(TESTERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-fail-under=90 \
	    || status=$$?; \
	exit $$status

fuzz: $(READY) ## sends every route what its OpenAPI document allows and forbids; N=20000, SEED=1, MINUTES=20
	@cd tests && $(BIN)/python -m fuzz --requests $(or $(N),20000) --seed $(or $(SEED),1) --minutes $(or $(MINUTES),20)

webtest: web ## runs the web app's tests, in Chromium through the gateway too
	@web/build.sh run --silent types
	@web/build.sh run --silent first-load
	@web/build.sh run --silent contrast >/dev/null
	@web/build.sh run --silent test
	@web/build.sh run --silent test:browser

screenshots: web ## writes every page, theme and language to web/screenshots
	@web/build.sh run --silent screenshots

# for each language a platform of its own, started as its README says
guide: web ## walks the READMEs in Chromium and draws their pictures, docs/images, anew
	@trap '[ ! -d "$$FLOWWEAVER_DATA" ] || { $(BIN)/flowweaver stop || true; rm -rf "$$FLOWWEAVER_DATA"; }' EXIT; \
	for language in en ko; do \
	    export FLOWWEAVER_LANGUAGE=$$language FLOWWEAVER_DATA=$$(mktemp -d) FLOWWEAVER_PORT=0; \
	    $(BIN)/flowweaver demo --once --keep >/dev/null; \
	    FLOWWEAVER_BASE_URL=$$($(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["base_url"])' <"$$FLOWWEAVER_DATA/endpoint.json") \
	        web/build.sh exec -- playwright test --config=guide.config.ts; \
	    $(BIN)/flowweaver stop; rm -rf "$$FLOWWEAVER_DATA"; \
	done; \
	$(BIN)/python docs/shrink_images.py

bench: $(READY) ## measures the platform; ONLY=W1,W3 measures these only
	@$(BIN)/python -m bench

# takes a folder of 11 GB for a while, and five to thirty minutes
bench-history: $(READY) ## measures it on MariaDB with finished runs in it; RUNS=1000000, HISTORY_POOL=4G
	@RUNS="$(RUNS)" HISTORY_POOL="$(HISTORY_POOL)" $(BIN)/python -m bench.history

simulate: $(READY) ## simulates random runs under faults; N=5000, SEED=1, BREAK=fencing|cas|reload|reconciler|startkey
	@N="$(N)" SEED="$(SEED)" BREAK="$(BREAK)" DATABASE="$(DATABASE)" STORAGE="$(STORAGE)" $(BIN)/python -m simulation

chaos: $(READY) ## kills, stops and wipes the platform's processes under load, then audits; MINUTES=10, SEED=1
	@MINUTES="$(MINUTES)" SEED="$(SEED)" $(BIN)/python -m chaos

check: $(READY) ## ruff, mypy, import rules, buf, stubs and docs
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/buf lint proto
	$(BIN)/buf breaking proto --against proto/baseline.binpb
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(call generate,$$fresh); \
	for file in $$(cd "$$fresh" && find . -type f); do diff -u "proto/$$file" "$$fresh/$$file"; done; \
	echo "The committed stubs are those of the contracts."
	$(if $(wildcard tests/test_docs*.py),$(BIN)/python -m pytest -q $(wildcard tests/test_docs*.py))

proto: $(READY) ## generates the gRPC stubs again
	@$(call generate,proto)

# without the web app the platform runs all the same
BUILD_WEB = web/build.sh >&2 || echo "The web app could not be built; the platform starts without it." >&2

# plain protoc output: package = folder = import path
generate = cd proto && PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I . \
	--python_out="$(if $(filter proto,$1),.,$1)" --grpc_python_out="$(if $(filter proto,$1),.,$1)" \
	--mypy_out="$(if $(filter proto,$1),.,$1)" --mypy_grpc_out="$(if $(filter proto,$1),.,$1)" $(PROTOS) \
	&& cd ..

.PHONY: docs lock
docs: $(READY) ## writes the pages that come from the code: configuration, .env.example, tables
	@$(BIN)/python docs/generate_configuration.py
	@$(BIN)/python docs/generate_erd.py

lock: $(READY) ## pins what requirements.in asks for, with hashes and without the address of an index
	@$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    requirements.in -o requirements.lock
