package main

import (
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"

	"github.com/urfave/cli/v2"
)

// separateShared deals with weights that are to be trained but serve other
// layers, too: refused with their uses, unless --shared says what to do.
func (t *treatment) separateShared(c *cli.Context) error {
	names := make([]string, len(t.plan.Update))
	for i, l := range t.plan.Update {
		names[i] = l.Name
	}
	switch c.String("shared") {
	case "update":
		return nil
	case "untie":
		network, err := t.network.Untied(names)
		if err != nil || network == t.network {
			return err
		}
		return t.adopt(c, network)
	}
	return t.network.CheckUnshared(names)
}

// adopt goes on with an untied network: the plan's layers are found in it again.
func (t *treatment) adopt(c *cli.Context, network *graph.Network) error {
	t.model, t.network = network.Model, network
	t.runner = graph.NewRunner(network, graph.RunnerOptions{Threads: c.Int("threads")})
	for _, layers := range []*[]diag.Layer{&t.plan.Perturb, &t.plan.Update} {
		again := make([]diag.Layer, len(*layers))
		for i, l := range *layers {
			g, found, err := network.FindLayer(l.Name)
			if err != nil {
				return unreadable(err, "--shared update trains the weight for all of its uses")
			}
			again[i] = spelled(network, g, found)
		}
		*layers = again
	}
	return nil
}
