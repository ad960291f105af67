package onnx

import (
	"regexp"
	"strconv"
	"strings"
)

// NameSource says what a weight's path was recovered from. The sources are
// tried in the order of the constants, the first two of which are the
// exporter's word and the others inference.
type NameSource string

const (
	// FromTensor: the tensor's own name is a parameter's.
	FromTensor NameSource = "tensor name"
	// FromFolded: PyTorch's optimiser noted from which parameter it made the
	// tensor, by transposing it as a rule.
	FromFolded NameSource = "folded_from"
	// FromScopes: the module path that PyTorch's newer exporter records on the
	// node that reads the tensor, and the role that the tensor has there.
	FromScopes NameSource = "name_scopes"
	// FromNode: the same path in the node's name, or that of its output, as
	// PyTorch's older exporter writes it.
	FromNode NameSource = "node scope"
	// FromSibling: the name of the other parameter of the same module, such as
	// the bias that is added to a product.
	FromSibling NameSource = "bias name"
	// FromNothing: there is no path.
	FromNothing NameSource = "none"
	// FromPosition: the file gives no path, and one is made up from where a
	// network uses the tensor, and as what. This package knows no networks and
	// returns FromNothing instead.
	FromPosition NameSource = "position"
)

// foldedKey is the metadata, on the declaration of a value, that lists the
// constants from which PyTorch's optimiser computed it.
const foldedKey = "pkg.onnxscript.optimizer.folded_from"

// isParameterPath reports whether a tensor's name is one that a PyTorch program
// could have given a parameter, rather than one made up by a tool:
// "blocks.0.norm1.weight" and "cls_token", but not "onnx::MatMul_325", "val_12",
// "/blocks.0/Constant_output_0" or "Attention_0_qkv_weight".
func isParameterPath(name string) bool {
	return isPath(name) && name != "getitem" && !(strings.Contains(name, "_") && madeUp.MatchString(name))
}

// isPath reports whether a name is identifiers and indices of containers, joined
// by dots. An index may be the first, but not all.
func isPath(name string) bool {
	first, last := true, "" // whether the part is the first; the last part
	digits := false         // whether the first is an index
	for part := range strings.SplitSeq(name, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			switch c := part[i]; {
			case c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
				if first && digits {
					return false
				}
			case '0' <= c && c <= '9':
				digits = digits || first && i == 0
			default:
				return false
			}
		}
		first, last = false, part
	}
	return !digits || strings.Contains(name, ".") && (last[0] < '0' || last[0] > '9')
}

// madeUp are names that exporters and optimisers make up: numbered ones without a
// module, those of traced calls, and the prefixes and suffixes of ONNX Runtime, of
// quantisers and of Conv-BatchNorm fusion. All have an underscore.
var madeUp = regexp.MustCompile(`^[^.]*_\d+$|^[^.]*_default$|^(ortshared|lifted_tensor|Attention_\d+|_tensor_constant\d*)_|` +
	`_token_\d+|_([tT]ransposed|quantized)$|weight_bias$`)

// nameWeights sets Path and Source of the weights and Path of their uses.
func nameWeights(m *Model, weights []Weight, u uses) {
	r := recovery{model: m, uses: u, makers: make(map[string]*Node, len(m.Nodes)), folded: foldedFrom(m), given: map[string]int{}, exclusive: map[*Tensor]bool{}}
	for _, n := range m.Nodes {
		for _, out := range n.Outputs {
			r.makers[out] = n
		}
	}
	var known []string
	for i := range weights {
		w := &weights[i]
		t, name := w.Tensor, nameBefore(w.Tensor)
		if _, computed := r.folded[name]; t.Node == nil && !computed && isParameterPath(name) {
			w.Path, w.Source = name, FromTensor
			r.given[w.Path]++
			known = append(known, name)
		}
	}
	r.common, r.within = commonModule(known)
	for i := range weights {
		w := &weights[i]
		derived, source := "", FromNothing
		for j := range w.Uses {
			use := &w.Uses[j]
			path, from := r.derive(*use)
			use.Path = path
			if derived == "" && path != "" {
				derived, source = path, from
			}
			if w.Source == FromTensor && len(w.Uses) == 1 {
				use.Path = w.Path
			}
		}
		if w.Source == FromTensor {
			continue
		}
		if origin := r.folded[nameBefore(w.Tensor)]; origin != "" {
			origin = inside(r.common, r.within, origin)
			derived, source = origin, FromFolded
			if len(w.Uses) == 1 {
				w.Uses[0].Path = origin
			}
		}
		w.Path, w.Source = r.unique(derived), source
	}
}

// conversion is what tools append to the name of a tensor that they have stored in
// another type.
var conversion = regexp.MustCompile(`[._](half|fp16|float16|bf16|bfloat16|fp32|float32)$`)

// quantisation is what ONNX Runtime's quantisers append: of 8 bits, and of blocks of 4.
var quantisation = regexp.MustCompile(`_(quantized|DQ_Q\d)$`)

// nameBefore returns the name that a tensor had before a tool stored it in another type
// and appended that, as ONNX Runtime's quantiser does.
func nameBefore(t *Tensor) string {
	if t.quantization != nil {
		return quantisation.ReplaceAllString(t.Name, "")
	}
	return conversion.ReplaceAllString(t.Name, "")
}

// foldedFrom returns, for each value that was folded from constants, the
// parameter that it comes from, "" where that is not just one.
func foldedFrom(m *Model) map[string]string {
	folded := map[string]string{}
	claims := map[string]int{}
	for info := range m.graph.Each(graphValueInfo) {
		from := parseScopes(metadata(info, valueMetadata, foldedKey))
		if from == nil {
			continue
		}
		origin := foldedParameter(from)
		folded[string(info.Bytes(valueName))] = origin
		claims[origin]++
	}
	for value, origin := range folded {
		if claims[origin] > 1 {
			// Tied parameters have one name; which module a copy belongs to is seen
			// where it is used.
			folded[value] = ""
		}
	}
	return folded
}

// foldedParameter returns the parameter among the constants that a value was
// folded from, the others being shapes and indices: the only name that could be
// a parameter's, or the only one that ends in ".weight".
func foldedParameter(from []string) string {
	var paths, weights []string
	for _, name := range from {
		if !isParameterPath(name) {
			continue
		}
		paths = append(paths, name)
		if strings.HasSuffix(name, ".weight") {
			weights = append(weights, name)
		}
	}
	switch {
	case len(paths) == 1:
		return paths[0]
	case len(weights) == 1:
		return weights[0]
	}
	return ""
}

// recovery is the state of naming the weights of one model.
type recovery struct {
	model  *Model
	uses   uses
	makers map[string]*Node
	folded map[string]string
	common []string        // modules that all named parameters lie in
	within map[string]bool // those in these
	given  map[string]int  // how many weights have been given a path
	// exclusive remembers which constants have one use: counting the uses of a
	// constant that everything shares, once for each of them, would take too long.
	exclusive map[*Tensor]bool
}

// unique returns path, with a number where it has been given before: two
// weights that one function reads directly differ only in their order.
func (r *recovery) unique(path string) string {
	if path == "" {
		return ""
	}
	if r.given[path]++; r.given[path] == 1 {
		return path
	}
	for {
		numbered := path + "_" + strconv.Itoa(r.given[path])
		if r.given[numbered] == 0 {
			r.given[numbered] = 1
			return numbered
		}
		r.given[path]++
	}
}

// derive returns the path that a use suggests: the module that the node belongs
// to and the role of the operand in it.
func (r *recovery) derive(u Use) (string, NameSource) {
	n, leaf, sibling := r.role(u)
	if leaf == "" {
		return "", FromNothing
	}
	module, source := moduleOf(n)
	fromSibling := ""
	if other, exclusive := r.constant(sibling); other != "" {
		// The sibling's last component says more than the operator does:
		// in_proj_bias belongs to in_proj_weight.
		dot := strings.LastIndexByte(other, '.') + 1
		if renamed, ok := renameSibling(other[dot:], leaf); ok {
			leaf = renamed
			if exclusive {
				fromSibling = other[:dot] + leaf
			}
		}
	}
	path := ""
	if module != "" {
		path = inside(r.common, r.within, module) + "." + leaf
	}
	// A sibling that nothing else reads knows its module for certain; a functional
	// call runs in the scope of the module around it.
	if fromSibling != "" && fromSibling != path {
		return fromSibling, FromSibling
	}
	if path == "" {
		return "", FromNothing
	}
	return path, source
}

// renameSibling turns the last component of a weight's name into its bias's or
// the reverse.
func renameSibling(sibling, leaf string) (string, bool) {
	other := "bias"
	if leaf == "bias" {
		other = "weight"
	}
	prefix, ok := strings.CutSuffix(sibling, other)
	return prefix + leaf, ok
}

// role returns the node whose module an operand belongs to, the name it has
// there ("" if it has none by convention) and the value that would be its
// sibling.
func (r *recovery) role(u Use) (n *Node, leaf, sibling string) {
	n = u.Node
	input := func(i int) string {
		if i < len(n.Inputs) {
			return n.Inputs[i]
		}
		return ""
	}
	switch n.OpType {
	case "Attention":
		// ONNX Runtime's packs three layers into one tensor that has no name. The
		// operands of the standard one are activations.
		switch {
		case n.Domain == "":
		case u.Input == 1:
			return n, "qkv.weight", ""
		case u.Input == 2:
			return n, "qkv.bias", ""
		}
	case "Conv", "ConvTranspose", "Gemm", "LayerNormalization", "BatchNormalization", "GroupNormalization",
		"InstanceNormalization", "RMSNormalization", "SimplifiedLayerNormalization":
		switch u.Input {
		case 1:
			return n, "weight", input(2)
		case 2:
			return n, "bias", input(1)
		case 3:
			return n, "running_mean", ""
		case 4:
			return n, "running_var", ""
		}
	case "SkipLayerNormalization", "SkipSimplifiedLayerNormalization":
		switch {
		case u.Input == 2:
			return n, "weight", input(3)
		case u.Input == 3 && n.OpType == "SkipLayerNormalization":
			return n, "bias", input(2)
		default: // the bias of the layer that makes the first or second input
			return r.addend(n, input(0), input(1))
		}
	case "MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul", "QGemm", "DynamicQuantizeMatMul", "MatMulIntegerToFloat":
		if input, ok := weightOf(n); ok && u.Input == input {
			return n, "weight", r.addedTo(r.scaled(n.Outputs[0]))
		}
	case "MatMul", "FusedMatMul":
		if u.Input == 1 {
			return n, "weight", r.addedTo(n.Outputs[0])
		}
	case "Add", "BiasGelu", "FastGelu":
		if u.Input < 2 {
			return r.addend(n, input(1-u.Input))
		}
	}
	return n, "", ""
}

// scaled returns what a product of integers becomes where nothing else is done with
// it: cast, and multiplied by its scale.
func (r *recovery) scaled(value string) string {
	for readers := r.uses[value]; len(readers) == 1; readers = r.uses[value] {
		n := readers[0].node
		if n.OpType != "Cast" && n.OpType != "Mul" {
			break
		}
		value = n.Outputs[0]
	}
	return value
}

// addedTo returns the constant that is added to value and nothing else does
// anything with it: the bias of a product.
func (r *recovery) addedTo(value string) string {
	readers := r.uses[value]
	if len(readers) != 1 {
		return ""
	}
	n := readers[0].node
	switch n.OpType {
	case "Reshape", "QuantizeLinear", "DequantizeLinear": // a product of rank 2 within tensors of rank 3; quantised activations
		if readers[0].input == 0 {
			return r.addedTo(n.Outputs[0])
		}
	case "Add", "BiasGelu", "FastGelu":
		if len(n.Inputs) == 2 {
			return n.Inputs[1-readers[0].input]
		}
	case "SkipLayerNormalization":
		if len(n.Inputs) == 5 {
			return n.Inputs[4]
		}
	}
	return ""
}

// addend returns the role of what is added to one of the given values, if a
// product makes it: the bias of that layer.
func (r *recovery) addend(n *Node, values ...string) (*Node, string, string) {
	for _, value := range values {
		product := r.makers[value]
		for range 2 { // of quantised activations
			if product != nil && len(product.Inputs) > 0 && (product.Dequantizes() || product.OpType == "QuantizeLinear") {
				product = r.makers[product.Inputs[0]]
			}
		}
		if product == nil || (product.OpType != "MatMul" && product.OpType != "FusedMatMul") || len(product.Inputs) < 2 {
			continue
		}
		if weight := product.Inputs[1]; r.source(weight) != nil {
			return product, "bias", weight
		}
	}
	return n, "", ""
}

// source returns the constant that a value holds, perhaps rearranged, or nil.
func (r *recovery) source(value string) *Tensor {
	for range maxChain {
		if t := r.model.constants[value]; t != nil {
			return t
		}
		n := r.makers[value]
		if n == nil || !rearranges(n) || len(n.Inputs) == 0 {
			break
		}
		value = n.Inputs[0]
	}
	return nil
}

// constant returns the parameter path of the constant behind a value, "" where
// there is none, and whether that constant has no other use.
func (r *recovery) constant(value string) (path string, exclusive bool) {
	t := r.source(value)
	if t == nil || t.Node != nil {
		return "", false
	}
	path = nameBefore(t)
	if origin, computed := r.folded[path]; computed {
		path = origin
	}
	if !isParameterPath(path) {
		return "", false
	}
	exclusive, known := r.exclusive[t]
	if !known {
		exclusive = len(r.uses.of(t.Name, nil)) == 1
		r.exclusive[t] = exclusive
	}
	return path, exclusive
}
