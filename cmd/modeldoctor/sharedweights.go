package main

import (
	"fmt"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"

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

// untie gives some of a weight's uses a copy: those of one other parameter than
// the weight's own. It reads the model anew.
func (t *treatment) untie(c *cli.Context, w *graph.Weight, uses []onnx.Use) error {
	keeps := uses[0].Path // what the tensor itself goes on to serve
	for _, u := range uses {
		if u.Path == "" {
			return unreadable(fmt.Errorf("%s: weight %q cannot be untied: %s does not tell what it is there", t.path, w.Name, u.Node.Label()), "--shared update trains it for all of its uses")
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
	model, err := t.model.Untied(w.Tensor, others)
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
	for _, layers := range []*[]diag.Layer{&t.plan.Perturb, &t.plan.Update} {
		again := make([]diag.Layer, len(*layers))
		for i, l := range *layers {
			g, found, err := network.FindLayer(l.Name)
			if err != nil {
				return unreadable(fmt.Errorf("after untying %q: %w", w.Name, err), "--shared update trains it for all of its uses")
			}
			again[i] = spelled(network, g, found)
		}
		*layers = again
	}
	if t.model != t.original {
		defer t.model.Close() // untied before; nothing refers to it any more
	}
	t.model, t.network = model, network
	t.runner = graph.NewRunner(network, graph.RunnerOptions{Threads: c.Int("threads")})
	return nil
}
