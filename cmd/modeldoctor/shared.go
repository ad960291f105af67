package main

import (
	"fmt"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
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
func separateShared(original *loaded, plan pol.Plan, opt treatmentOptions) (*loaded, pol.Plan, error) {
	m := original
	for opt.shared != updateShared {
		weight, uses := firstShared(m.network, plan)
		if uses == nil {
			break
		}
		w := m.network.Weights[weight]
		if opt.shared == refuseShared {
			return nil, plan, unreadable(
				fmt.Errorf("%s: weight %q (tensor %q) of the layer to train is used at %d places: %s", opt.path, w.Name, w.Tensor.Name, len(uses), listUses(uses)),
				"--shared update trains it for all of them, --shared untie gives the trained layer a copy of its own")
		}
		next, again, err := untie(m, plan, w, uses, opt)
		if m != original {
			m.close() // untied before; nothing refers to it any more
		}
		if err != nil {
			return nil, plan, err
		}
		m, plan = next, again
	}
	return m, plan, nil
}

// firstShared is the first weight to train that has other uses, and its uses;
// nil where there is none.
func firstShared(n *graph.Network, plan pol.Plan) (weight int, uses []onnx.Use) {
	for _, l := range plan.Update {
		for _, w := range l.Weights {
			if uses := n.Shared(w); uses != nil {
				return w, uses
			}
		}
	}
	return 0, nil
}

func listUses(uses []onnx.Use) string {
	const most = 6
	var places []string
	for _, u := range uses[:min(len(uses), most)] {
		place := u.Node.Label()
		if u.Path != "" {
			place = u.Path + " in " + place
		}
		places = append(places, place)
	}
	if more := len(uses) - most; more > 0 {
		places = append(places, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(places, ", ")
}
