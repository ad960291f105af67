package main

import (
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

// table is the rows with what they were measured on.
type table struct {
	study *study
	rows  []row
	wall  time.Duration
}

func (t *table) write(w io.Writer, args []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Command: `%s`\n\n", strings.TrimSpace("go run ./internal/trust "+strings.Join(args, " ")))
	fmt.Fprintf(&b, "Model %s, %d layers (blocks), direction %s, calibrated. %s of CIFAR-100's test images.\n\n",
		t.study.name(), len(t.study.layers), t.study.direction, thousands(t.study.images.Len()))
	fmt.Fprintf(&b, "Machine: %s. ", t.study.machine())
	if cpu, ok := cpuTime(); ok {
		fmt.Fprintf(&b, "Cost: %.0f seconds of CPU time, ", cpu.Seconds())
	}
	fmt.Fprintf(&b, "%.0f seconds passed.\n\n", t.wall.Seconds())
	b.WriteString("| what | target | measured | met | on |\n|---|---|---|---|---|\n")
	for _, r := range t.rows {
		met := "–"
		if r.met != nil {
			met = map[bool]string{true: "yes", false: "**no**"}[*r.met]
		}
		target := r.target
		if target == "" {
			target = "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.question, target, r.found, met, r.on)
	}
	_, err := io.WriteString(w, b.String())
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
