# The everyday verbs. meson and ninja do the building; this file only names what people type.
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
BUILD ?= build
PYTHON := /usr/bin/python3

.DEFAULT_GOAL := help
.PHONY: help build demo test check undo fuzz bench bench-prepare bench-null bench-sim bench-spot bench-flood bench-bond bench-gateway clean prepare-build prepare-test

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: prepare-build ## build/mpquic (installs what is missing, as root)
	@tools/build $(BUILD)

demo: ## the tunnel in a laboratory on this machine; KEEP=1 leaves it up
	@tools/demo-intro
	@$(MAKE) build
	@$(PYTHON) lab/demo.py --build $(BUILD) $(if $(KEEP),--keep)

test: prepare-test ## every test, one line per stage; about 40 minutes on 2 cores
	@$(PYTHON) tools/run-tests

check: prepare-test ## format, static analysis and include layers
	@tools/build $(BUILD)
	@tools/lint all $(BUILD)

deb: prepare-test ## the Debian package, in build-deb/
	@tools/deb build-deb
	@ls build-deb/*.deb

undo: ## remove the packages and files that were installed from here
	@tools/prepare undo

fuzz: prepare-test ## RUNS executions of every parser's fuzz target (10000000)
	@tools/fuzz-runs --runs $(or $(RUNS),10000000) $(ARGS)

bench: build ## mpquic beside wireguard-go and OpenVPN, an hour on a quiet machine (ARGS=--quick)
	@$(PYTHON) bench/peers/bench.py --build $(BUILD) $(ARGS)

bench-prepare: ## install the rivals that `make bench` measures
	@tools/prepare bench

bench-null: build ## the null tunnel: TUN, UDP and AEAD batching without QUIC
	$(PYTHON) bench/bench_null.py $(ARGS)

bench-sim: build ## congestion control in the simulator
	$(BUILD)/bench/sim/bench-sim $(if $(ARGS),$(ARGS),--quick)

bench-spot: build ## the simulator against the laboratory: the same lines, modelled and real
	$(PYTHON) bench/spot/spot.py --build $(BUILD) $(ARGS)

bench-bond: build ## several WANs at once: the matrix of lab/links, modelled and real, with kernel MPTCP
	$(PYTHON) bench/bond/bond.py --build $(BUILD) $(ARGS)

bench-flood: build ## an established tunnel while somebody floods its hub with handshakes
	@$(PYTHON) bench/flood/flood.py --build $(BUILD) $(ARGS)

bench-gateway: build ## how fast the gateway repairs what others break, and what leaks meanwhile
	@$(PYTHON) bench/gateway/repair.py --build $(BUILD) $(ARGS)

clean: ## remove every build directory
	rm -rf build build-*

prepare-build:
	@tools/prepare build

prepare-test:
	@tools/prepare test
