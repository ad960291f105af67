# What people type. `.ci/run` is what a change must pass; it needs no make.

PACKAGES ?= ./...
BENCH    ?= .
COUNT    ?= 1

.PHONY: help build test check bench generate golden fmt

help:     ## this list
	@awk -F' *:.*## ' '/## /&&/^[a-z]/ {printf "%-9s %s\n", $$1, $$2}' Makefile

build:    ## the program, ./modeldoctor
	go build ./cmd/modeldoctor

test:     ## the tests of PACKAGES (all)
	go test $(PACKAGES)

check:    ## everything that a change must pass
	.ci/run

bench:    ## the benchmarks of PACKAGES (all) whose names match BENCH (all), COUNT times
	go test -run '^$$' -bench '$(BENCH)' -count $(COUNT) $(PACKAGES)

generate: ## the assembly and docs/supported.md
	go generate ./...

golden:   ## the golden files of package report, from what it prints now
	go test ./report -update

fmt:      ## gofmt
	gofmt -w .
