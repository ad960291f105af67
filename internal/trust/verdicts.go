package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
)

// worstSet counts the sets of worst layers that hold the one that is worst on all
// images.
func worstSet(ctx context.Context, s *study) ([]row, error) {
	whole, err := s.diagnoses(ctx, s.whole())
	if err != nil {
		return nil, err
	}
	worst := whole[0].report.Worst.ByTransfer
	var rows []row
	for _, draws := range [][]draw{{s.draw(50, 200, 1), s.draw(50, 200, 2)}, {s.draw(10, 1000, 1)}} {
		holds, empty, members, reports := 0, 0, 0, 0
		for _, d := range draws {
			made, err := s.diagnoses(ctx, d)
			if err != nil {
				return nil, err
			}
			for _, m := range made {
				set := m.report.Worst.Set
				reports++
				members += len(set)
				if slices.Contains(set, worst) {
					holds++
				}
				if len(set) == 0 {
					empty++
				}
			}
		}
		rows = append(rows, row{
			question: fmt.Sprintf("the worst set holds %s, the layer with the largest ΔL̂ on all %s images", worst, thousands(s.images.Len())),
			target:   "≥ 95 %",
			found:    fmt.Sprintf("%d of %d; %.1f of %d layers are in the set on average, %d sets are empty", holds, reports, share(members, reports), len(s.layers), empty),
			met:      verdict(share(holds, reports) >= 0.95),
			on:       fmt.Sprintf("%d × %v", len(draws), draws[0]),
		})
	}
	return rows, nil
}

// stability counts the verdicts about the model at several sizes of V, and the
// layers that are on the other side of the threshold than on all images.
func stability(ctx context.Context, s *study) ([]row, error) {
	whole, err := s.diagnoses(ctx, s.whole())
	if err != nil {
		return nil, err
	}
	reference := whole[0].report
	// The first is as many as the built-in sample has for validation.
	draws := []draw{s.draw(10, 1000, 1), s.draw(10, 500, 1), s.draw(50, 200, 1), s.draw(50, 100, 1)}
	var rows []row
	for i, d := range draws {
		made, err := s.diagnoses(ctx, d)
		if err != nil {
			return nil, err
		}
		var model, layers outcomes
		sides := sides{}
		for _, m := range made {
			model.count(m.report.Verdict.Outcome)
			layers.count(ofLayers(m.report))
			sides.compare(reference, m.report)
		}
		on := d.String()
		first := row{question: "verdict about the model (on all images: " + string(reference.Verdict.Outcome) + ")", found: model.String(), on: on}
		if i == 0 {
			first.target, first.met = "the same in ≥ 90 %", verdict(model.most() >= 0.9)
		} else {
			first.target, first.met = "none opposite", verdict(model.opposite(reference.Verdict.Outcome) == 0)
		}
		expected := ofLayers(reference)
		rows = append(rows, first,
			row{
				question: "verdict of the layers alone, as if the temperature had been mended (on all images: " + string(expected) + ")",
				target:   "none opposite", found: layers.String(), met: verdict(layers.opposite(expected) == 0), on: on,
			},
			row{
				question: "single layers: over here and under on all images; under here and over on all",
				found:    fmt.Sprintf("%d and %d of %d; %d are undecided", sides.over, sides.under, sides.all, sides.undecided), on: on,
			})
	}
	return rows, nil
}

// ofLayers is the verdict that a report's layers give without the temperature's
// share.
func ofLayers(r *diag.Report) diag.Outcome {
	if slices.ContainsFunc(r.Violations, func(v diag.Violation) bool {
		return v.Rule == diag.RuleRecoverableLoss && v.Level == diag.LevelError
	}) {
		return diag.Fail
	}
	if slices.ContainsFunc(r.Layers, func(l diag.LayerResult) bool { return l.Verdict != diag.Under }) {
		return diag.Unclear
	}
	return diag.Pass
}

// outcomes counts verdicts about a model.
type outcomes struct{ pass, fail, unclear int }

func (o *outcomes) count(v diag.Outcome) {
	switch v {
	case diag.Pass:
		o.pass++
	case diag.Fail:
		o.fail++
	default:
		o.unclear++
	}
}

// most is the share of the commonest.
func (o *outcomes) most() float64 {
	return share(max(o.pass, o.fail, o.unclear), o.pass+o.fail+o.unclear)
}

// opposite is the number of verdicts that say the contrary.
func (o *outcomes) opposite(of diag.Outcome) int {
	switch of {
	case diag.Pass:
		return o.fail
	case diag.Fail:
		return o.pass
	}
	return 0
}

func (o *outcomes) String() string {
	return fmt.Sprintf("%d FAIL, %d UNDECIDED, %d PASS", o.fail, o.unclear, o.pass)
}

// sides counts single layers that are decided otherwise than on all images.
type sides struct{ over, under, undecided, all int }

func (s *sides) compare(reference, r *diag.Report) {
	for i, l := range r.Layers {
		s.all++
		switch before := reference.Layers[i].Verdict; {
		case l.Verdict == diag.Undecided:
			s.undecided++
		case l.Verdict == diag.Over && before == diag.Under:
			s.over++
		case l.Verdict == diag.Under && before == diag.Over:
			s.under++
		}
	}
}
