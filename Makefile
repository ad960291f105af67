# What people type. `.ci/run` is what a change must pass; it needs no make.

PACKAGES ?= ./...
BENCH    ?= .
COUNT    ?= 1

# The header that stands in for NVIDIA's: a dependency's C can be told only here.
GPU_CFLAGS = CGO_CFLAGS="-O2 -I$(CURDIR)/graph/gpu/driver/include"

# Packages some of whose tests run on every backend.
DEVICE_TESTS = ./graph ./graph/exec ./nn ./diag ./pol

.PHONY: help build gpu test test-gpu gpu-bundle check bench microbench generate golden fmt

help:     ## this list
	@awk -F' *:.*## ' '/## /&&/^[a-z-]+:/ {printf "%-10s %s\n", $$1, $$2}' Makefile

build:    ## the program, ./modeldoctor
	go build ./cmd/modeldoctor

gpu:      ## the program with GPU support, ./modeldoctor (docs/gpu.md)
	$(GPU_CFLAGS) go build -tags gpu ./cmd/modeldoctor

test:     ## the tests of PACKAGES (all)
	go test $(PACKAGES)

test-gpu: ## the tests of GPU support, on a device that the CPU plays
	$(GPU_CFLAGS) go test -tags gpu ./graph/gpu/... ./graph/op ./graph/lowering ./fixtures
	$(GPU_CFLAGS) go test -tags gpu ./cmd/modeldoctor -run Scripts/gpu
	$(GPU_CFLAGS) go test -tags gpu -run "$$(scripts/device-tests $(DEVICE_TESTS))" -skip '/^cpu$$' $(DEVICE_TESTS)

gpu-bundle: ## .gpu-bundle: what a machine with a GPU runs, without Go (docs/gpu.md)
	scripts/gpu-bundle

check:    ## everything that a change must pass
	.ci/run

bench:    ## docs/performance.md, compared with PYTHON's packages and with the program BEFORE; QUICK=1 tries it out
	go run ./internal/performance -python '$(PYTHON)' -before '$(BEFORE)' $(if $(QUICK),-quick -o '')

microbench: ## the benchmarks of PACKAGES (all) whose names match BENCH (all), COUNT times
	go test -run '^$$' -bench '$(BENCH)' -count $(COUNT) $(PACKAGES)

generate: ## the assembly, trampolines, kernels (where nvcc is), and documents from the code
	go generate ./...

golden:   ## the golden files of package report, from what it prints now
	go test ./report -update

fmt:      ## gofmt
	gofmt -w .
