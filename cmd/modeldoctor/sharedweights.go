package main

import (
	"fmt"
	"slices"
	"strings"

	"modeldoctor/diag"
	"modeldoctor/graph"
	"modeldoctor/onnx"

	"github.com/urfave/cli/v2"
)

// separateShared deals with weights that are to be trained but serve other
// layers, too: refused with their uses, unless --shared says what to do.
func (t *treatment) separateShared(c *cli.Context) error {
	how := c.String("shared")
	if how == "update" {
		return nil
	}
	for {
		weight, uses := t.firstShared()
		if uses == nil {
			return nil
		}
		w := t.network.Weights[weight]
		if how != "untie" {
			return unreadable(
				fmt.Errorf("%s: weight %q (tensor %q) of the layer to train is used at %d places: %s", t.path, w.Name, w.Tensor.Name, len(uses), listUses(uses)),
				"--shared update trains it for all of them, --shared untie gives the trained layer a copy of its own")
		}
		if err := t.untie(c, w, uses); err != nil {
			return err
		}
	}
}

// firstShared is the first weight to train that has other uses, and its uses;
// nil where there is none.
func (t *treatment) firstShared() (weight int, uses []onnx.Use) {
	for _, l := range t.plan.Update {
		for _, w := range l.Weights {
			if uses := t.network.Shared(w); uses != nil {
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

// untie gives the trained layer's uses of a weight a copy, and reads the model
// anew.
func (t *treatment) untie(c *cli.Context, w *graph.Weight, uses []onnx.Use) error {
	var own []onnx.Use
	for _, u := range uses {
		if u.Path == w.Name {
			own = append(own, u)
		}
	}
	if len(own) == 0 || len(own) == len(uses) {
		return unreadable(fmt.Errorf("%s: weight %q cannot be untied: its uses do not tell which of them is the layer's", t.path, w.Name), "--shared update trains it for all of them")
	}
	model, err := t.model.Untied(w.Tensor, own)
	if err != nil {
		return err
	}
	opt, err := graphOptions(c)
	if err != nil {
		return err
	}
	opt.Batch = t.network.Batch
	network, err := graph.Build(model, opt)
	if err != nil {
		return err
	}
	perturb, err1 := sameLayers(network, t.network, t.plan.Perturb)
	update, err2 := sameLayers(network, t.network, t.plan.Update)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("after untying %q the layers are no longer the same: %v %v", w.Name, err1, err2)
	}
	t.model, t.network = model, network
	t.plan.Perturb, t.plan.Update = perturb, update
	t.runner = graph.NewRunner(network, graph.RunnerOptions{Threads: c.Int("threads")})
	return nil
}

// sameLayers finds layers of one network in another by granularity and name.
func sameLayers(in, of *graph.Network, layers []diag.Layer) ([]diag.Layer, error) {
	found := make([]diag.Layer, len(layers))
	for i, l := range layers {
		for _, g := range graph.Granularities() {
			same := func(m graph.Layer) bool { return m.Name == l.Name }
			if !slices.ContainsFunc(of.Layers(g), func(m graph.Layer) bool { return same(m) && slices.Equal(m.Weights, l.Weights) }) {
				continue
			}
			k := slices.IndexFunc(in.Layers(g), same)
			if k < 0 {
				return nil, fmt.Errorf("there is no %s %q", g, l.Name)
			}
			found[i] = diagLayers(in.Layers(g)[k : k+1])[0]
			break
		}
		if found[i].Name == "" {
			return nil, fmt.Errorf("there is no layer %q", l.Name)
		}
	}
	return found, nil
}
