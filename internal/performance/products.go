package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// products compares the matrix products of a ViT-B/16 with the most that a core can do,
// and two threads with one, by the benchmarks of package kernel.
func products(ctx context.Context, b *bench) (table, error) {
	t := table{notes: []string{"Products of a ViT-B/16 on 8 images, rows × columns × what is summed over; N and T say which operand is stored transposed. " +
		"A core's peak is that of the micro-kernel on a few cache lines, measured before. The last rows compare two threads with one."}}
	best := kernel.Best().String()
	speeds, err := b.benchmark(ctx, "^BenchmarkGemm$/^"+best+"$/_(1576x768x768|1576x3072x768|1576x768x3072|768x768x1576)$")
	if err != nil {
		return t, err
	}
	for _, r := range speeds {
		c := comparison{what: r.name, unit: gigaflops, with: "a core's peak", goal: 0.9}
		for i, speed := range r.metrics["GFLOP/s"] {
			c.own = append(c.own, speed)
			c.other = append(c.other, 100*speed/r.metrics["%-of-peak"][i])
		}
		t.compare(c)
	}
	threads, err := b.benchmark(ctx, "^BenchmarkGemmTwoThreads$")
	for _, r := range threads {
		c := comparison{what: r.name + ", two threads", unit: gigaflops, with: "one thread", goal: 1.9}
		c.own, c.other = r.metrics["GFLOP/s"], r.metrics["GFLOP/s-of-one-thread"]
		t.compare(c)
	}
	return t, err
}

// A measured benchmark is its last name and, by unit, its metrics round by round.
type measured struct {
	name    string
	metrics map[string][]float64
}

// benchmark runs those benchmarks of package kernel that match a pattern, each once a
// round.
func (b *bench) benchmark(ctx context.Context, pattern string) ([]measured, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", of(b, "300ms", "1x"),
		"-count", strconv.Itoa(b.rounds), "./graph/kernel").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test -bench: %w: %s", err, out)
	}
	return parseBenchmarks(string(out))
}

// parseBenchmarks reads what go test -bench prints.
func parseBenchmarks(out string) (all []measured, err error) {
	at := map[string]int{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name, _, _ := strings.Cut(fields[0][strings.LastIndex(fields[0], "/")+1:], "-") // without the number of processors
		if _, ok := at[name]; !ok {
			at[name] = len(all)
			all = append(all, measured{name, map[string][]float64{}})
		}
		for i := 2; i+1 < len(fields); i += 2 { // behind the name and the number of runs
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("go test -bench: %q in %q is no number", fields[i], line)
			}
			metrics := all[at[name]].metrics
			metrics[fields[i+1]] = append(metrics[fields[i+1]], value)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("go test -bench: no benchmark ran")
	}
	return all, nil
}
