package main

import (
	"context"
	"fmt"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/pol"
)

// A layer is trained on the first so many images of a draw, in rounds of so many
// epochs, until its gain there is below healed.
const (
	trainingImages = 8000
	healed         = 1e-3 // nats
	epochs         = 40   // in a round
	maxRounds      = 5
	trainingRate   = 0.2
)

// trainedLayers are the layers that are trained, each by itself: few weights beside
// so many images, so that what is nothing there is next to nothing elsewhere.
func trainedLayers() []string { return []string{"norm", "block:head"} }

// falseAlarms trains a layer on most of the images until there is nothing to gain
// from moving it there, and diagnoses it on the others.
func falseAlarms(ctx context.Context, s *study) ([]row, error) {
	order := s.draw(1, trainingImages, 1).parts(s.images.labels)[0]
	training, rest := s.images.part(order), s.images.part(without(s.images.Len(), order))
	var rows []row
	for _, name := range trainedLayers() {
		_, found, err := s.network.FindLayer(name)
		if err != nil {
			return nil, err
		}
		layer := diagLayer(found)
		more, err := s.alarms(ctx, layer, training, rest)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", name, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// alarms trains a layer and diagnoses it on slices of the rest.
func (s *study) alarms(ctx context.Context, l diag.Layer, training, rest *examples) ([]row, error) {
	m, gain, rounds, err := s.heal(ctx, l, training)
	if err != nil {
		return nil, err
	}
	defer m.restore()
	all, err := s.diagnose(ctx, m, rest, []diag.Layer{l})
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, draws := range [][]draw{s.divisions(rest.Len(), 200, 10), s.divisions(rest.Len(), 500, 10)} {
		reports, errors, warnings := 0, 0, 0
		for _, d := range draws {
			for _, part := range d.parts(rest.labels) {
				r, err := s.diagnose(ctx, m, rest.part(part), []diag.Layer{l})
				if err != nil {
					return nil, err
				}
				reports++
				for _, v := range r.Violations {
					switch {
					case v.Rule == diag.RuleRecoverableLoss && v.Level == diag.LevelError:
						errors++
					case v.Rule == diag.RuleRecoverableLoss:
						warnings++
					}
				}
			}
		}
		rows = append(rows, row{
			question: fmt.Sprintf("%s, trained on %s images (%d epochs) until its ΔL there is %.2g nats: MD001 on the others (ΔL̂ on all of them %s)",
				l.Name, thousands(training.Len()), rounds*epochs, gain, transfer(all.Layers[0])),
			target: "errors ≤ 2.5 %, warnings ≤ 2.5 %",
			found:  fmt.Sprintf("errors %s, warnings %s", percent(errors, reports), percent(warnings, reports)),
			met:    verdict(share(errors, reports) <= 0.025 && share(warnings, reports) <= 0.025),
			on:     fmt.Sprintf("%d × %v out of %s", len(draws), draws[0], thousands(rest.Len())),
		})
	}
	return rows, nil
}

// divisions divide n images into sets of a size, so many times.
func (s *study) divisions(n, size, times int) []draw {
	var draws []draw
	for seed := range times {
		draws = append(draws, s.draw(n/size, size, uint64(seed+1)))
	}
	return draws
}

// transfer writes a layer's ΔL̂.
func transfer(l diag.LayerResult) string {
	if l.Transfer == nil {
		return "unknown: " + l.TransferReason
	}
	return fmt.Sprintf("%.3f ± %.3f", l.Transfer.Gain.Mean, l.Transfer.Gain.HalfWidth())
}

// heal trains a layer by plain SGD until moving it gains next to nothing on the
// images that it is trained on. It returns the model with the new weights, that
// gain and the number of rounds.
func (s *study) heal(ctx context.Context, l diag.Layer, training *examples) (*replaced, float64, int, error) {
	recipe, err := pol.FindRecipe("sgd")
	if err != nil {
		return nil, 0, 0, err
	}
	opt := pol.DefaultOptions(recipe)
	opt.Epochs, opt.Rate, opt.WeightDecay, opt.Seed = epochs, trainingRate, 0, 1
	opt.Temperature = 1 // each of these layers can divide the logits itself
	// What is wanted is a minimum on the training images, so they judge the epochs,
	// too.
	data := pol.Data{Train: training, Validation: training, Holdout: training.sample(opt.Batch)}
	m, err := replace(s.runner, nil)
	if err != nil {
		return nil, 0, 0, err
	}
	gain := 0.0
	for round := 1; round <= maxRounds; round++ {
		result, err := pol.Treat(ctx, m, data, pol.Plan{Recipe: recipe, Update: []diag.Layer{l}}, opt)
		m.restore()
		if err != nil {
			return nil, 0, 0, err
		}
		if m, err = replace(s.runner, result.Weights); err != nil {
			return nil, 0, 0, err
		}
		r, err := s.diagnose(ctx, m, training, []diag.Layer{l})
		if err != nil {
			m.restore()
			return nil, 0, 0, err
		}
		if gain = r.Layers[0].DeltaLoss; gain < healed {
			return m, gain, round, nil
		}
	}
	m.restore()
	return nil, 0, 0, fmt.Errorf("%d epochs leave a gain of %.2g nats on the training images, above %g", maxRounds*epochs, gain, healed)
}
