package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/pol"
)

// chosenPlan is which layers are treated, and by what they were chosen.
type chosenPlan struct {
	plan  pol.Plan
	found *diagnosis // nil where the recipe or the user names the layers
}

// choosePlan finds the layers: those that are named, and the recipe's choice for
// the rest, by a report or a diagnosis where it rests on one.
func choosePlan(ctx context.Context, s *subject, opt treatmentOptions) (chosenPlan, error) {
	chosen := chosenPlan{plan: pol.Plan{Recipe: opt.recipe}}
	if opt.diagnoses() {
		var err error
		if chosen.found, err = findDiagnosis(ctx, s, opt); err != nil {
			return chosenPlan{}, err
		}
	}
	layers := func(flag string, named []string, c pol.Choice) ([]diag.Layer, error) {
		if len(named) > 0 {
			return namedLayers(s.loaded, flag, named)
		}
		return recipeLayers(s.network, flag, c, chosen.found)
	}
	var err error
	if chosen.plan.Perturb, err = layers("perturb", opt.perturb, opt.recipe.Perturb); err != nil {
		return chosenPlan{}, err
	}
	if chosen.plan.Update, err = layers("update", opt.update, opt.recipe.Update); err != nil {
		return chosenPlan{}, err
	}
	if len(chosen.plan.Update) == 0 && opt.trains() {
		return chosenPlan{}, unreadable(fmt.Errorf("recipe %s has no layer to train: the model has none but the classifier", opt.recipe.Name), "name one with --update, or choose another --recipe")
	}
	return chosen, nil
}

// weights are all whose gradients a treatment may take. Before a diagnosis nothing more
// is known of those that rest on one.
func (o treatmentOptions) weights(n *graph.Network) ([]int, error) {
	if o.diagnoses() {
		return n.AllWeights(), nil
	}
	var weights []int
	for _, part := range []struct {
		flag   string
		named  []string
		choice pol.Choice
	}{{"perturb", o.perturb, o.recipe.Perturb}, {"update", o.update, o.recipe.Update}} {
		for _, name := range part.named {
			_, named, err := findNamed(n, name)
			if err != nil {
				return nil, err
			}
			for _, l := range named {
				weights = append(weights, l.Weights...)
			}
		}
		if len(part.named) > 0 {
			continue
		}
		chosen, err := recipeLayers(n, part.flag, part.choice, nil)
		if err != nil {
			return nil, err
		}
		for _, l := range chosen {
			weights = append(weights, l.Weights...)
		}
	}
	return weights, nil
}

// namedLayers finds the layers that a flag names, no weight in two of them.
func namedLayers(m *loaded, flag string, names []string) ([]diag.Layer, error) {
	var layers []diag.Layer
	layerOf := map[int]string{}
	for _, name := range names {
		g, named, err := findNamed(m.network, name)
		if err != nil {
			return nil, usage("--%s: %v", flag, err).withHint("`modeldoctor inspect %s` lists the layers", m.network.Model.Path)
		}
		for _, l := range named {
			for _, w := range l.Weights {
				if other, taken := layerOf[w]; taken {
					return nil, usage("--%s: %s and %s have weights in common", flag, other, name).withHint("name each layer once")
				}
				layerOf[w] = name
			}
			layers = append(layers, unambiguous(m.network, g, l))
		}
	}
	return layers, nil
}

// allNorms is the name, among those of layers, of the scales and shifts of all
// normalisations. A layer of that name needs block:, module: or tensor: in front.
const allNorms = "norms"

// findNamed finds what a user calls a layer, which may be several.
func findNamed(n *graph.Network, name string) (graph.Granularity, []graph.Layer, error) {
	if name == allNorms {
		layers := n.Normalizations()
		if len(layers) == 0 {
			return "", nil, fmt.Errorf("%s: the model has no normalisation with a scale or shift that is a weight", allNorms)
		}
		return graph.ByTensor, layers, nil
	}
	g, l, err := n.FindLayer(name)
	return g, []graph.Layer{l}, err
}

// recipeLayers finds the layers of a recipe's choice.
func recipeLayers(n *graph.Network, flag string, c pol.Choice, found *diagnosis) ([]diag.Layer, error) {
	granularity := graph.ByBlock
	var report *diag.Report
	var classifier graph.Layer
	switch {
	case c.NeedsDiagnosis():
		granularity, report = found.granularity, found.report
	case c.OfModules():
		granularity = graph.ByModule
		var err error
		if classifier, err = n.Classifier(); err != nil {
			return nil, err
		}
	}
	layers := n.Layers(granularity)
	chosen, err := c.Choose(diagLayers(layers), diagLayers([]graph.Layer{classifier})[0], report)
	switch {
	case errors.Is(err, pol.ErrNothingToTreat):
		return nil, nothingToTreat(err, report)
	case err != nil:
		return nil, unreadable(err, "name one with --"+flag)
	}
	for i, l := range chosen {
		chosen[i] = unambiguous(n, granularity, layers[l.Index])
	}
	return chosen, nil
}

// nothingToTreat says that no layer is worth treating, or that there are too few images to
// say of any, and what may be done instead.
func nothingToTreat(err error, found *diag.Report) error {
	if found.N < diag.MinTransferExamples {
		return &failure{
			code: exitFailed, err: err,
			msg:  fmt.Sprintf("the recoverable loss of layers was not measured: it takes at least %d validation images, and there are %d", diag.MinTransferExamples, found.N),
			hint: "nothing was written; give more images (--val, --samples), or name a layer with --update",
		}
	}
	hint := "nothing was written; name a layer with --update to treat it all the same"
	if t := found.Metrics.Temperature; t != nil && t.Drop.CI95[0] > 0 {
		hint += fmt.Sprintf(". A temperature takes %.3g ± %.2g nats off the validation loss: `--recipe temperature --trial` says what it does to hold-out images", t.Drop.Mean, t.Drop.HalfWidth())
	}
	return &failure{code: exitFailed, err: err, hint: hint}
}

// unambiguous is a layer under a name that means it alone: the bare one where
// that is what it means, else with the granularity in front.
func unambiguous(n *graph.Network, g graph.Granularity, l graph.Layer) diag.Layer {
	named := diagLayers([]graph.Layer{l})[0]
	if bare, _, err := n.FindLayer(l.Name); err != nil || bare != g {
		named.Name = string(g) + ":" + l.Name
	}
	return named
}

// classifierPlan is the same treatment with the perturbation moved to the
// classifier, above which nothing is left to compute: a scan of it costs next to
// nothing. It reports false where that is no change, or the user's own choice.
func classifierPlan(n *graph.Network, plan pol.Plan, named bool) (pol.Plan, bool) {
	if plan.Recipe.Rule != pol.Search || named {
		return plan, false
	}
	classifier, err := recipeLayers(n, "perturb", pol.Classifier, nil)
	if err != nil || slices.EqualFunc(classifier, plan.Perturb, func(a, b diag.Layer) bool { return a.Name == b.Name }) {
		return plan, false
	}
	plan.Perturb = classifier
	return plan, true
}
