# make demo and make test are all a newcomer needs; `make help` lists the rest.
SHELL      := /bin/bash
GO         ?= go
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS    := -X main.version=$(VERSION)
FUZZTIME   ?= 1s
GOLANGCI   := .tools/golangci-lint-v2.15.0
MODELS     ?= ../shared/models
export GOFLAGS := -buildvcs=false

.PHONY: help setup programs build demo demo-stop test pkcs11 check lint fuzz generated bench clean

help: ## say what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what a Debian machine lacks (PostgreSQL, SoftHSM, a C compiler for the race detector)
	@scripts/setup

programs: ## get programs that others wrote for KMS, for the tests that drive them (SOPS, cosign: minutes, once)
	@scripts/programs

build: ## build bin/borealis
	@CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -o bin/borealis ./cmd/borealis

demo: setup build ## share an encrypted snapshot between two accounts, end to end, and leave the server running
	@$(GO) run ./e2e/demo -borealis bin/borealis

demo-stop: ## stop the demo's server and remove its files
	@$(GO) run ./e2e/demo -stop

test: setup ## run all tests, with the race detector
	@scripts/programs light
	@scripts/test

pkcs11: ## run the tests that need a PKCS#11 token (SoftHSM: apt-get install softhsm2 opensc)
	@$(GO) test -tags pkcs11 -v -run Token ./internal/rootkey | grep -v '^=== '

check: lint generated test fuzz ## everything CI runs

lint: $(GOLANGCI) ## gofmt, golangci-lint with go vet
	@f="$$(gofmt -l $$(git ls-files '*.go'))"; [ -z "$$f" ] || { echo "gofmt would change: $$f"; exit 1; }
	@$(GOLANGCI) run ./...

$(GOLANGCI):
	@echo "installing golangci-lint into .tools (a few minutes, once)"
	@mkdir -p .tools
	@GOBIN=$(CURDIR)/.tools $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv .tools/golangci-lint $@

fuzz: ## run every fuzz target for a while (FUZZTIME=1s)
	@scripts/fuzz $(FUZZTIME)

generated: ## check that generated files are up to date (MODELS=folder of the API models)
	@scripts/generated $(MODELS)

bench: setup build ## run the benchmarks against their peers; results belong in bench/README.md
	@$(GO) run ./bench -borealis bin/borealis

clean: ## remove what make made
	@rm -rf bin .tools
