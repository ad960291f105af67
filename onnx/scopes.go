package onnx

import "strings"

// scopesKey is the metadata in which PyTorch's exporter records the path of
// modules that a node came from.
const scopesKey = "pkg.torch.onnx.name_scopes"

// parseScopes reads a Python list of string literals, as in
// [”, 'blocks.2', "layer's name"]. Anything else yields nil.
func parseScopes(s string) []string {
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return nil
	}
	var scopes []string
	for s = s[1 : len(s)-1]; s != ""; {
		switch quote := s[0]; quote {
		case ' ', ',':
			s = s[1:]
		case '\'', '"':
			text, rest, ok := cutLiteral(s[1:], quote)
			if !ok {
				return nil
			}
			scopes, s = append(scopes, text), rest
		default:
			return nil
		}
	}
	return scopes
}

// cutLiteral returns the text up to the closing quote and what follows it.
// Names of Python modules need no escapes but the quote's and the backslash's.
func cutLiteral(s string, quote byte) (text, rest string, ok bool) {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return string(b), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b = append(b, s[i])
	}
	return "", "", false
}

// hookScope is what PyTorch records where it has lost the module.
const hookScope = "_empty_nn_module_stack_from_metadata_hook"

// moduleOf returns the path of the module in whose call the node was recorded,
// "" for the outermost or where nothing is known.
func moduleOf(n *Node) (string, NameSource) {
	if k := len(n.Scopes); k >= 2 {
		if module := n.Scopes[k-2]; module != "" && !strings.Contains(module, hookScope) {
			return module, FromScopes
		}
	}
	for _, name := range append([]string{n.Name}, n.Outputs...) {
		if strings.HasPrefix(name, "/") {
			return scopeOf(name), FromNode
		}
	}
	return "", FromNothing
}

// scopeOf returns the module path in a name of PyTorch's older exporter, such as
// /encoder/layers/encoder_layer_3/mlp/mlp.0/Gemm: what stands before the
// operator. Within a container, a part repeats the one before it.
func scopeOf(name string) string {
	if i := strings.Index(name, "_token_"); i >= 0 {
		name = name[:i] // ONNX Runtime
	}
	parts := strings.FieldsFunc(name, func(c rune) bool { return c == '/' })
	for len(parts) > 0 && strings.HasSuffix(parts[len(parts)-1], "Fusion") {
		parts = parts[:len(parts)-1] // ONNX Runtime names the optimisation
	}
	var path []string
	for i, part := range parts {
		if i == len(parts)-1 {
			break // the operator
		}
		if k := len(path); k > 0 && strings.HasPrefix(part, path[k-1]+".") {
			path[k-1] = part
			continue
		}
		path = append(path, part)
	}
	return strings.Join(path, ".")
}

// commonModule returns the components that the paths of all parameters begin with, but
// for the last of each, and the modules that follow them.
func commonModule(parameters []string) (common []string, within map[string]bool) {
	for i, path := range parameters {
		module := strings.Split(path, ".")
		module = module[:len(module)-1]
		if i == 0 {
			common = module
		}
		k := 0
		for k < min(len(common), len(module)) && common[k] == module[k] {
			k++
		}
		common = common[:k]
	}
	within = map[string]bool{}
	for _, path := range parameters {
		if module := strings.Split(path, "."); len(module) > len(common)+1 {
			within[module[len(common)]] = true
		}
	}
	return common, within
}

// inside returns the whole path of a module that was recorded without the modules
// around it: a wrapper such as a PEFT adapter's calls the model within by another way
// than its module, and parameters are named base_model.model.blocks.0, scopes
// model.blocks.0; or a tool has given the tensors a prefix. All parameters lie in
// common, directly in it in the modules within.
func inside(common []string, within map[string]bool, module string) string {
	if len(common) == 0 {
		return module
	}
	first, _, _ := strings.Cut(module, ".")
	if first == common[0] {
		return module
	}
	for k := 1; k < len(common); k++ {
		if strings.HasPrefix(module+".", strings.Join(common[k:], ".")+".") {
			return strings.Join(common[:k], ".") + "." + module
		}
	}
	if within[first] {
		return strings.Join(common, ".") + "." + module
	}
	return module
}
