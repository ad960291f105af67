package onnx

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
