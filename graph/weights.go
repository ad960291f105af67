package graph

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Weight is one tensor of the file that gradients are taken of, in the form in
// which it is stored: an operation on it (a Transpose, a Cast) is part of the
// network.
type Weight struct {
	Name     string          // recovered parameter path such as blocks.0.attn.qkv.weight
	Source   onnx.NameSource // what Name was recovered from
	Tensor   *onnx.Tensor
	Elements int
	Uses     []onnx.Use
	// Neck is the last neck before every use of the weight: the loss as a
	// function of it depends on the images only through the activations there.
	Neck int

	first int  // the step on the data path that uses it first
	role  role // what it is to that step
}

// Skipped is a floating-point tensor that is in no layer, and why.
type Skipped struct {
	Name      string
	Elements  int
	Reason    string
	Parameter bool // it is a parameter all the same, one that does nothing
}

// weightRoles tells the tensors that are weights from those that are not, by
// their size and by the operands they serve as.
type weightRoles struct {
	all     []onnx.Weight
	number  map[*onnx.Tensor]int // index in all
	reasons map[*onnx.Tensor]string
}

// parameterOperands are inputs that parametrise an operator rather than being
// learned, by operator and input index.
var parameterOperands = map[string]map[int]string{
	"BatchNormalization": {3: "running statistics", 4: "running statistics"},
	"Resize":             {1: "operator parameter", 2: "operator parameter"},
	"Upsample":           {1: "operator parameter"},
	"Clip":               {1: "operator parameter", 2: "operator parameter"},
	"Pad":                {2: "operator parameter"},
	"Range":              {0: "operator parameter", 1: "operator parameter", 2: "operator parameter"},
	"OneHot":             {2: "operator parameter"},
	"Dropout":            {1: "operator parameter"},
	"QuantizeLinear":     {1: "quantisation scale"},
	"DequantizeLinear":   {1: "quantisation scale"},
	// The tables of ai.onnx's operator, and of com.microsoft's.
	"RotaryEmbedding": {1: rotaryTable, 2: rotaryTable, 3: rotaryTable},
}

func classifyWeights(m *onnx.Model) *weightRoles {
	r := &weightRoles{all: m.Weights(), number: map[*onnx.Tensor]int{}, reasons: map[*onnx.Tensor]string{}}
	for i, w := range r.all {
		r.number[w.Tensor] = i
		switch {
		case len(w.Uses) == 0:
			r.reasons[w.Tensor] = "unused: no node reads it"
		case w.Tensor.Elements() == 1:
			r.reasons[w.Tensor] = "scalar"
		case w.Tensor.Elements() == 0:
			r.reasons[w.Tensor] = "empty"
		case w.Tensor.DType == onnx.Double:
			r.reasons[w.Tensor] = "double precision constant"
		default:
			if reason := parameterReason(w.Uses); reason != "" {
				r.reasons[w.Tensor] = reason
			} else if isMask(w) {
				r.reasons[w.Tensor] = "mask"
			} else if isFill(w) {
				r.reasons[w.Tensor] = "fill value"
			} else if isRotaryTable(w) {
				r.reasons[w.Tensor] = rotaryTable
			} else if isFrequencies(w) {
				r.reasons[w.Tensor] = "rotary frequencies"
			}
		}
	}
	r.excludeRotaryPairs()
	return r
}

// clone returns roles to which exclusions can be added.
func (r *weightRoles) clone() *weightRoles {
	return &weightRoles{all: r.all, number: r.number, reasons: maps.Clone(r.reasons)}
}

// parameterReason returns why every use of a tensor is a parameter of an
// operator, or "".
func parameterReason(uses []onnx.Use) string {
	reason := ""
	for _, u := range uses {
		why := parameterOperands[u.Node.OpType][u.Input]
		if why == "" {
			return ""
		}
		reason = why
	}
	return reason
}

// candidate reports whether t is a weight as far as is known.
func (r *weightRoles) candidate(t *onnx.Tensor) bool {
	_, listed := r.number[t]
	return listed && r.reasons[t] == ""
}

func (r *weightRoles) index(t *onnx.Tensor) int { return r.number[t] }

func (r *weightRoles) exclude(t *onnx.Tensor, reason string) { r.reasons[t] = reason }

// collectWeights lists the weights that the logits depend on, in order of first
// use, and everything else with the reason it is skipped. It returns the tensors
// that have been lowered as weights, but whose values show that they are none,
// with the reasons.
func (n *Network) collectWeights(roles *weightRoles) (constants map[*onnx.Tensor]string) {
	byIndex := map[int]*Weight{}
	n.weightOf, constants = map[*op.Value]int{}, map[*onnx.Tensor]string{}
	walk := weightWalk{
		named:    func(weight int) bool { return roles.all[weight].Path != "" },
		seen:     make(map[visit]bool, len(n.steps)),
		compared: map[int]bool{},
		angles:   map[int]bool{},
	}
	for i, s := range n.steps {
		if !s.Out.OnDataPath {
			continue
		}
		for operand, v := range s.In {
			if v.OnDataPath {
				continue
			}
			for _, leaf := range walk.leaves(v) {
				if byIndex[leaf.Index] == nil {
					file := roles.all[leaf.Index]
					w := &Weight{
						Name:     file.Path,
						Source:   file.Source,
						Tensor:   file.Tensor,
						Elements: file.Tensor.Elements(),
						Uses:     file.Uses,
						first:    i,
						role:     roleOf(s.Op, operand),
					}
					byIndex[leaf.Index] = w
					n.weightOf[leaf] = len(n.Weights)
					n.Weights = append(n.Weights, w)
				}
			}
		}
	}
	for i, file := range roles.all {
		if byIndex[i] != nil {
			continue
		}
		reason := roles.reasons[file.Tensor]
		switch {
		case reason != "":
		case walk.compared[i]:
			constants[file.Tensor] = "mask: it is only compared"
		case walk.angles[i]:
			constants[file.Tensor] = "angles of a sinusoidal embedding"
		default:
			reason = "unused: the logits do not depend on it"
		}
		name := file.Path
		if name == "" {
			name = file.Tensor.Name
		}
		n.Skipped = append(n.Skipped, Skipped{name, file.Tensor.Elements(), reason, strings.HasPrefix(reason, "unused")})
	}
	n.nameWeights()
	return constants
}

// weightWalk finds the weights that values off the data path depend on. It looks
// at each value once by each route: a sum of sums has as many paths to its
// weights as two to the power of its depth.
type weightWalk struct {
	named    func(weight int) bool // whether the file has a parameter's name for it
	seen     map[visit]bool
	stack    []visit
	compared map[int]bool // weights that decide a condition or an index
	angles   map[int]bool // nameless ones of which the sine or cosine is taken
}

// visit is a value that is reached by a route.
type visit struct {
	value *op.Value
	route route
}

// route says what lies between a value and the data path.
type route uint8

const (
	direct   route = iota
	turned         // a sine or cosine: positions and frequencies of a sinusoidal embedding; learned ones have a name
	compared       // a comparison, which no gradient passes: the material of a mask
)

// leaves returns the weights that v depends on and that no earlier call has
// returned, in the order in which they are operands.
func (w *weightWalk) leaves(v *op.Value) []*op.Value {
	var found []*op.Value
	w.stack = append(w.stack[:0], visit{v, direct})
	for len(w.stack) > 0 {
		at := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if w.seen[at] {
			continue
		}
		w.seen[at] = true
		if v := at.value; v.Kind == op.Weight {
			switch {
			case at.route == compared:
				w.compared[v.Index] = true
			case at.route == turned && !w.named(v.Index):
				w.angles[v.Index] = true
			default:
				found = append(found, v)
			}
		}
		step := at.value.Step
		if step == nil {
			continue
		}
		route := at.route
		if class := op.ClassOf(step.Out.Type.DType); class != op.ClassFloat32 && class != op.ClassFloat64 {
			route = compared
		} else if route == direct && isSinusoid(step.Op) {
			route = turned
		}
		for _, u := range slices.Backward(step.In) {
			w.stack = append(w.stack, visit{u, route})
		}
	}
	return found
}

func isSinusoid(o op.Op) bool {
	switch o.(type) {
	case op.Sin, op.Cos:
		return true
	}
	return false
}

// setNecks finds the last neck before each weight's first use. It is called once
// the necks are final: a weight holds its neck's index.
func (n *Network) setNecks() {
	for _, w := range n.Weights {
		// The image is at position 0, and the necks are in order.
		behind, found := slices.BinarySearchFunc(n.Necks, w.first, func(k Neck, first int) int { return k.position - first })
		if !found {
			behind--
		}
		w.Neck = max(0, behind)
	}
}

// role is what an operand is to an Op, for naming weights whose file gives no
// name.
type role string

const (
	roleWeight role = "weight" // the matrix of a linear map, or the scale of a normalisation
	roleBias   role = "bias"
	roleTensor role = "tensor" // anything else
)

// roleOf returns the role of one of an Op's operands.
func roleOf(o op.Op, operand int) role {
	switch o.(type) {
	case op.Linear, op.Conv, op.PatchEmbedding, op.MatMul, op.LayerNormalization, op.RMSNormalization, op.BatchNormalization:
		switch operand {
		case 1:
			return roleWeight
		case 2:
			return roleBias
		}
	}
	return roleTensor
}

// CheckFinite reads every weight and reports the first that holds NaN or an
// infinity.
func (n *Network) CheckFinite() error {
	for _, w := range n.Weights {
		data, err := w.Tensor.Float32s()
		if err != nil {
			return err
		}
		for j, x := range data {
			if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
				return &Error{Path: n.Model.Path,
					Msg:  fmt.Sprintf("weight %q (tensor %q) is %v at element %d", w.Name, w.Tensor.Name, x, j),
					Help: "the checkpoint is broken: training has diverged or the file is damaged"}
			}
		}
	}
	return nil
}
