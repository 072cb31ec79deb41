# Gannet: `make run` starts a node, `make test` runs every test.
# Both bring what they need; see scripts/deps.sh.

SHELL := /bin/bash
GO ?= go
export CGO_ENABLED ?= 0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
CHECK = scripts/test.sh

.PHONY: help
help: ## this text
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n",$$1,$$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/gannet and bin/gannet-dataplane
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/gannet ./cmd/gannet-dataplane

.PHONY: run
run: build ## one node with embedded etcd on loopback (ARGS='--help' for its flags)
	bin/gannet dev $(ARGS)

.PHONY: test
test: test-deps build ## all tests; as root also those that need the kernel
	$(CHECK) ./...

.PHONY: test-deps
test-deps:
	@scripts/deps.sh test

.PHONY: test-race
test-race: ## the tests again under the race detector (needs gcc)
	@scripts/deps.sh race
	CGO_ENABLED=1 $(CHECK) -race $(RACE_PACKAGES)

RACE_PACKAGES = ./board/... ./client/... ./config/... ./control/... ./replication/... ./security/... ./dataplane/ ./dataplane/porttest/... ./gateway/... ./loadgen/ ./ring/... ./shard/... ./wire/...

.PHONY: test-asan
test-asan: ## the memory tests with poisoned slots under AddressSanitizer (needs gcc)
	@scripts/deps.sh race
	CGO_ENABLED=1 $(CHECK) -asan -short ./alloc/... ./shard/

.PHONY: lint
lint: ## go vet, staticcheck, gofumpt
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	cd benchmarks && $(GO) vet ./... && "$$(cd .. && $(GO) tool -n staticcheck)" ./...
	@bad=$$($(GO) tool gofumpt -l $$(git ls-files '*.go' | grep -v _bpfel.go)); \
		[ -z "$$bad" ] || { echo "run go tool gofumpt -w on:"; echo "$$bad"; exit 1; }

.PHONY: generate
generate: ## regenerate the eBPF objects with the pinned compiler (clang-14)
	@scripts/deps.sh generate
	$(GO) generate ./bpf

FUZZTIME ?= 10s
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each
	FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

TRACE ?=
DATAPATH ?= xdp
.PHONY: demo-xdp
demo-xdp: build ## replay a trace over veth: TRACE=… ARGS='--format …' DATAPATH=xdp|udp
	$(GO) run ./test/demo -trace '$(TRACE)' -datapath $(DATAPATH) -out out/demo-xdp.json -- $(ARGS)

.PHONY: test-tuning
test-tuning: test-deps ## host tuning: fake hosts, veth, scripts, the package in a root of its own
	$(CHECK) ./tuning/... ./test/tuning/...

.PHONY: deb
deb: build ## a Debian package in out/
	VERSION='$(VERSION)' deploy/deb/build.sh out

.PHONY: check-node
check-node: build ## measure one node: out/node.json (FULL=1 for full counts, ONLY=id for one row)
	@scripts/deps.sh check
	FULL=$(FULL) ONLY=$(ONLY) $(GO) run ./test/checknode -out out/node.json

.PHONY: bench
bench: build ## rivals side by side: out/bench.json, out/bench.html (FULL=1, ONLY=row)
	FULL=$(FULL) ONLY=$(ONLY) scripts/bench.sh

.PHONY: bench-quick
bench-quick: build ## one row of it in two minutes
	QUICK=1 scripts/bench.sh

.PHONY: test-benchmarks
test-benchmarks: ## the tests of the suite, a module of its own
	scripts/rivals.sh out/rivals
	cd benchmarks && $(GO) mod tidy -diff && $(GO) test -count=1 -p 1 ./...

.PHONY: microbench
microbench: ## microbenchmarks against the committed ratios and allocation counts
	scripts/microbench.sh

.PHONY: test-zerocopy
test-zerocopy: ## zero copy on real drivers in an emulated machine: out/zerocopy.json
	scripts/zerocopy.sh

.PHONY: check-hotkeys
check-hotkeys: build ## hot keys in the kernel: out/hotkeys.json (FULL=1, ONLY=id)
	FULL=$(FULL) ONLY=$(ONLY) $(GO) run ./test/hotkeys -out out/hotkeys.json

.PHONY: check-incast
check-incast: build ## 16 servers, one bottleneck: grants beside a window and no control; out/incast.json
	FULL=$(FULL) $(GO) run ./test/incast -out out/incast.json $(if $(ONLY),-only $(ONLY))

.PHONY: test-cluster
test-cluster: build ## real nodes, killed, silenced, cut off, drained, joined: out/cluster.json (FULL=1, ONLY=id)
	@scripts/deps.sh check
	@mkdir -p out
	$(GO) build -o out/test-cluster ./test/cluster
	FULL=$(FULL) ONLY=$(ONLY) out/test-cluster -out out/cluster.json

.PHONY: test-client
test-client: build ## leases, hot keys, retries, loss, incast, REST, Python: out/client.json (FULL=1, ONLY=id)
	@scripts/deps.sh check
	@mkdir -p out
	$(GO) build -o out/test-client ./test/client
	FULL=$(FULL) ONLY=$(ONLY) out/test-client -out out/client.json

SEEDS ?= 1000
FROM ?= 1
.PHONY: sim
sim: ## the cluster on a seeded schedule of faults: SEEDS=1000 FROM=1
	@mkdir -p out
	OUT=out/sim.json SEEDS=$(SEEDS) FROM=$(FROM) $(GO) run ./test/sim

.PHONY: clean
clean: ## remove what was built and measured
	rm -rf bin out
