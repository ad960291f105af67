package lowering

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// gradientCase is one node whose gradient is compared with finite differences.
type gradientCase struct {
	operator string // with its domain where that is not ai.onnx
	opset    int64
	in       []any // DOUBLE arrays are differentiated, all else is known; nil: absent
	attrs    []onnxtest.Attr
	outputs  int // of the node, 1 if 0; those that are floats are differentiated in turn
}

// known is a DOUBLE input that is a constant of the graph.
type known struct{ op.Array }

// in lists the inputs of a gradientCase.
func in(v ...any) []any { return v }

// TestGradients lowers nodes of every operator as a model's nodes are and
// checks result and gradient (optest.Gradient). Every operator has a case or a reason.
func TestGradients(t *testing.T) {
	covered := map[string]bool{}
	cases := slices.Concat(pointwiseGradients(), reductionGradients(), layoutGradients(), productGradients())
	for _, k := range cases {
		covered[k.operator] = true
	}
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, k := range cases {
			t.Run(fmt.Sprintf("%s-%d", k.operator, k.opset), func(t *testing.T) { checkNode(t, on, k) })
		}
	})
	for _, e := range NewRegistry().Entries() {
		name := e.QualifiedName()
		switch {
		case e.NoGradient == "" && !covered[name]:
			t.Errorf("%s has neither a gradient case nor a reason why it has no gradient", name)
		case e.NoGradient != "" && covered[name]:
			t.Errorf("%s has a gradient case, but is said to have no gradient: %s", name, e.NoGradient)
		}
	}
}

func checkNode(t *testing.T, on testdevice.Backend, k gradientCase) {
	t.Helper()
	var floats []op.Array
	for _, v := range k.in {
		if a, ok := v.(op.Array); ok && op.ClassOf(a.DType) == op.ClassFloat64 {
			floats = append(floats, a)
		}
	}
	outputs := max(1, k.outputs)
	for i := range outputs {
		optest.ProgramGradient(t, on, func(p *op.Program, values []*op.Value) (*op.Value, error) {
			single := op.ClassOf(values[0].Type.DType) == op.ClassFloat32
			constant := func(a op.Array) *op.Value {
				if single {
					a = optest.Float32(a)
				}
				return p.Constant(a)
			}
			all := make([]*op.Value, len(k.in))
			next := 0
			for j, v := range k.in {
				switch a := v.(type) {
				case known:
					all[j] = constant(a.Array)
				case op.Array:
					if op.ClassOf(a.DType) == op.ClassFloat64 {
						all[j] = values[next]
						next++
					} else {
						all[j] = constant(a)
					}
				}
			}
			out, err := lowerValues(t, p, k.opset, k.operator, outputs, all, k.attrs...)
			if err != nil {
				return nil, err
			}
			return out[i], nil
		}, floats...)
	}
}
