package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A unit is what figures are in. Of some less is better.
type unit int

const (
	seconds unit = iota
	mebibytes
	perSecond // images
	gigaflops // a second
)

func (u unit) text(x float64) string {
	switch {
	case u == mebibytes:
		return fmt.Sprintf("%.0f MiB", x/(1<<20))
	case u == perSecond:
		return fmt.Sprintf("%.3g images/s", x)
	case u == gigaflops:
		return fmt.Sprintf("%.3g GFLOP/s", x)
	case x < 1:
		return fmt.Sprintf("%.3g ms", 1000*x)
	}
	return fmt.Sprintf("%.3g s", x)
}

// better is how many times as good a figure is as another.
func (u unit) better(own, other float64) float64 {
	if u == perSecond || u == gigaflops {
		return own / other
	}
	return other / own
}

// A comparison is a figure of this program, and of another where there is one, round
// by round.
type comparison struct {
	what       string
	unit       unit
	own, other []float64
	with       string
	goal       float64 // for how many times as good this program is
}

// ratios are how many times as good this program is, by round. The programs took turns,
// so that what slows the machine for a while slows both.
func (c *comparison) ratios() (ratios []float64) {
	for i, own := range c.own {
		ratios = append(ratios, c.unit.better(own, c.other[i]))
	}
	return ratios
}

// growing is what something costs with more and more of it.
type growing struct {
	what  string
	sizes []int
	costs []float64 // seconds
}

// A table is what a section has measured.
type table struct {
	notes []string
	grown bool // of what grows
	rows  []string
}

// compare adds a row.
func (t *table) compare(c comparison) {
	row := []string{c.what, c.unit.text(median(c.own)), "–", "–", "–", "–"}
	if len(c.other) > 0 {
		ratios := c.ratios()
		ratio := median(ratios)
		met := "yes"
		if ratio < c.goal {
			met = "**no**"
		}
		row[2], row[4], row[5] = c.with+": "+c.unit.text(median(c.other)), fmt.Sprintf("≥ %.3g ×", c.goal), met
		row[3] = fmt.Sprintf("%.3g ×", ratio)
		if len(ratios) > 1 {
			row[3] += fmt.Sprintf(" (%.3g to %.3g)", slices.Min(ratios), slices.Max(ratios))
		}
	}
	t.rows = append(t.rows, line(row))
}

// grow adds a row.
func (t *table) grow(g growing) {
	var costs []string
	for i, size := range g.sizes {
		costs = append(costs, fmt.Sprintf("%d: %.3g s", size, g.costs[i]))
	}
	last := len(g.sizes) - 2
	t.rows = append(t.rows, line([]string{g.what, strings.Join(costs, ", "),
		fmt.Sprintf("%.2f", exponent(g.sizes, g.costs)), fmt.Sprintf("%.2f", exponent(g.sizes[last:], g.costs[last:]))}))
}

func line(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// markdown is the table with its notes.
func (t *table) markdown() string {
	head := []string{"what", "modeldoctor", "other", "times as good (rounds)", "goal", "met"}
	if t.grown {
		head = []string{"what grows", "CPU time", "exponent", "last"}
	}
	var b strings.Builder
	for _, n := range t.notes {
		b.WriteString(n + "\n\n")
	}
	b.WriteString(line(head) + "|" + strings.Repeat("---|", len(head)) + "\n")
	for _, r := range t.rows {
		b.WriteString(r)
	}
	return b.String()
}

// median is the middle of some figures, NaN of none.
func median(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
