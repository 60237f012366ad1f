# Every target is one command; `make test` is the one that must pass before anything lands.
.DEFAULT_GOAL := build
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO := CGO_ENABLED=0 go

.PHONY: build
build: ## the static binary, bin/gokafka
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/gokafka ./cmd/gokafka

.PHONY: test
test: ## everything: unit tests with -race, then stock clients and Apache Kafka beside gokafka (installs what it needs, cached)
	go -C compat run ./cmd/alltests

.PHONY: unit
unit: ## the unit tests alone, no installation, about a minute
	go vet ./... && go test -race ./...

.PHONY: zookeeper
zookeeper: ## the metadata store and the controller against a real ZooKeeper (Debian's package zookeeper)
	go test -race -tags zookeeper ./cluster/metastore/zktest ./cluster/controller

.PHONY: sim
sim: ## the simulated cluster, SEEDS random seeds (default 300) of STEPS steps (default 6000)
	go test ./cluster/sim -run 'TestSimulation|TestTransactions' -seeds=$(or $(SEEDS),300) -steps=$(or $(STEPS),6000) -timeout 60m

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 30s)
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep ^Fuzz); do \
	  echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),30s) $$p || exit 1; done; done

.PHONY: compat-full
compat-full: ## all compat cases with all clients, longer rounds
	COMPAT_FULL=1 go -C compat test -count=1 -timeout 3h ./...

.PHONY: chaos
chaos: ## a cluster of three under load from three kinds of clients: a broker is killed, paused, cut off and stopped, EACH (default 50) times; ROUNDS=N: N of all faults
	go -C compat test -v -timeout 180m -run TestChaos ./cluster $(if $(ROUNDS),-chaos $(ROUNDS),-chaos.each $(or $(EACH),50))

.PHONY: mixed
mixed: ## gokafka and Apache Kafka brokers in one cluster and by turns on one directory, in full (about half an hour)
	go -C compat test -count=1 -timeout 90m -v ./mixed -full

.PHONY: txn
txn: ## transactions under faults beside Apache Kafka, for ROUNDS rounds (default 10)
	go -C compat test -count=1 -timeout 6h ./txn -full -rounds $(or $(ROUNDS),10)

.PHONY: bench
bench: ## beside Apache Kafka 3.9.2 in the same run; writes docs/benchmarks.md (about an hour on two cores)
	go -C compat run ./bench

.PHONY: bench-cluster
bench-cluster: ## three brokers beside three of Apache's in the same run; writes docs/benchmarks-cluster.md
	go -C compat run ./bench -cluster

.PHONY: image
image: build ## the container image gokafka:latest
	mkdir -p bin/data
	docker build -t gokafka:latest .

.PHONY: help
help:
	@grep -hE '^[a-z-]+: ##|^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
