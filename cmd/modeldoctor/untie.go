package main

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"
)

const untieHint = "--shared update trains it for all of its uses"

// untie gives some of a weight's uses a copy: those of one other parameter than
// the weight's own. It returns the model anew, with the plan's layers in it.
func untie(m *loaded, plan pol.Plan, w *graph.Weight, uses []onnx.Use, opt treatmentOptions) (*loaded, pol.Plan, error) {
	others, err := usesToUntie(w, uses, opt.path)
	if err != nil {
		return nil, plan, err
	}
	file, err := m.network.Model.Untied(w.Tensor, others)
	if err != nil {
		return nil, plan, err
	}
	options := opt.model
	options.Batch = m.network.Batch
	network, err := graph.Build(file, options)
	if err != nil {
		_ = file.Close() // it lies in memory
		return nil, plan, err
	}
	untied := ready(network, opt.run.threads)
	again := plan
	again.Perturb, err = findAgain(network, plan.Perturb, w)
	if err == nil {
		again.Update, err = findAgain(network, plan.Update, w)
	}
	if err != nil {
		untied.close()
		return nil, plan, err
	}
	return untied, again, nil
}

// usesToUntie are those uses of a weight that get a copy.
func usesToUntie(w *graph.Weight, uses []onnx.Use, path string) ([]onnx.Use, error) {
	keeps := uses[0].Path // what the tensor itself goes on to serve
	for _, u := range uses {
		if u.Path == "" {
			return nil, unreadable(fmt.Errorf("%s: weight %q cannot be untied: %s does not tell what it is there", path, w.Name, u.Node.Label()), untieHint)
		}
		if u.Path == w.Name {
			keeps = u.Path
		}
	}
	var others []onnx.Use
	for _, u := range uses {
		if u.Path != keeps && (len(others) == 0 || u.Path == others[0].Path) {
			others = append(others, u)
		}
	}
	return others, nil
}

// findAgain finds layers by their names in a network with one weight untied.
func findAgain(n *graph.Network, layers []diag.Layer, w *graph.Weight) ([]diag.Layer, error) {
	again := make([]diag.Layer, len(layers))
	for i, l := range layers {
		g, found, err := n.FindLayer(l.Name)
		if err != nil {
			return nil, unreadable(fmt.Errorf("after untying %q: %w", w.Name, err), untieHint)
		}
		again[i] = unambiguous(n, g, found)
	}
	return again, nil
}
