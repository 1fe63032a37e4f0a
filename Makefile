# Meridian. `make` alone lists what there is; `make demo` and `make test` are the two that matter.

SHELL       := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-builtin-rules
.DEFAULT_GOAL := help

# Servers, tools and empty data folders are kept here, outside the checkout.
CACHE := $(abspath $(or $(MERIDIAN_CACHE),$(HOME)/.cache/meridian))

LINT_VERSION := v2.15.0
LINT         := $(CACHE)/bin/golangci-lint-$(LINT_VERSION)

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  := $(shell git describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X meridian/internal/command.version=$(VERSION) -X meridian/internal/command.commit=$(COMMIT)

# Packages tested at once: each starts servers of its own, and two cores carry two of them.
TEST_PARALLEL ?= 2
TEST_TIMEOUT  ?= 18m
# What to test: make test PACKAGES=./internal/row/...
PACKAGES      ?= ./...
SOAK          ?= 30m

.PHONY: help demo test unit build servers lint vet bench soak clean

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: build ## three regions on this machine: conflicts, a cut network, and the proof that all rows are equal
	bin/syncer demo

test: servers vet lint unit ## all that is tested, on real servers, with the race detector; nothing is skipped

unit: ## the tests alone, when `make servers` has been run
	go test -race -timeout $(TEST_TIMEOUT) -p $(TEST_PARALLEL) $(PACKAGES)

build: ## bin/syncer and bin/verifier
	@mkdir -p bin
	go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

servers: ## get what the tests need into the cache (~/.cache/meridian, or MERIDIAN_CACHE): MySQL, MariaDB, Kafka, Redis
	@go run ./internal/servers/install

vet: ## go vet
	go vet ./...

lint: $(LINT) ## golangci-lint, as .golangci.yml has it
	$(LINT) run --allow-parallel-runners ./...

# Built from its module, once; a folder of its own and a rename keep two that build it at once apart.
$(LINT):
	@mkdir -p $(@D)
	@echo 'building golangci-lint $(LINT_VERSION) into $(@D), once (two minutes or so)'
	@work=$$(mktemp -d $(@D)/.lint-XXXXXX); trap 'rm -rf "$$work"' EXIT; \
	  GOBIN="$$work" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION); \
	  mv "$$work/golangci-lint" $@

bench: servers ## the figures of the README, measured here
	go run ./internal/bench

soak: servers ## the randomized test on real servers for SOAK=30m
	MERIDIAN_SOAK=$(SOAK) go test -race -count=1 -v -run TestStorm -timeout 0 ./internal/storm

clean: ## remove what was built here; the cache stays
	rm -rf bin
