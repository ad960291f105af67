package graph

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// outputOf chooses the output that holds the logits: the named one, else one
// called logits, else the first that can be [N, classes].
func outputOf(m *onnx.Model, opt Options) (string, error) {
	if opt.Output != "" {
		for _, o := range m.Outputs {
			if o.Name == opt.Output {
				return o.Name, nil
			}
		}
		return "", &Error{Path: m.Path, Msg: fmt.Sprintf("no output is called %q", opt.Output), Help: "see `modeldoctor inspect` for the outputs' names"}
	}
	if len(m.Outputs) == 0 {
		return "", &Error{Path: m.Path, Msg: "the graph has no outputs"}
	}
	first := ""
	for _, o := range m.Outputs {
		if o.Shape != nil && len(o.Shape) != 2 {
			continue
		}
		if o.Name == "logits" {
			return o.Name, nil
		}
		if first == "" {
			first = o.Name
		}
	}
	if first == "" {
		o := m.Outputs[0]
		return "", &Error{Path: m.Path, Msg: fmt.Sprintf("output %q has rank %d, expected class scores [N, classes]", o.Name, len(o.Shape)), Help: "export the classifier, with its head, rather than its features"}
	}
	return first, nil
}
