# unroot: build, tests, measurements. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
FUZZTIME ?= 3s
# a missing oracle fails in CI: a skip is not a pass
ifeq ($(CI),true)
export UNROOT_REQUIRE_ALL := 1
endif

TIERS := test-unit test-programs test-cross test-fuzz test-real test-services
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.PHONY: help build programs test $(TIERS) test-setup fuzz bench clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

build: ## bin/unroot, static, so that it can also be mounted into an engine's container
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/unroot ./cmd/unroot

programs: ## build unroot-init for every platform into internal/startup/program/built
	$(GO) generate ./internal/startup/program

test: ## everything, with its own set-up: the test command
	@start=$$SECONDS; \
	for tier in test-setup $(TIERS); do \
		at=$$SECONDS; echo "== $$tier"; \
		$(MAKE) $$tier || { echo "FAIL $$tier after $$((SECONDS - at)) s"; exit 1; }; \
		times+="$$tier $$((SECONDS - at)) s, "; \
	done; \
	echo "ok: $${times}all $$((SECONDS - start)) s"

test-setup: ## install the Debian packages that the tests need
	@test/install.sh

test-unit: ## gofmt, go vet, and the tests beside the code
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) test ./internal/... ./cmd/...

test-programs: ## build unroot-init for every platform again, and compare the bytes with the committed ones
	$(GO) test -count=1 -timeout 30m -run TestRebuilt ./internal/startup/program -all

test-cross: ## compile for every platform
	@for platform in $(PLATFORMS); do \
		echo "$$platform"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/unroot; \
	done

test-fuzz: ## every fuzz target for a short time (FUZZTIME=3s)
	@test/fuzz.sh $(FUZZTIME)

test-real: ## real images, engines and registries (needs root on Debian)
	$(GO) test -timeout 30m $$($(GO) list ./test/... | grep -v /test/services)

test-services: ## convert real services by what their runs show, and ask what comes out
	$(GO) test -timeout 30m ./test/services

fuzz: ## every fuzz target for a long time
	@test/fuzz.sh 5m

bench: ## measure side by side with what people use today; writes BENCHMARKS.md
	$(GO) run ./bench

clean: ## remove what was built here
	rm -rf bin
