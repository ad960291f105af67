package graph

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Granularity is how coarsely weights are grouped into layers.
type Granularity string

// The three granularities: encoder blocks with embed before and head after
// them; each Linear, Conv or normalisation apart; each tensor apart.
const (
	ByBlock  Granularity = "block"
	ByModule Granularity = "module"
	ByTensor Granularity = "tensor"
)

// Granularities lists the three, coarsest first.
func Granularities() []Granularity { return []Granularity{ByBlock, ByModule, ByTensor} }

// Layer is a group of weights that a diagnosis moves together.
type Layer struct {
	Name       string
	Index      int   // in forward order
	Weights    []int // indices in Network.Weights
	Parameters int
	Neck       int // the highest neck below every use of its weights
	// Why says in words by which rules its weights are grouped, each once.
	Why []string
}

// Layers returns the layers at a granularity, in forward order. Every weight of
// the network is in exactly one.
func (n *Network) Layers(g Granularity) []Layer { return n.layers[g] }

// Parameters is the number of elements of all weights.
func (n *Network) Parameters() int {
	total := 0
	for _, w := range n.Weights {
		total += w.Elements
	}
	return total
}

// FindLayer resolves a layer's name as users write it: a bare name is the block
// if there is one of that name, else the module, else the tensor; block:,
// module: or tensor: in front decide. A name that two layers of the deciding
// granularity have is an error that lists both.
func (n *Network) FindLayer(name string) (Granularity, Layer, error) {
	kinds := Granularities()
	bare := name
	for _, g := range kinds {
		if rest, ok := strings.CutPrefix(name, string(g)+":"); ok {
			kinds, bare = []Granularity{g}, rest
			break
		}
	}
	for _, g := range kinds {
		var found []Layer
		for _, l := range n.layers[g] {
			if l.Name == bare {
				found = append(found, l)
			}
		}
		switch {
		case len(found) == 1:
			return g, found[0], nil
		case len(found) > 1:
			return "", Layer{}, n.ambiguousLayer(name, g, found)
		}
	}
	return "", Layer{}, fmt.Errorf("no layer is called %q; see `modeldoctor inspect` for the names", name)
}

// maxListedWeights bounds how many weights of a layer an error names.
const maxListedWeights = 4

// ambiguousLayer tells layers of one name apart by their weights.
func (n *Network) ambiguousLayer(name string, g Granularity, layers []Layer) error {
	described := make([]string, len(layers))
	for i, l := range layers {
		var weights []string
		for _, w := range l.Weights[:min(maxListedWeights, len(l.Weights))] {
			weights = append(weights, string(ByTensor)+":"+n.Weights[w].Name)
		}
		described[i] = fmt.Sprintf("the %s of %s", g, strings.Join(weights, ", "))
		if more := len(l.Weights) - len(weights); more > 0 {
			described[i] += fmt.Sprintf(" and %d more", more)
		}
	}
	return fmt.Errorf("%d layers are called %q: %s; name a weight instead", len(layers), name, strings.Join(described, "; "))
}

// SelectLayers returns the layers whose names match one of the patterns, by the
// rules of [path.Match], for which a dot is a character like any other; all of
// them without patterns. An error names a pattern that matches no layer.
func SelectLayers(layers []Layer, patterns []string) ([]Layer, error) {
	if len(patterns) == 0 {
		return layers, nil
	}
	var out []Layer
	used := make([]bool, len(patterns))
	for _, l := range layers {
		hit := false
		for i, p := range patterns {
			ok, err := path.Match(p, l.Name)
			if err != nil {
				return nil, fmt.Errorf("layer pattern %q: %w", p, err)
			}
			if ok {
				hit, used[i] = true, true
			}
		}
		if hit {
			out = append(out, l)
		}
	}
	for i, ok := range used {
		if !ok {
			names := layerNames(layers) // of all granularities, a name can be several layers'
			slices.Sort(names)
			return nil, fmt.Errorf("no layer matches %q; the layers are %s", patterns[i], strings.Join(slices.Compact(names), ", "))
		}
	}
	return out, nil
}

func layerNames(layers []Layer) []string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.Name
	}
	return names
}

// groupLayers groups the weights by their blocks, by their modules, and each by itself.
func groupLayers(n *Network) map[Granularity][]Layer {
	paths := pathsOf(n.Weights)
	return map[Granularity][]Layer{
		ByBlock: group(n, func(i int) (name, why string) { return n.Weights[i].member.block, n.Weights[i].member.why }),
		ByModule: group(n, func(i int) (name, why string) {
			return n.Weights[i].member.module(paths[i]), "one module of " + n.Weights[i].member.block
		}),
		ByTensor: group(n, func(i int) (name, why string) {
			return n.Weights[i].Name, "one tensor of " + n.Weights[i].member.block
		}),
	}
}

// group collects the weights of equal key, in order of first use.
func group(n *Network, key func(i int) (name, why string)) []Layer {
	index := map[string]int{}
	var layers []Layer
	for i, w := range n.Weights {
		name, why := key(i)
		at, ok := index[name]
		if !ok {
			at = len(layers)
			index[name] = at
			layers = append(layers, Layer{Name: name, Neck: w.Neck})
		}
		l := &layers[at]
		l.Weights = append(l.Weights, i)
		l.Parameters += w.Elements
		l.Neck = min(l.Neck, w.Neck)
		if !slices.Contains(l.Why, why) {
			l.Why = append(l.Why, why)
		}
	}
	// Head and embed hold weights used at several depths (a class token that
	// enters late): forward order is that of the lowest use, with embed first
	// and head last.
	if !n.structured {
		slices.SortStableFunc(layers, func(a, b Layer) int { return rank(a) - rank(b) })
	}
	for i := range layers {
		layers[i].Index = i
	}
	return layers
}

func rank(l Layer) int {
	switch l.Name {
	case embedLayer:
		return -1
	case headLayer:
		return 1
	}
	return 0
}
