# What people and CI run. "make" alone lists it.

# make run
SAMPLES ?= config/samples
PORT_OFFSET ?= 0
DEV_DIR ?= .dev
# make test: which packages of the main module, and a pattern of test names; make test RUN=TestPortal PKG=./internal/portal
PKG ?= ./...
RUN ?=
# Test binaries that run at once. Many start a control plane of their own: one for each core is enough.
TEST_PARALLEL ?= 2
# make bench: small (five minutes), medium, large (hours), wide, or organizations x members such as 100x50
SIZE ?= small
# make fuzz: how long each target runs, as a number of inputs (20000x) or a time (5m)
FUZZ ?= 20000x

# make bench-go: a pattern of benchmarks' names, and how long each runs
BENCH ?= .
BENCHTIME ?= 100ms
# Those that start a control plane, each of which says in its docs how it is run.
CLUSTER_BENCHMARKS := ^Benchmark(Events|Find|Policies)$$

# Modules of this repository. Their go.mod are kept apart so that a tool never decides the version of a library we ship,
# and no library makes Kubernetes compile again.
MODULES := . hack/devcluster hack/devcluster/kube hack/tools

KUBE_PROGRAMS := bin/etcd bin/kube-apiserver bin/kube-controller-manager bin/kubectl
KUBE_VERSION := $(shell sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\).*|\1|p' hack/devcluster/kube/go.mod)
KUBE_VERSION_PARTS := $(subst ., ,$(KUBE_VERSION:v%=%))
KUBE_LDFLAGS := -s -w \
	-X k8s.io/component-base/version.gitVersion=$(KUBE_VERSION) \
	-X k8s.io/component-base/version.gitMajor=$(word 1,$(KUBE_VERSION_PARTS)) \
	-X k8s.io/component-base/version.gitMinor=$(word 2,$(KUBE_VERSION_PARTS))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test bench bench-go fuzz verify lint generate build devcluster test-deps clean FORCE

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build devcluster ## Start control plane, mail catcher and operator with samples; SAMPLES= for none, PORT_OFFSET=1000 DEV_DIR=.dev2 for a second one
	@exec bin/devcluster run --dir '$(DEV_DIR)' --port-offset $(PORT_OFFSET) \
		--operator bin/orgkeeper --config config/default --samples '$(SAMPLES)'

test: build devcluster test-deps ## Run every test; RUN=TestName PKG=./controllers/... narrows
ifeq ($(PKG),./...)
	cd hack/devcluster && go test -count=1 -timeout 15m $(if $(RUN),-run '$(RUN)') ./...
endif
	go test -count=1 -p $(TEST_PARALLEL) -timeout 60m $(if $(RUN),-run '$(RUN)') $(PKG)

bench: build devcluster ## Measure what it costs, on a real control plane: SIZE=small (five minutes), medium, large, wide or 100x50; results in .bench
	go build -o bin/bench ./hack/bench
	bin/bench -size '$(SIZE)'

fuzz: ## Look for input that breaks tokens, pages, mails or names, with every target that there is; FUZZ=5m for longer
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' api cmd controllers internal | sed 's|/[^/]*:func | |' | sort | \
	while read -r package target; do \
		echo "$$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ) -fuzzminimizetime 20x -parallel $(TEST_PARALLEL) "./$$package" </dev/null || exit 1; \
	done

bench-go: ## Run the Go benchmarks of what needs no cluster, with allocations, in a minute or two; BENCH=Access PKG=./internal/facts narrows
	go test -run '^$$' -bench '$(BENCH)' -skip '$(CLUSTER_BENCHMARKS)' -benchmem -benchtime $(BENCHTIME) -p 1 -timeout 15m $(if $(filter ./...,$(PKG)),./internal/...,$(PKG))

verify: generate ## Generate, format and tidy, and fail on any difference from what is committed, untracked files too
	@failed=0; \
	unformatted=$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; failed=1; fi; \
	for module in $(MODULES); do \
		(cd $$module && go mod tidy -diff) || { echo "not tidy (go mod tidy): $$module"; failed=1; }; \
	done; \
	changes=$$(git status --porcelain --untracked-files=all); \
	if [ -n "$$changes" ]; then \
		echo "generated but not committed, or not clean before:"; echo "$$changes"; git --no-pager diff; failed=1; \
	fi; \
	exit $$failed

lint: bin/golangci-lint bin/golangci-kube-api-linter ## Lint the code, and the API by the rules of Kubernetes
	bin/golangci-lint run ./...
	cd hack/devcluster && ../../bin/golangci-lint run ./...
	bin/golangci-kube-api-linter run --config .golangci-kal.yml ./api/...

generate: bin/controller-gen ## Generate deep copies, apply configurations and CRDs from api/
	bin/controller-gen paths=./api/... \
		object:headerFile=hack/boilerplate.go.txt \
		applyconfiguration:headerFile=hack/boilerplate.go.txt \
		crd output:crd:artifacts:config=config/crd/bases

build: bin/orgkeeper ## Build the operator, bin/orgkeeper

devcluster: bin/devcluster $(KUBE_PROGRAMS) ## Build the control plane to develop against (about ten minutes, once)

test-deps: ## Install what the tests need from the system
	@hack/test-deps.sh

clean: ## Remove what was built; .dev stays
	rm -rf bin cover.out

# Go knows what is up to date better than make does.
FORCE:

bin/orgkeeper: FORCE
	CGO_ENABLED=0 go build -trimpath -o $@ ./cmd

bin/devcluster: FORCE
	cd hack/devcluster && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o ../../$@ .

# But linking Kubernetes takes 20 seconds even when nothing is to be compiled, hence a real rule.
bin/kube: hack/devcluster/kube/go.mod hack/devcluster/kube/go.sum $(wildcard hack/devcluster/kube/*.go)
	@echo "building etcd, kube-apiserver, kube-controller-manager and kubectl $(KUBE_VERSION); about ten minutes the first time"
	cd hack/devcluster/kube && go build -trimpath -buildvcs=false -ldflags '$(KUBE_LDFLAGS)' -o ../../../$@ .

$(KUBE_PROGRAMS): bin/kube
	ln -sfn kube $@

bin/controller-gen: TOOL := sigs.k8s.io/controller-tools/cmd/controller-gen
bin/golangci-lint: TOOL := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
bin/golangci-kube-api-linter: TOOL := sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter
bin/controller-gen bin/golangci-lint bin/golangci-kube-api-linter: hack/tools/go.mod hack/tools/go.sum
	cd hack/tools && go build -buildvcs=false -o ../../$@ $(TOOL)
