package main

import (
	"context"
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/diag"
)

// randomLabels diagnoses on images with each other's labels, where no layer can have
// anything to gain.
func randomLabels(ctx context.Context, s *study) ([]row, error) {
	var rows []row
	for _, d := range []draw{s.draw(15, 200, 3), s.draw(3, 1000, 3)} {
		over, layers, passed, unfitted, overUnfitted := 0, 0, 0, 0, 0
		for i, part := range d.parts(s.images.labels) {
			r, err := s.diagnose(ctx, s.runner, s.images.part(part).shuffled(uint64(i+1)), s.layers)
			if err != nil {
				return nil, err
			}
			none := r.Calibration == diag.Unfitted
			if none {
				unfitted++
			}
			for _, l := range r.Layers {
				layers++
				if l.Verdict == diag.Over {
					over++
					if none {
						overUnfitted++
					}
				}
			}
			if r.Verdict.Outcome == diag.Pass {
				passed++
			}
		}
		rows = append(rows, row{
			question: "random labels: layers that are over",
			target:   "none",
			found:    fmt.Sprintf("%d of %d, %d of them in the %d of %d reports for which no temperature is best; %d reports say PASS", over, layers, overUnfitted, unfitted, d.sets, passed),
			met:      verdict(over == 0 && passed == 0),
			on:       d.String(),
		})
	}
	return rows, nil
}

// scaleNull multiplies the logits by numbers, which is to change no figure but the
// temperature.
func scaleNull(ctx context.Context, s *study) ([]row, error) {
	weights, err := s.network.LogitScale()
	if err != nil {
		return nil, err
	}
	v := s.images.part(s.draw(10, 1000, 1).parts(s.images.labels)[0])
	want, err := s.diagnose(ctx, s.runner, v, s.layers)
	if err != nil {
		return nil, err
	}
	// The direction of this layer mixes weights that carry the factor with others.
	head := len(s.layers) - 1
	var rows []row
	for _, scale := range []float32{0.5, 2, 4} {
		values := map[int][]float32{}
		for _, w := range weights {
			for _, x := range s.runner.Weight(w) {
				values[w] = append(values[w], scale*x)
			}
		}
		m, err := replace(s.runner, values)
		if err != nil {
			return nil, err
		}
		got, err := s.diagnose(ctx, m, v, s.layers)
		m.restore()
		if err != nil {
			return nil, err
		}
		delta, gain, verdicts := 0.0, 0.0, 0
		for i := range s.layers[:head] {
			a, b := want.Layers[i], got.Layers[i]
			delta = max(delta, math.Abs(a.DeltaLoss-b.DeltaLoss))
			if a.Transfer != nil && b.Transfer != nil {
				gain = max(gain, math.Abs(a.Transfer.Gain.Mean-b.Transfer.Gain.Mean))
			}
			if a.Verdict != b.Verdict || (a.Transfer == nil) != (b.Transfer == nil) {
				verdicts++
			}
		}
		rows = append(rows, row{
			question: fmt.Sprintf("logits times %g: the layers but the head", scale),
			target:   "no verdict changes, figures to 1e-6 of the loss",
			found: fmt.Sprintf("%d verdicts change; ΔL by at most %.1g, ΔL̂ by %.1g nats; the temperature is %.6g times as large (head: ΔL̂ %s, before %s)",
				verdicts, delta, gain, got.Temperature/want.Temperature, transfer(got.Layers[head]), transfer(want.Layers[head])),
			met: verdict(verdicts == 0 && max(delta, gain) <= 1e-6**want.Metrics.StartLoss),
			on:  "the first of " + s.draw(10, 1000, 1).String(),
		})
	}
	return rows, nil
}
