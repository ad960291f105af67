package graph

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

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
		prefix, k, ok := element(parts[i])
		switch {
		case !ok:
		case prefix != "":
			return listPath{strings.Join(append(slices.Clone(parts[:i]), prefix), "."), k, parts[i+1:]}, true
		case i > 0:
			return listPath{strings.Join(parts[:i], "."), k, parts[i+1:]}, true
		}
	}
	return listPath{}, false
}

// element reads a component of a path that is an element of a list: 3, or as torchvision
// numbers the elements' names encoder_layer_3, whose prefix is encoder_layer.
func element(component string) (prefix string, k int, ok bool) {
	under := strings.LastIndexByte(component, '_')
	k, err := strconv.Atoi(component[under+1:])
	return component[:max(under, 0)], k, err == nil && under != 0
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

// listNames gives each list of blocks the shortest end of its path that no other
// has: blocks, but encoder.layers where there is decoder.layers, too. A list
// whose whole path is the end of another's has that path.
func listNames(lists map[string]bool) map[string]string {
	names := map[string]string{}
	for list := range lists {
		parts := strings.Split(list, ".")
		for from := len(parts) - 1; from >= 0; from-- {
			names[list] = strings.Join(parts[from:], ".")
			end := "." + names[list]
			alone := true
			for other := range lists {
				alone = alone && (other == list || !strings.HasSuffix("."+other, end))
			}
			if alone {
				break
			}
		}
	}
	return names
}

// membership says to which block a weight belongs, and why.
type membership struct {
	block string
	why   string
	// rest is the weight's path within an element of a list of blocks, nil
	// elsewhere; inner is the part of it that names a block within the element, ""
	// where the element is the block.
	rest  []string
	inner string
	// named is the module where the block comes from what is computed, "" where names
	// tell.
	named string
}

// membershipsOf returns the block of each weight, by the weights' paths in order
// of first use: embed, head, blocks.3 where the model has one list of blocks, else
// the list's own name with the element's number; stages.1.blocks.0 and
// features.1.0 where lists are nested. ok is false where there are no lists of blocks.
func membershipsOf(paths [][]string) (members []membership, ok bool) {
	lists := blockLists(paths)
	if len(lists) == 0 {
		return nil, false
	}
	names := listNames(lists)
	nestings := map[string]*nesting{}
	plain := true // one list of blocks, whose elements hold no others
	for list := range lists {
		nestings[list] = nestingOf(paths, list)
		plain = plain && len(lists) == 1 && !nestings[list].nested() && elementsAlike(paths, list)
	}
	members = make([]membership, len(paths))
	first, last := len(paths), -1
	for i, p := range paths {
		at, ok := splitList(p)
		if !ok || !lists[at.list] {
			continue
		}
		first, last = min(first, i), max(last, i)
		name := names[at.list]
		if plain {
			name = "blocks"
		}
		members[i] = membership{
			block: fmt.Sprintf("%s.%d", name, at.element),
			why:   fmt.Sprintf("element %d of the list %s", at.element, at.list),
			rest:  at.rest,
			inner: nestings[at.list].inner(at),
		}
		if inner := members[i].inner; inner != "" {
			members[i].block += "." + inner
			members[i].why = fmt.Sprintf("%s in %s", inner, members[i].why)
		}
	}
	previous := embedLayer
	for i, p := range paths {
		switch {
		case members[i].block != "":
			previous = members[i].block
		case isToken(p):
			members[i] = membership{block: embedLayer, why: "tokens and position tables"}
		case i < first:
			members[i] = membership{block: embedLayer, why: "used before the first block"}
		case i > last:
			members[i] = membership{block: headLayer, why: "used after the last block"}
		default:
			members[i] = membership{block: previous, why: "in no list, used after this block and before the next"}
		}
	}
	return members, true
}

// elementsAlike reports whether each element of a list is like the one before it.
func elementsAlike(paths [][]string, list string) bool {
	parts := map[int]map[string]bool{}
	for _, p := range paths {
		if at, ok := splitList(p); ok && at.list == list {
			if parts[at.element] == nil {
				parts[at.element] = map[string]bool{}
			}
			parts[at.element][strings.Join(at.rest, ".")] = true
		}
	}
	elements := slices.Sorted(maps.Keys(parts))
	for i := range elements[1:] {
		if !areAlike([]map[string]bool{parts[elements[i]], parts[elements[i+1]]}) {
			return false
		}
	}
	return true
}

// nesting says how the elements of a list are divided, where they hold lists of
// blocks of their own, as the stages of hierarchical networks do. (A stage of
// [Network.Stages] is something else.)
type nesting struct {
	named    bool         // some hold a named list: stages.0.blocks.1
	numbered map[int]bool // those that are lists themselves: features.1.0
}

func (n *nesting) nested() bool { return n.named || len(n.numbered) > 0 }

// innerLists are the names that lists of blocks within an element have.
var innerLists = []string{"blocks", "layers", "layer"}

func nestingOf(paths [][]string, list string) *nesting {
	n := &nesting{}
	var named [][]string
	numbered := map[int][][]string{}
	for _, p := range paths {
		at, ok := splitList(p)
		if !ok || at.list != list {
			continue
		}
		named = append(named, at.rest)
		numbered[at.element] = append(numbered[at.element], at.rest)
	}
	for name := range blockLists(named) {
		n.named = n.named || slices.Contains(innerLists, name)
	}
	lists := map[int]bool{}
	alike := false
	for element, paths := range numbered {
		parts, weights := map[string]map[string]bool{}, 0
		for _, p := range paths {
			if _, err := strconv.Atoi(p[0]); err != nil || len(p) < 2 {
				continue
			}
			if parts[p[0]] == nil {
				parts[p[0]] = map[string]bool{}
			}
			parts[p[0]][strings.Join(p[1:], ".")] = true
			weights++
		}
		if weights == len(paths) && weights >= minBlockWeights*len(parts) {
			lists[element] = true
			alike = alike || areAlike(slices.Collect(maps.Values(parts)))
		}
	}
	if alike {
		n.numbered = lists
	}
	return n
}

// areAlike reports whether two parts have more than half of their weights' paths
// in common: the blocks of one element do, the attention and the MLP of a block do
// not.
func areAlike(parts []map[string]bool) bool {
	for i, a := range parts {
		for _, b := range parts[i+1:] {
			shared := 0
			for path := range a {
				if b[path] {
					shared++
				}
			}
			if 2*shared > max(len(a), len(b)) {
				return true
			}
		}
	}
	return false
}

// inner names the part of a list's element that a weight belongs to: its block, or
// its module; "" where the element holds no list of blocks.
func (n *nesting) inner(at listPath) string {
	switch {
	case n.numbered[at.element]:
		return at.rest[0]
	case !n.named:
		return ""
	}
	if in, ok := splitList(at.rest); ok && slices.Contains(innerLists, in.list) {
		return fmt.Sprintf("%s.%d", in.list, in.element)
	}
	return at.rest[0]
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

// module names the module of the weight with the given path: within a block, the
// block's name and the path inside it; tokens and position tables together; the
// patch embedding without the name of its only projection.
func (w membership) module(path []string) string {
	module := moduleOf(path)
	switch {
	case w.named != "":
		return w.named
	case w.block == embedLayer && isToken(path):
		return tokenModule
	case w.block == embedLayer:
		for _, suffix := range []string{".proj", ".projection"} {
			module = strings.TrimSuffix(module, suffix)
		}
		return module
	case w.block == headLayer:
		return module
	case w.rest == nil:
		return w.block + "." + module
	}
	module = strings.TrimPrefix(strings.TrimPrefix(moduleOf(w.rest), w.inner), ".")
	if module == "" {
		return w.block
	}
	return w.block + "." + module
}
