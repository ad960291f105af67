package graph

import (
	"fmt"
	"path"
	"slices"
	"strconv"
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
	Neck       int // the lowest neck before any use of its weights
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

// SelectLayers returns the layers whose names match one of the patterns, as
// path.Match with the dot as separator of nothing: * matches any run of
// characters. An error names a pattern that matches no layer.
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
			return nil, fmt.Errorf("no layer matches %q; the layers are %s", patterns[i], strings.Join(layerNames(layers), ", "))
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

// groupLayers names the block and the module of every weight and groups by
// them.
func groupLayers(n *Network) map[Granularity][]Layer {
	blocks := blockNames(n)
	return map[Granularity][]Layer{
		ByBlock:  group(n, func(i int) string { return blocks[i] }),
		ByModule: group(n, func(i int) string { return moduleName(n.Weights[i].Name, blocks[i]) }),
		ByTensor: group(n, func(i int) string { return n.Weights[i].Name }),
	}
}

// group collects the weights of equal key, in order of first use.
func group(n *Network, key func(i int) string) []Layer {
	index := map[string]int{}
	var layers []Layer
	for i, w := range n.Weights {
		name := key(i)
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
	}
	// Head and embed hold weights used at several depths (a class token that
	// enters late): forward order is that of the lowest use, with embed first
	// and head last.
	slices.SortStableFunc(layers, func(a, b Layer) int { return rank(a) - rank(b) })
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

const (
	embedLayer  = "embed"
	headLayer   = "head"
	tokenModule = "tokens"
)

// listPath is a weight's place in a list of blocks: the list's path, the
// element, and what follows.
type listPath struct {
	list    string
	element int
	rest    []string
}

// splitList splits a path at its first numbered component.
func splitList(parts []string) (listPath, bool) {
	for i := range len(parts) - 1 {
		if k, err := strconv.Atoi(parts[i]); err == nil && i > 0 {
			return listPath{strings.Join(parts[:i], "."), k, parts[i+1:]}, true
		}
		// torchvision numbers the elements' names: encoder_layer_3.
		if under := strings.LastIndexByte(parts[i], '_'); under > 0 {
			if k, err := strconv.Atoi(parts[i][under+1:]); err == nil {
				return listPath{strings.Join(parts[:i], "."), k, parts[i+1:]}, true
			}
		}
	}
	return listPath{}, false
}

// minBlockWeights is how many weights the elements of a list hold on average
// for it to count as a list of blocks, rather than a small Sequential such as a
// patch embedding or a classifier.
const minBlockWeights = 4

// blockLists returns the paths of the lists of blocks among the given paths.
func blockLists(paths [][]string) map[string]bool {
	weights := map[string]int{}
	elements := map[string]map[int]bool{}
	for _, p := range paths {
		if at, ok := splitList(p); ok {
			weights[at.list]++
			if elements[at.list] == nil {
				elements[at.list] = map[int]bool{}
			}
			elements[at.list][at.element] = true
		}
	}
	lists := map[string]bool{}
	for list, count := range weights {
		if count >= minBlockWeights*len(elements[list]) {
			lists[list] = true
		}
	}
	return lists
}

// blockNames returns, for each weight, the name of its block: embed, head,
// blocks.3 where the model has one list of blocks, else the list's own name
// with the element's number; stages.1.blocks.0 where lists are nested.
func blockNames(n *Network) []string {
	paths := make([][]string, len(n.Weights))
	for i, w := range n.Weights {
		paths[i] = strings.Split(w.Name, ".")
	}
	lists := blockLists(paths)
	nested := map[string]bool{}
	for list := range lists {
		nested[list] = holdsLists(paths, list)
	}
	names := make([]string, len(paths))
	first, last := len(paths), -1
	for i, p := range paths {
		at, ok := splitList(p)
		if !ok || !lists[at.list] {
			continue
		}
		first, last = min(first, i), max(last, i)
		list := "blocks"
		if len(lists) > 1 || nested[at.list] {
			list = at.list[strings.LastIndex(at.list, ".")+1:]
		}
		names[i] = fmt.Sprintf("%s.%d", list, at.element)
		if nested[at.list] {
			names[i] += "." + innerName(at.rest)
		}
	}
	previous := embedLayer
	for i, p := range paths {
		switch {
		case names[i] != "":
			previous = names[i]
		case isToken(p) || i < first:
			names[i] = embedLayer
		case i > last:
			names[i] = headLayer
		default:
			names[i] = previous
		}
	}
	if last < 0 { // no blocks: the last module is the head, all else embed
		for i := range names {
			names[i] = embedLayer
			if len(paths) > 0 && moduleOf(paths[i]) == moduleOf(paths[len(paths)-1]) {
				names[i] = headLayer
			}
		}
	}
	return names
}

// holdsLists reports whether the elements of a list hold named lists of blocks
// of their own (stages.0.blocks.1).
func holdsLists(paths [][]string, list string) bool {
	var inner [][]string
	for _, p := range paths {
		if at, ok := splitList(p); ok && at.list == list {
			inner = append(inner, at.rest)
		}
	}
	for name := range blockLists(inner) {
		if name == "blocks" || name == "layers" || name == "layer" {
			return true
		}
	}
	return false
}

// innerName names the part of a stage: its block, or its module.
func innerName(rest []string) string {
	if at, ok := splitList(rest); ok && (at.list == "blocks" || at.list == "layers" || at.list == "layer") {
		return fmt.Sprintf("%s.%d", at.list, at.element)
	}
	return rest[0]
}

// isToken reports whether a path names a class, distillation, register or mask
// token or a position table.
func isToken(p []string) bool {
	name := p[len(p)-1]
	if name == "weight" && len(p) > 1 {
		name = p[len(p)-2]
	}
	switch name {
	case "cls_token", "class_token", "dist_token", "distillation_token", "reg_token", "register_tokens", "mask_token",
		"pos_embed", "pos_embedding", "position_embedding", "position_embeddings", "positional_embedding", "cls_embed", "class_embedding":
		return true
	}
	return false
}

// moduleOf is a parameter's path without its last component; in_proj_weight
// counts as in_proj.weight.
func moduleOf(p []string) string {
	name := p[len(p)-1]
	dir := p[:len(p)-1]
	for _, suffix := range []string{"_weight", "_bias"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			return strings.Join(append(slices.Clone(dir), stem), ".")
		}
	}
	if len(dir) == 0 {
		return name
	}
	return strings.Join(dir, ".")
}

// moduleName names the module of a weight: within a block, the block's name and
// the path inside it; tokens and position tables together; the patch embedding
// without the name of its only projection.
func moduleName(weight, block string) string {
	p := strings.Split(weight, ".")
	if block == embedLayer && isToken(p) {
		return tokenModule
	}
	if block != embedLayer && block != headLayer {
		if at, ok := splitList(p); ok {
			inner := moduleOf(at.rest)
			if prefix, _, found := strings.Cut(block, "."); found && prefix != "" {
				if in := innerName(at.rest); strings.HasSuffix(block, "."+in) && strings.Count(block, ".") > 1 {
					inner = strings.TrimPrefix(strings.TrimPrefix(inner, in), ".")
				}
			}
			if inner == "" {
				return block
			}
			return block + "." + inner
		}
		return block + "." + moduleOf(p)
	}
	module := moduleOf(p)
	if block == embedLayer {
		for _, suffix := range []string{".proj", ".projection"} {
			module = strings.TrimSuffix(module, suffix)
		}
	}
	return module
}
