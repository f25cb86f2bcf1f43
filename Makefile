# Thin: every target is one script or one line. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Rooms whose unit tests also run under the thread sanitizer: gRPC's packaged libraries are not instrumented for it.
SANITIZED ?= base bytes runtime io net wire wal lts container store controller api_rest
FUZZED ?= wire wal lts container store controller api_grpc api_rest

.PHONY: help
help: ## this list
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 20

.PHONY: deps
deps: ## install what is missing (Debian 12, as root)
	@scripts/install-deps

.PHONY: run
run: ## install, build, start Millrace, run the main job (KEEP=1 leaves the server running)
	@scripts/run-main-job

.PHONY: build
build: ## install and build; the program is build/millrace
	@scripts/install-deps --build
	scripts/build-millrace release

.PHONY: test
test: build ## everything: unit tests, then the built program end to end
	@scripts/install-deps
	tests/e2e/run-all unit e2e

.PHONY: test-unit
test-unit: build ## unit tests only
	@tests/e2e/run-all unit

.PHONY: test-e2e
test-e2e: build ## end-to-end tests only (some: make test-e2e ONLY="lifecycle bad_input")
	@scripts/install-deps --java --python
	tests/e2e/run-all $(or $(ONLY),e2e)

.PHONY: test-slow
test-slow: build ## conformance tests that take minutes each: scaling by load, retention, watermarks, load
	@scripts/install-deps --java --python
	tests/e2e/conformance.sh slow

.PHONY: test-sanitizers
test-sanitizers: test-asan test-tsan ## both of these two

.PHONY: test-asan
test-asan: ## unit tests under address and undefined-behaviour sanitizers
	@scripts/install-deps --build
	scripts/test-preset asan

.PHONY: test-tsan
test-tsan: ## unit tests under the thread sanitizer
	@scripts/install-deps --build
	scripts/test-preset tsan $(SANITIZED)

.PHONY: test-gcc
test-gcc: ## unit tests compiled by g++ 12
	@scripts/install-deps --build
	scripts/test-preset gcc

.PHONY: fuzz
fuzz: ## 20 seconds of each fuzzer
	@scripts/install-deps --build
	MILLRACE_LABEL=fuzz scripts/test-preset fuzz $(FUZZED)

.PHONY: bench
bench: build ## against the null sink and Pravega, and the main job (ROUNDS=5 QUICK=1 PARTS="append latency java start recovery")
	@scripts/install-deps --java --python
	bench/run $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick) $(PARTS)
	[[ -n "$(PARTS)" ]] || scripts/bench

.PHONY: flink
flink: ## connector for Apache Flink: build/flink/LINE/*.jar for 2.3 and 1.20 (one: LINES=2.3)
	@scripts/install-deps --java
	flink/build $(LINES)

.PHONY: test-flink
test-flink: build ## its tests against build/millrace, then faults on a cluster (LINES="2.3 1.20")
	@scripts/install-deps --java --python
	MILLRACE_FLINK_LINES="$(LINES)" tests/e2e/run-all flink

.PHONY: test-flink-faults
test-flink-faults: build ## jobs on both lines of Flink while processes are killed, rescaled, restarted; every event verified (ROUNDS=2 SEED=1)
	@scripts/install-deps --java --python
	flink/build 2.3 1.20
	tests/flink/exactly_once.py --rounds $(or $(ROUNDS),2) --seed $(or $(SEED),1) --faults 6 --rate 400 --flink 2.3,1.20 --json build/flink/rounds.jsonl

.PHONY: demo
demo: ## flights and weather live through Flink, verified row by row (SPEEDUP=1000000 MONTHS=12 PORT_BASE=9090 KEEP=1)
	@echo "installing what is missing"
	scripts/install-deps
	echo "building Millrace (the first time takes some minutes)"
	[[ -n "$(MILLRACE_BIN)" ]] || scripts/build-millrace release millrace
	echo "building the connector and the demo (the first time fetches Flink)"
	demo/build
	exec demo/run $(if $(SPEEDUP),--speed-up $(SPEEDUP)) $(if $(MONTHS),--months $(MONTHS)) $(if $(PORT_BASE),--port-base $(PORT_BASE)) $(if $(KEEP),--keep)

.PHONY: check-lite
check-lite: ## format, layering, loops over temporaries, reasons of the deviations
	@scripts/install-deps --build --python
	scripts/check-format
	scripts/check-layering --self-test
	scripts/check-layering
	scripts/check-ranges --self-test
	scripts/check-ranges
	scripts/check-deviations

.PHONY: check
check: check-lite ## format, layering, coroutine rules; clang-tidy on what changed
	@scripts/build-millrace release
	scripts/check-coroutines
	scripts/check-tidy

.PHONY: check-all
check-all: check-lite ## the same, clang-tidy on everything
	@scripts/build-millrace release
	scripts/check-coroutines
	scripts/check-tidy --all

.PHONY: format
format: ## clang-format on every source
	@scripts/check-format --fix

.PHONY: clean
clean: ## remove what was built (data in var/ stays)
	@rm -rf build
