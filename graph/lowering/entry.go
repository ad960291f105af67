package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Entry is one operator of the registry.
type Entry struct {
	Domain   string // "" is ai.onnx
	Name     string
	Min, Max int64 // opset versions whose semantics Lower knows, inclusive
	Lower    Lowering

	NoGradient string // why there is no gradient; "" where there is one
	Limit      string // which forms are refused, or which alone are supported
}

// QualifiedName is the operator's name, with its domain where that is not
// ai.onnx.
func (e Entry) QualifiedName() string {
	if e.Domain == "" {
		return e.Name
	}
	return e.Domain + "." + e.Name
}

// Lowering translates one ONNX node into Ops. It returns one value per output
// the node may have; trailing ones and absent ones may be nil. An error names
// what is unsupported or wrong; the caller adds the node.
type Lowering func(c *Call) ([]*op.Value, error)

// MaxOpset is the newest ai.onnx opset the lowerings were written for.
const MaxOpset = 28

// microsoft is the domain of ONNX Runtime's own operators.
const microsoft = "com.microsoft"

// Reasons for having no gradient that operators share.
const (
	truthResults  = "results are truth values"
	indexResults  = "results are indices"
	foldedResults = "folded: does not depend on the image"
)
