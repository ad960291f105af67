package graph

import (
	"errors"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/lowering"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// bind lowers the live nodes at one batch size. It returns the network without its
// layers, and the tensors that it has as weights by mistake, with the reasons why
// they are none. The error is a *refusal where a node cannot be run.
func (b *builder) bind(batch int, noFuse bool) (*Network, map[*onnx.Tensor]string, error) {
	l := &lowerer{
		model:      b.model,
		registry:   b.registry,
		program:    op.NewProgram(modelBytes(b.model)),
		values:     make(map[string]*op.Value, 2*len(b.live)),
		raw:        map[*op.Value]bool{},
		grids:      map[string]*onnx.Tensor{},
		factors:    factors(b.candidates.all),
		candidates: b.candidates.clone(),
		batch:      batch,
	}
	image, err := l.image(b.input, batch)
	if err != nil {
		return nil, nil, err
	}
	for _, node := range b.live {
		if !l.taken(node.Guard) {
			continue
		}
		if err := l.lower(node); err != nil {
			var refused *lowering.UnsupportedError
			var data *onnx.FormatError
			if errors.As(err, &data) && !errors.As(err, &refused) {
				return nil, nil, err
			}
			here := &refusal{nodes: []onnx.Unsupported{node.Unsupported(err.Error())}, first: true}
			if errors.Is(err, op.ErrOverBudget) {
				return nil, nil, here
			}
			return nil, nil, tracedError{here}
		}
	}
	n := &Network{Model: b.model, Input: b.input, Output: b.output, Batch: batch, live: make(map[*onnx.Node]bool, len(b.live))}
	for _, node := range b.live {
		n.live[node] = true
	}
	logits, err := n.findLogits(l.program, l.values[b.output])
	if err != nil {
		return nil, nil, err
	}
	n.program = l.program
	n.steps = schedule(l.program, logits)
	if !noFuse {
		if n.steps, err = fuse(l.program, logits, n.steps, passes()); err != nil {
			return nil, nil, &Error{Path: b.model.Path, Msg: "the operators cannot be fused", Err: err, Help: "this is a defect; please report it. --no-fuse runs the model without"}
		}
	}
	if list := withoutGradient(n.steps); len(list) > 0 {
		return nil, nil, &refusal{nodes: list}
	}
	n.findNecks(image, logits)
	return n, n.collectWeights(l.candidates), nil
}

// findLogits returns the logits behind the value of the output, nil where it has
// none, and sets what the network knows of them.
func (n *Network) findLogits(p *op.Program, output *op.Value) (logits *op.Value, err error) {
	fail := func(help, format string, args ...any) (*op.Value, error) {
		return nil, &Error{Path: n.Model.Path, Msg: fmt.Sprintf("output %q ", n.Output) + fmt.Sprintf(format, args...), Help: help}
	}
	if output == nil { // a weight, or an output that the operator has but no lowering makes
		return fail("", "is not computed from the image")
	}
	if !output.OnDataPath {
		return fail("", "does not depend on the image")
	}
	if output.Kind == op.Sequence {
		return fail(exportLogits, "is a sequence of %d tensors", len(output.Items))
	}
	p.At(nil)
	logits, n.Ending, err = undo(output, n.Batch)
	if err == nil {
		logits, err = asLogits(p, logits, n.Batch, &n.Ending)
	}
	var ending *endingError
	switch {
	case errors.As(err, &ending):
		if _, err = fail(ending.help, "%s", ending.msg); ending.oneRow {
			err = tracedError{err}
		}
		return nil, err
	case err != nil:
		return fail("", "cannot be read as class scores: %v", err)
	}
	n.Classes = logits.Type.Shape[1]
	return logits, nil
}

// withoutGradient lists the steps through which a gradient would have to flow
// to a weight, but cannot.
func withoutGradient(steps []*op.Step) []onnx.Unsupported {
	var list []onnx.Unsupported
	moves := map[*op.Value]bool{} // values that a gradient with respect to a weight passes through
	for _, s := range steps {
		if _, ok := s.Op.(op.QuantizeLinear); ok && s.Node != nil {
			// Before a DequantizeLinear of the same grid it has become FakeQuantize.
			list = append(list, s.Node.Unsupported("its integers are read by something else than a DequantizeLinear of the same scale and zero point, through which no gradient flows"))
			continue
		}
		if class := op.ClassOf(s.Out.Type.DType); class != op.ClassFloat32 && class != op.ClassFloat64 {
			continue
		}
		if !slices.ContainsFunc(s.In, func(v *op.Value) bool { return v.Kind == op.Weight || moves[v] }) {
			continue
		}
		moves[s.Out] = true
		if _, ok := s.Op.(op.Differentiable); !ok && s.Node != nil {
			list = append(list, s.Node.Unsupported(fmt.Sprintf("%s has no gradient, and weights lie below it", s.Op.Name())))
		}
	}
	return list
}

// lowerer translates nodes in order.
type lowerer struct {
	model    *onnx.Model
	registry *lowering.Registry
	program  *op.Program
	values   map[string]*op.Value
	// raw marks values that are still the image: only constants have been applied
	// to its pixels, and these been resized, cropped or put in another order.
	// Tensors that meet them are preprocessing, not weights.
	raw        map[*op.Value]bool
	candidates *candidates
	grids      map[string]*onnx.Tensor // quantised weights, by the value that holds them dequantised
	factors    map[*onnx.Node]*onnx.Tensor
	batch      int
}

// factors are the scales of quantised weights that nodes multiply by those of the
// activations: the weights have them in their values.
func factors(weights []onnx.Weight) map[*onnx.Node]*onnx.Tensor {
	scales := map[*onnx.Node]*onnx.Tensor{}
	for _, w := range weights {
		if q := w.Tensor.Quantization(); q != nil {
			for _, n := range q.Factors {
				scales[n] = q.Scale
			}
		}
	}
	return scales
}

// image adds the batch of images to the program. Whole numbers come as float32, as
// all images do, and are converted here.
func (l *lowerer) image(spec InputSpec, batch int) (*op.Value, error) {
	t := op.Type{DType: spec.DType, Shape: spec.shape(batch)}
	if spec.Integers() {
		t.DType = onnx.Float
	}
	image := l.program.Input(spec.Name, t, 0)
	read := image
	if spec.Integers() {
		var err error
		if read, err = l.program.Emit(op.Cast{To: spec.DType}, image); err != nil {
			return nil, err
		}
	}
	l.values[spec.Name] = read
	l.raw[read] = true
	return image, nil
}

// taken reports whether nodes under the guard are computed: whether all its
// conditions are known and hold. One that is not known is the If's to report.
func (l *lowerer) taken(g *onnx.Guard) bool {
	for ; g != nil; g = g.Outer {
		v, err := l.value(g.Condition, false)
		if err != nil {
			return false
		}
		if holds, known := lowering.KnownBool(v); !known || holds != g.Then {
			return false
		}
	}
	return true
}

// modelBytes is the size of a model file and of the data that its tensors have
// beside it, each range counted once at most.
func modelBytes(m *onnx.Model) int64 {
	bytes := m.Size
	seen := map[string]int64{}
	for _, t := range m.Tensors {
		if t.Storage == onnx.StorageExternal {
			seen[t.File] = max(seen[t.File], t.Range.Offset+t.Range.Length)
		}
	}
	for _, end := range seen {
		bytes += end
	}
	return bytes
}

// lower adds what a node computes to the program. A panic, which is a mistake of
// an operation and not of the file, becomes an error: the caller names the node.
func (l *lowerer) lower(node *onnx.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("operator %s: internal error: %v", node.OpType, r)
		}
	}()
	if node.OpType == "Constant" && node.Domain == "" && len(node.Outputs) == 1 {
		if t := l.model.Tensor(node.Outputs[0]); t != nil && (l.candidates.has(t) || t.Quantization() != nil) {
			return nil // a weight that is stored in a node: read where it is used
		}
	}
	if node.Dequantizes() {
		if t := l.model.Tensor(node.Inputs[0]); t != nil && t.Quantization() != nil {
			l.grids[node.Outputs[0]] = t // likewise
			return nil
		}
	}
	entry, err := l.registry.Find(node.Domain, node.OpType, node.Opset)
	if err != nil {
		return err
	}
	touchesImage := false
	for _, name := range node.Inputs {
		touchesImage = touchesImage || l.raw[l.values[name]]
	}
	touchesImage = touchesImage && node.Domain == ""
	computes := touchesImage && slices.Contains(imageArithmetic, node.OpType)
	in := make([]*op.Value, len(node.Inputs))
	for i, name := range node.Inputs {
		if name == "" {
			continue
		}
		if in[i], err = l.value(name, computes); err != nil {
			if node.OpType == "If" && i > 0 {
				continue // a result of the branch that is not taken
			}
			return err
		}
	}
	if scale := l.factors[node]; scale != nil {
		for i, name := range node.Inputs {
			if l.model.Tensor(name) == scale {
				in[i] = l.program.Constant(op.Floats([]float32{1}))
			}
		}
	}
	l.program.At(node)
	factor, err := l.factorOf(node)
	if err != nil {
		return err
	}
	out, err := entry.Lower(&lowering.Call{Program: l.program, Node: node, Opset: node.Opset, In: in, Batch: l.batch, Factor: factor})
	if err != nil {
		return err
	}
	staysImage := (computes || touchesImage && slices.Contains(imageMoves, node.OpType)) &&
		!slices.ContainsFunc(in, func(v *op.Value) bool { return v != nil && v.Kind != op.Constant && !l.raw[v] })
	for i, name := range node.Outputs {
		if name == "" {
			continue
		}
		if i >= len(out) || out[i] == nil {
			// An optional output that was not asked for elsewhere; a use of it
			// is an undefined value.
			continue
		}
		l.values[name] = out[i]
		if out[i].Name == "" {
			out[i].Name = name
		}
		if staysImage {
			l.raw[out[i]] = true
		}
	}
	return nil
}

// factorOf returns the scale of a node's weight where other nodes multiply by it, else nil.
func (l *lowerer) factorOf(node *onnx.Node) ([]float32, error) {
	for _, name := range node.Inputs {
		if t := l.model.Tensor(name); t != nil && t.Quantization() != nil && len(t.Quantization().Factors) > 0 {
			return t.Quantization().Scale.Float32s()
		}
	}
	return nil, nil
}

// imageArithmetic are the operators by which preprocessing computes with the image and
// with numbers of the file: arithmetic and casts.
var imageArithmetic = []string{"Sub", "Add", "Mul", "Div", "Cast", "CastLike", "Identity", "Clip", "Reciprocal", "Sqrt"}

// imageMoves are those by which it changes an image's layout and size, crops it or
// puts the channels in another order. A tensor that one of them adds may be learned.
var imageMoves = []string{"Transpose", "Resize", "Upsample", "Slice", "Pad", "Gather", "GatherND", "Split", "Concat", "Squeeze", "Unsqueeze"}

// value returns the value of a name: computed before, a weight, or a constant
// of the file.
func (l *lowerer) value(name string, preprocessing bool) (*op.Value, error) {
	if v := l.values[name]; v != nil {
		return v, nil
	}
	if t := l.grids[name]; t != nil {
		return l.value(t.Name, preprocessing) // one value for all nodes that dequantise it
	}
	t := l.model.Tensor(name)
	if t == nil {
		return nil, fmt.Errorf("input %q is computed by no node that can run", name)
	}
	v, err := l.tensorValue(t, preprocessing)
	if err != nil {
		return nil, err
	}
	l.values[name] = v
	return v, nil
}

// tensorValue returns a tensor of the file as a weight, or as a constant where
// it is none.
func (l *lowerer) tensorValue(t *onnx.Tensor, preprocessing bool) (*op.Value, error) {
	if l.candidates.has(t) {
		if !preprocessing {
			if err := t.CheckData(); err != nil {
				return nil, err
			}
			return l.program.Weight(t.Name, op.Type{DType: t.ValueType(), Shape: t.Shape}, l.candidates.index(t)), nil
		}
		l.candidates.exclude(t, "input normalisation")
	}
	return lowering.Tensor(l.program, t)
}

// schedule returns the steps of a program that v depends on, each after its inputs.
func schedule(p *op.Program, v *op.Value) []*op.Step {
	type frame struct {
		step *op.Step
		next int
	}
	var order []*op.Step
	seen := make([]bool, len(p.Steps))
	var stack []frame
	push := func(v *op.Value) {
		if v.Step != nil && !seen[v.Step.Index] {
			seen[v.Step.Index] = true
			stack = append(stack, frame{step: v.Step})
		}
	}
	push(v)
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		if f.next < len(f.step.In) {
			f.next++
			push(f.step.In[f.next-1])
			continue
		}
		order = append(order, f.step)
		stack = stack[:len(stack)-1]
	}
	return order
}
