package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
)

// targetFactor is how many unused images the gain in the population is measured on
// for each image of V, evenly spaced by class: all would take too long. The
// target's own error then makes its difference from an interval's middle spread
// a twentieth wider than the interval allows for.
const targetFactor = 5

// coverage counts how often the 95 % interval of ΔL̂ holds the gain of the four moves
// that were made, measured on images that V does not have.
func coverage(ctx context.Context, s *study) ([]row, error) {
	var rows []row
	for _, d := range []draw{s.draw(50, 200, 1), s.draw(10, 1000, 1)} {
		made, err := s.diagnoses(ctx, d)
		if err != nil {
			return nil, err
		}
		var all tally
		for _, m := range made {
			t, err := s.cover(ctx, m)
			if err != nil {
				return nil, err
			}
			all.add(t)
		}
		rows = append(rows, all.rows(d, min(targetFactor*d.size, s.images.Len()-d.size))...)
	}
	return rows, nil
}

// cover compares the intervals of a diagnosis with the gains on unused images.
func (s *study) cover(ctx context.Context, d diagnosis) (t counts, err error) {
	v := s.images.part(d.images)
	mv, err := newMoves(ctx, s.runner, v, s.layers, s.direction, d.report.Temperature)
	if err != nil {
		return t, err
	}
	defer mv.free()
	unused := without(s.images.Len(), d.images)
	if n := targetFactor * v.Len(); n < len(unused) {
		unused = s.images.part(unused).sample(n).indices
	}
	images := open(s.runner, s.images, unused, s.layers)
	defer func() { err = errors.Join(err, images.Close()) }()
	start := make([]float64, images.Len())
	if err := images.Evaluate(ctx, 0, mv.invT, start, nil, func(int) {}); err != nil {
		return t, err
	}
	for i, l := range s.layers {
		if err := images.Advance(ctx, l.Neck, func(int) {}); err != nil {
			return t, err
		}
		found := d.report.Layers[i].Transfer
		switch {
		case found == nil:
			continue
		case found.Reason != "":
			t.still++
			continue
		}
		target, err := mv.gain(ctx, images, l, found.Steps, start)
		if err != nil {
			return t, err
		}
		t.compare(found.Gain, target)
	}
	return t, nil
}

// counts are of one diagnosis's intervals.
type counts struct {
	intervals, held, tooHigh int
	heldByBoth               int // where the target's own error counts as well
	still                    int // layers without an interval, as nothing was moved
}

// compare counts an interval.
func (c *counts) compare(gain, target metric.Estimate) {
	c.intervals++
	if gain.CI95[0] <= target.Mean && target.Mean <= gain.CI95[1] {
		c.held++
	}
	if target.Mean < gain.CI95[0] {
		c.tooHigh++
	}
	if math.Abs(gain.Mean-target.Mean) <= metric.Z95*math.Hypot(gain.SE, target.SE) {
		c.heldByBoth++
	}
}

// tally adds up the counts of several diagnoses, whose intervals are not
// independent: layers share the images.
type tally struct {
	counts
	held1, tooHigh1 []float64 // shares, by diagnosis
}

func (t *tally) add(c counts) {
	t.intervals += c.intervals
	t.held += c.held
	t.tooHigh += c.tooHigh
	t.heldByBoth += c.heldByBoth
	t.still += c.still
	if c.intervals > 0 {
		t.held1 = append(t.held1, share(c.held, c.intervals))
		t.tooHigh1 = append(t.tooHigh1, share(c.tooHigh, c.intervals))
	}
}

func (t *tally) rows(d draw, unused int) []row {
	on := fmt.Sprintf("%v, seed %d; %d intervals (in %d more layers nothing was moved)", d, d.seed, t.intervals, t.still)
	return []row{
		{
			question: fmt.Sprintf("the 95 %% interval of ΔL̂ holds the gain of its four moves on %s unused images", thousands(unused)),
			target:   "≥ 93 %",
			found: fmt.Sprintf("%s ± %s; with the target's own error %s",
				percent(t.held, t.intervals), points(t.held1), percent(t.heldByBoth, t.intervals)),
			met: verdict(share(t.held, t.intervals) >= 0.93),
			on:  on,
		},
		{
			question: "its lower end is above that gain",
			target:   "≤ 2.5 %",
			found:    fmt.Sprintf("%s ± %s", percent(t.tooHigh, t.intervals), points(t.tooHigh1)),
			met:      verdict(share(t.tooHigh, t.intervals) <= 0.025),
			on:       on,
		},
	}
}
