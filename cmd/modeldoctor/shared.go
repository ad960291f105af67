package main

import (
	"errors"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/pol"
)

// sharing says what is done where a weight to train serves other layers, too.
type sharing string

const (
	refuseShared sharing = ""
	updateShared sharing = "update" // all of its uses change
	untieShared  sharing = "untie"  // the trained layer is given a copy
)

// separateShared sees to it that no weight to train serves other layers, as
// --shared says. It returns the model and the plan to go on with: another model,
// which the caller closes, where weights were untied, else the same.
func separateShared(m *loaded, plan pol.Plan, opt treatmentOptions) (*loaded, pol.Plan, error) {
	trained := pol.Names(plan.Update)
	switch opt.shared {
	case refuseShared:
		return m, plan, m.network.CheckUnshared(trained)
	case updateShared:
		return m, plan, nil
	}
	network, err := m.network.Untied(trained)
	if err != nil || network == m.network {
		return m, plan, err
	}
	untied, err := ready(network, opt.run)
	if err != nil {
		_ = network.Model.Close()
		return nil, plan, err
	}
	plan.Perturb, err = findAgain(network, plan.Perturb)
	if err == nil {
		plan.Update, err = findAgain(network, plan.Update)
	}
	if err != nil {
		return nil, plan, errors.Join(err, untied.close())
	}
	return untied, plan, nil
}

// findAgain finds layers by their names in a network with weights untied.
func findAgain(n *graph.Network, layers []diag.Layer) ([]diag.Layer, error) {
	again := make([]diag.Layer, len(layers))
	for i, l := range layers {
		g, found, err := n.FindLayer(l.Name)
		if err != nil {
			return nil, unreadable(err, "--shared update trains the weight for all of its uses")
		}
		again[i] = unambiguous(n, g, found)
	}
	return again, nil
}
