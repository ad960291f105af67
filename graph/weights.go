package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"modeldoctor/graph/op"
	"modeldoctor/onnx"
)

// Weight is one tensor of the file that gradients are taken of, in the form in
// which it is stored: an operation on it (a Transpose, a Cast) is part of the
// network.
type Weight struct {
	Name     string // recovered parameter path such as blocks.0.attn.qkv.weight
	Tensor   *onnx.Tensor
	Elements int
	Uses     []onnx.Use
	// Neck is the last neck before every use of the weight: the loss as a
	// function of it depends on the images only through the activations there.
	Neck int

	first int    // the step on the data path that uses it first
	role  string // what that step does with it: weight, bias, or tensor
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

// maxTableElements bounds the tensors that are read to see whether they are
// masks or rotary tables.
const maxTableElements = 1 << 20

// isMask reports whether a tensor that is added or selected holds nothing but
// zeros and one large negative number, or several very large ones. Its name does
// not matter: Swin's is called like a parameter.
func isMask(w onnx.Weight) bool {
	if w.Tensor.Elements() > maxTableElements || !usedBy(w, "Add", "Where") {
		return false
	}
	data, err := w.Tensor.Float32s()
	if err != nil {
		return false
	}
	var masked float32
	for _, x := range data {
		switch {
		case x == 0 || x == masked:
		case x <= -10 && masked == 0:
			masked = x
		case x <= -1e4 && masked <= -1e4:
		default:
			return false
		}
	}
	return masked != 0
}

// isFill reports whether a tensor is one number, over and over, that is written
// into a region of another: the regions from which Swin's masks are made in the
// graph.
func isFill(w onnx.Weight) bool {
	if w.Tensor.Elements() > maxTableElements || !usedBy(w, "ScatterND") {
		return false
	}
	for _, u := range w.Uses {
		if u.Input != 2 {
			return false
		}
	}
	data, err := w.Tensor.Float32s()
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(data, func(x float32) bool { return x != data[0] })
}

// isRotaryTable reports whether each row of a tensor that others are multiplied
// by is sines followed by as many cosines, as timm stores the angles of rotary
// embeddings.
func isRotaryTable(w onnx.Weight) bool {
	shape := w.Tensor.Shape
	if w.Tensor.Elements() > maxTableElements || len(shape) < 2 || shape[len(shape)-1]%2 != 0 || !usedBy(w, "Mul") {
		return false
	}
	data, err := w.Tensor.Float32s()
	if err != nil {
		return false
	}
	width := shape[len(shape)-1]
	for row := 0; row < len(data); row += width {
		if !onUnitCircle(data[row:row+width/2], data[row+width/2:row+width]) {
			return false
		}
	}
	return true
}

// usedBy reports whether a tensor has uses, all by the given operators.
func usedBy(w onnx.Weight, operators ...string) bool {
	for _, u := range w.Uses {
		if !slices.Contains(operators, u.Node.OpType) {
			return false
		}
	}
	return len(w.Uses) > 0
}

// candidate reports whether t is a weight as far as is known.
func (r *weightRoles) candidate(t *onnx.Tensor) bool {
	_, listed := r.number[t]
	return listed && r.reasons[t] == ""
}

func (r *weightRoles) index(t *onnx.Tensor) int { return r.number[t] }

func (r *weightRoles) exclude(t *onnx.Tensor, reason string) { r.reasons[t] = reason }

// collectWeights lists the weights that the logits depend on, in order of first
// use, and everything else with the reason it is skipped.
func (n *Network) collectWeights(l *lowerer) {
	// reach[v] lists the weights that a value off the data path depends on.
	reach := map[*op.Value][]*op.Value{}
	leaves := func(v *op.Value) []*op.Value {
		if v.Kind == op.Weight {
			return []*op.Value{v}
		}
		return reach[v]
	}
	byIndex := map[int]*Weight{}
	n.weightOf = map[*op.Value]int{}
	compared := map[int]bool{} // weights that decide a condition or an index
	angles := map[int]bool{}   // nameless ones of which the sine or cosine is taken
	for i, s := range n.steps {
		if class := op.ClassOf(s.Out.Type.DType); !s.Out.Data && class != op.ClassFloat32 && class != op.ClassFloat64 {
			// No gradient passes a comparison: what is only compared is the material
			// of a mask.
			for _, v := range s.In {
				for _, leaf := range leaves(v) {
					compared[leaf.Index] = true
				}
			}
			continue
		}
		turns := !s.Out.Data && (s.Op.Name() == "Sin" || s.Op.Name() == "Cos")
		for operand, v := range s.In {
			if v.Data {
				continue
			}
			for _, leaf := range leaves(v) {
				if turns && l.roles.all[leaf.Index].Path == "" {
					// Positions and frequencies of a sinusoidal embedding. Learned
					// frequencies have a parameter's name.
					angles[leaf.Index] = true
					continue
				}
				if !s.Out.Data {
					reach[s.Out] = append(reach[s.Out], leaf)
					continue
				}
				if byIndex[leaf.Index] == nil {
					file := l.roles.all[leaf.Index]
					w := &Weight{
						Name:     file.Path,
						Tensor:   file.Tensor,
						Elements: file.Tensor.Elements(),
						Uses:     file.Uses,
						first:    i,
						role:     operandRole(s.Op, operand),
					}
					byIndex[leaf.Index] = w
					n.weightOf[leaf] = len(n.Weights)
					n.Weights = append(n.Weights, w)
				}
			}
		}
	}
	for i, file := range l.roles.all {
		if byIndex[i] != nil {
			continue
		}
		reason := l.roles.reasons[file.Tensor]
		switch {
		case reason != "":
		case compared[i]:
			reason = "mask: it is only compared"
		case angles[i]:
			reason = "angles of a sinusoidal embedding"
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
}

// placeWeights finds the last neck before each weight's first use. It is called
// once the necks are final: a weight holds its neck's index.
func (n *Network) placeWeights() {
	for _, w := range n.Weights {
		w.Neck = 0
		for w.Neck+1 < len(n.Necks) && n.Necks[w.Neck+1].position <= w.first {
			w.Neck++
		}
	}
}

// operandRole says what an operand is to an Op, for naming weights whose file
// gives no name.
func operandRole(o op.Op, operand int) string {
	if operand == 0 {
		return "tensor"
	}
	switch o.Name() {
	case "Linear", "Conv", "PatchEmbedding", "Gemm", "MatMul":
		return [...]string{"weight", "bias", "tensor"}[min(operand-1, 2)]
	case "LayerNormalization", "RMSNormalization", "BatchNormalization", "InstanceNormalization":
		return [...]string{"weight", "bias", "tensor"}[min(operand-1, 2)]
	}
	return "tensor"
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
