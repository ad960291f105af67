package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/metric"
)

// A row of the table is one thing that was measured.
type row struct {
	question string // what was looked at
	target   string // what it should be; empty: nothing was asked
	found    string
	met      *bool // nil: nothing was asked
	on       string
}

func verdict(met bool) *bool { return &met }

// table writes rows as they are measured, and in the end what they cost.
type table struct {
	to    io.Writer
	study *study
	start time.Time
}

func (t *table) begin(args []string) error {
	_, err := fmt.Fprintf(t.to, "Command: `%s`\n\nModel %s, %d layers (blocks), direction %s, calibrated. %s of CIFAR-100's test images.\n\n%s",
		strings.TrimSpace("go run ./internal/trust "+strings.Join(args, " ")),
		t.study.name(), len(t.study.layers), t.study.direction, thousands(t.study.images.Len()),
		"| what | target | measured | met | on |\n|---|---|---|---|---|\n")
	return err
}

func (t *table) add(rows []row) error {
	for _, r := range rows {
		met := "–"
		if r.met != nil {
			met = map[bool]string{true: "yes", false: "**no**"}[*r.met]
		}
		if _, err := fmt.Fprintf(t.to, "| %s | %s | %s | %s | %s |\n", r.question, cmp.Or(r.target, "–"), r.found, met, r.on); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) end() error {
	cost := fmt.Sprintf("%.0f seconds passed", time.Since(t.start).Seconds())
	if cpu, ok := cpuTime(); ok {
		cost = fmt.Sprintf("%.0f seconds of CPU time, %s", cpu.Seconds(), cost)
	}
	_, err := fmt.Fprintf(t.to, "\nMachine: %s. Cost: %s.\n", t.study.machine(), cost)
	return err
}

// share is k of n, 0 of none.
func share(k, n int) float64 { return float64(k) / float64(max(n, 1)) }

// percent writes a share.
func percent(k, n int) string { return fmt.Sprintf("%.1f %%", 100*share(k, n)) }

// points writes the standard error of the mean of shares, in per cent.
func points(shares []float64) string {
	return fmt.Sprintf("%.1f", 100*metric.NewEstimate(shares).SE)
}

// thousands writes a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
