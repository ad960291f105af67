package graph

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// unitNamer names units and their operators, by what the file calls their weights and
// nodes, else by their kind and place: conv2, block3, block3.conv1.
type unitNamer struct {
	network *Network
	counts  map[string]int // of what was named by its kind
	taken   map[string]bool
	parts   map[*unit]*unitNamer // of the units that are divided
	whole   string               // name of the unit whose parts are named, with a dot, or ""
}

func newUnitNamer(n *Network, whole string) *unitNamer {
	return &unitNamer{n, map[string]int{}, map[string]bool{}, map[*unit]*unitNamer{}, whole}
}

// structure makes the units of a network its blocks, and names the weights for which
// the file gives no name by them.
func (n *Network) structure() {
	n.structured = true
	u := newUnitNamer(n, "")
	for _, unit := range n.units() {
		u.name(unit)
	}
}

// name names a unit and what is in it.
func (u *unitNamer) name(unit *unit) {
	if whole := unit.whole; whole != nil {
		if u.parts[whole] == nil {
			u.parts[whole] = newUnitNamer(u.network, u.block(whole)+".")
		}
		u = u.parts[whole]
	}
	block := u.block(unit)
	within := newUnitNamer(u.network, block+".")
	for _, o := range unit.operators {
		module := block
		if len(unit.operators) > 1 {
			if module = u.network.label(o); module == "" {
				module = within.byKind(o.label())
			}
		}
		u.assign(o, block, within.unique(module), unit.why)
	}
}

// block is a name for a unit that no other has.
func (u *unitNamer) block(unit *unit) string {
	labels := make([]string, len(unit.operators))
	for i, o := range unit.operators {
		labels[i] = u.network.label(o)
	}
	common := commonLabel(labels)
	switch {
	case common != "" && !u.taken[common]:
	case len(labels) > 1 && labels[0] != "" && labels[len(labels)-1] != "":
		common = labels[0] + ".." + labels[len(labels)-1]
	case len(labels) == 1:
		common = u.byKind(unit.operators[0].label())
	default:
		kind := "block"
		if u.whole != "" {
			kind = "layer"
		}
		common = u.byKind(kind)
	}
	return u.unique(common)
}

// byKind numbers what has no name in the file.
func (u *unitNamer) byKind(kind string) string {
	u.counts[kind]++
	return fmt.Sprintf("%s%s%d", u.whole, kind, u.counts[kind])
}

func (u *unitNamer) unique(name string) string {
	free := name
	for k := 2; u.taken[free]; k++ {
		free = fmt.Sprintf("%s_%d", name, k)
	}
	u.taken[free] = true
	return free
}

// assign makes an operator's weights members of a block, and names those that have no
// name. A normalisation that has a name of its own in the file is a module of its own.
func (u *unitNamer) assign(o *operator, block, module, why string) {
	for _, i := range o.weights {
		w := u.network.Weights[i]
		role := u.network.roleIn(o, w)
		w.member = membership{block: block, why: why, named: module}
		if norm, _, ok := strings.Cut(role, "."); ok {
			w.member.named = module + "." + norm
			if strings.Contains(w.Name, ".") {
				w.member.named = moduleOf(strings.Split(w.Name, "."))
			}
		}
		if w.Name == "" {
			w.Name, w.Source = module+"."+role, onnx.FromPosition
		}
	}
}

// label is what the file calls an operator, "" where it calls it nothing that says
// more than a number: the path of its module, or what the name of its weight, else of
// its bias, else of its node begins with.
func (n *Network) label(o *operator) string {
	for _, own := range []bool{true, false} { // the map's own weights, then what was added
		for _, i := range o.weights {
			if w := n.Weights[i]; (w.first == o.step) == own && n.roleIn(o, w) != "norm.weight" && n.roleIn(o, w) != "norm.bias" {
				if label := stem(w.Tensor.Name, w.Name); label != "" {
					return label
				}
			}
		}
	}
	for _, i := range o.weights {
		if w := n.Weights[i]; w.first == o.step && len(w.Uses) > 0 {
			return stem(w.Uses[0].Node.Name, "")
		}
	}
	return ""
}

var (
	// roleSuffix is what tools append to an operator's name to name its weights.
	roleSuffix = regexp.MustCompile(`[._](?:(?i:weights?|kernels?|filters?|w|bias(?:es)?|b|beta|gamma|scales?|offset|` +
		`quantized|dequantized|transposed?|reshaped?\d*|half|fp16|cast|fwd|fused|bn)|Conv2D|DepthwiseConv2dNative|depthwise|MatMul|BiasAdd|ReadVariableOp)(?:_\d+)*$`)
	// outputSuffix is the number that TensorFlow appends to a node's name to name a
	// result of it.
	outputSuffix = regexp.MustCompile(`:\d+$`)
	// made are names that say no more than a number.
	made = regexp.MustCompile(`^(?i:parameters?|param|onnx|val|values?|const|constants?|tensor|variable|var|arr|array|weights?|kernels?|w|bias|b|initializer|` +
		`init|node|x|y|t|data|inputs?|outputs?|p|v|c|k|unnamed|lifted|getitem|conv|fc|dense)?[._]*\d*(?:[._]\d+)*$`)
)

// stem returns what the name of a weight or a node says of its operator, with dots
// between its parts; "" where that is nothing. path is the name that was recovered for
// it as a parameter's, or "".
func stem(name, path string) string {
	if strings.Contains(path, ".") {
		return moduleOf(strings.Split(path, "."))
	}
	if strings.Contains(name, "::") || strings.HasPrefix(name, "/") { // PyTorch's own, of no parameter
		return ""
	}
	name = outputSuffix.ReplaceAllString(name, "")
	name = strings.Trim(strings.NewReplacer("/", ".", ":", ".", " ", "_", "*", "_", "[", "_", "]", "_", "?", "_", "\\", ".", ",", "_").Replace(name), "._")
	for {
		shorter := roleSuffix.ReplaceAllString(name, "")
		if shorter == name {
			break
		}
		name = shorter
	}
	if made.MatchString(name) && !numbered.MatchString(name) {
		return ""
	}
	return name
}

// numbered are operators with a number, as people call them, too: conv1, fc2.
var numbered = regexp.MustCompile(`^(?i:conv|fc|dense)_?\d+$`)

// commonLabel is what labels begin with in common, up to the end of a part of all of
// them; the label itself where there is one. Empty ones say nothing. It is "" where the
// labels differ in their first part, or in a number alone.
func commonLabel(labels []string) string {
	labels = slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return l == "" })
	if len(labels) == 0 {
		return ""
	}
	common := labels[0]
	for _, l := range labels[1:] {
		k := 0
		for k < min(len(common), len(l)) && common[k] == l[k] {
			k++
		}
		ends := func(s string) bool { return k == len(s) || s[k] == '.' || s[k] == '_' }
		for k > 0 && !(ends(common) && ends(l)) {
			k--
		}
		common = common[:k]
	}
	tells := slices.ContainsFunc(labels, func(l string) bool { return !number.MatchString(l[len(common):]) })
	if len(labels) > 1 && (!tells || made.MatchString(common) && !numbered.MatchString(common)) {
		return ""
	}
	return common
}

// number is what tells the elements of a list apart.
var number = regexp.MustCompile(`^[._]\d+$`)
