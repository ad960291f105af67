package op

import (
	"fmt"
	"slices"
)

func normalizationEntries() []Entry {
	return []Entry{
		{Name: "LayerNormalization", Min: 1, Max: MaxOpset, Lower: lowerLayerNormalization},
		{Name: "RMSNormalization", Min: 23, Max: MaxOpset, Lower: lowerRMSNormalization},
		{Name: "BatchNormalization", Min: 7, Max: MaxOpset, Lower: lowerBatchNormalization},
		{Name: "InstanceNormalization", Min: 6, Max: MaxOpset, Lower: lowerFormula(instanceNormalization)},
		{Name: "GroupNormalization", Min: 18, Max: MaxOpset, Lower: lowerFormula(groupNormalization)},
		{Name: "LpNormalization", Min: 1, Max: MaxOpset, Lower: lowerFormula(lpNormalization)},
		{Name: "MeanVarianceNormalization", Min: 9, Max: MaxOpset, Lower: lowerFormula(meanVarianceNormalization)},
		{Name: "SimplifiedLayerNormalization", Min: 1, Max: MaxOpset, Lower: lowerRMSNormalization}, // an ONNX Runtime contribution to ai.onnx
		{Domain: microsoft, Name: "SimplifiedLayerNormalization", Min: 1, Max: 1, Lower: lowerRMSNormalization},
		{Domain: microsoft, Name: "SkipLayerNormalization", Min: 1, Max: 1, Lower: lowerSkipNormalization(true)},
		{Domain: microsoft, Name: "SkipSimplifiedLayerNormalization", Min: 1, Max: 1, Lower: lowerSkipNormalization(false)},
	}
}

// wants reports whether output i of the node is used.
func (c *Call) wants(i int) bool { return i < len(c.Node.Outputs) && c.Node.Outputs[i] != "" }

// broadcastTo emits an Expand where the shape differs; a vector of all the
// elements stays as it is.
func (e *emitter) broadcastTo(v *Value, shape []int) *Value {
	if e.err != nil || slices.Equal(v.Type.Shape, shape) {
		return v
	}
	return e.emit(Expand{Shape: shape}, v)
}

func lowerLayerNormalization(c *Call) ([]*Value, error) {
	e := &emitter{Call: c}
	x, scale := e.input(0), e.input(1)
	if e.err != nil {
		return nil, e.err
	}
	axis, err := resolveAxis(c.Node.Int("axis", -1), x.Type.Rank())
	if err != nil {
		return nil, err
	}
	o := LayerNormalization{Axis: axis, Epsilon: c.attribute("epsilon", 1e-5)}
	in := []*Value{x, e.broadcastTo(scale, x.Type.Shape[axis:])}
	if bias := c.Arg(2); bias != nil {
		in = append(in, e.broadcastTo(bias, x.Type.Shape[axis:]))
	}
	out := []*Value{e.emit(o, in...)}
	if c.wants(1) || c.wants(2) {
		mean, inverse := e.moments(x, axis, o.Epsilon)
		out = append(out, mean, inverse)
	}
	return out, e.err
}

// moments computes the mean and 1/√(variance + epsilon) over the dimensions from
// an axis on, kept with size 1.
func (e *emitter) moments(x *Value, axis int, epsilon float64) (mean, inverse *Value) {
	if e.err != nil {
		return nil, nil
	}
	axes := axesFrom(axis, x.Type.Rank())
	mean = e.emit(ReduceMean{Axes: axes, KeepDims: true}, x)
	centred := e.emit(Sub{}, x, mean)
	return mean, e.inverseDeviation(centred, axes, epsilon)
}

// inverseDeviation is 1/√(mean(x²) + epsilon).
func (e *emitter) inverseDeviation(x *Value, axes []int, epsilon float64) *Value {
	square := e.emit(ReduceMean{Axes: axes, KeepDims: true}, e.emit(Mul{}, x, x))
	return e.emit(Reciprocal{}, e.emit(Sqrt{}, e.emit(Add{}, square, e.scalar(x, epsilon))))
}

func axesFrom(axis, rank int) []int {
	var axes []int
	for ; axis < rank; axis++ {
		axes = append(axes, axis)
	}
	return axes
}

// lowerRMSNormalization also serves ONNX Runtime's older
// SimplifiedLayerNormalization, whose second output is the inverse deviation.
func lowerRMSNormalization(c *Call) ([]*Value, error) {
	e := &emitter{Call: c}
	x, scale := e.input(0), e.input(1)
	if e.err != nil {
		return nil, e.err
	}
	axis, err := resolveAxis(c.Node.Int("axis", -1), x.Type.Rank())
	if err != nil {
		return nil, err
	}
	o := RMSNormalization{Axis: axis, Epsilon: c.attribute("epsilon", 1e-5)}
	out := []*Value{e.emit(o, x, e.broadcastTo(scale, x.Type.Shape[axis:]))}
	if c.wants(1) {
		out = append(out, e.inverseDeviation(x, axesFrom(axis, x.Type.Rank()), o.Epsilon))
	}
	return out, e.err
}

// lowerSkipNormalization: (x, skip, gamma[, beta], bias) → (y, mean, inverse
// deviation, x + skip + bias); beta only where centred.
func lowerSkipNormalization(centred bool) Lowering {
	return func(c *Call) ([]*Value, error) {
		e := &emitter{Call: c}
		sum := e.emit(Add{}, e.input(0), e.input(1))
		gamma := e.input(2)
		bias := c.Arg(3)
		var beta *Value
		if centred {
			beta, bias = bias, c.Arg(4)
		}
		if bias != nil {
			sum = e.emit(Add{}, sum, bias)
		}
		if e.err != nil {
			return nil, e.err
		}
		axis, epsilon := sum.Type.Rank()-1, c.attribute("epsilon", 1e-12)
		out := make([]*Value, 4)
		out[3] = sum
		switch {
		case !centred:
			out[0] = e.emit(RMSNormalization{axis, epsilon}, sum, gamma)
			if c.wants(2) {
				out[2] = e.inverseDeviation(sum, []int{axis}, epsilon)
			}
			return out, e.err
		case beta != nil:
			out[0] = e.emit(LayerNormalization{axis, epsilon}, sum, gamma, beta)
		default:
			out[0] = e.emit(LayerNormalization{axis, epsilon}, sum, gamma)
		}
		if c.wants(1) || c.wants(2) {
			out[1], out[2] = e.moments(sum, axis, epsilon)
		}
		return out, e.err
	}
}

func lowerBatchNormalization(c *Call) ([]*Value, error) {
	in := make([]*Value, 5)
	for i := range in {
		var err error
		if in[i], err = c.Need(i); err != nil {
			return nil, err
		}
	}
	standardises := c.Node.Int("training_mode", 0) != 0
	if standardises && (in[0].Data || in[0].Type.Rank() < 2 || in[0].Type.Shape[0] != 1) {
		return nil, fmt.Errorf("training_mode 1 is not supported: export the model in evaluation mode")
	}
	if standardises {
		// Weight standardisation: the weights [1, C, n] of a convolution are given as
		// a batch of one, and their own moments normalise them.
		// The running statistics, which exporters name even so, are not computed.
		return lowerFormula(instanceNormalization)(c)
	}
	for i := 1; i < len(c.Node.Outputs); i++ {
		if c.wants(i) {
			return nil, fmt.Errorf("output %d, a statistic of training, is not supported: export the model in evaluation mode", i)
		}
	}
	// Some files keep the statistics in another precision than the data.
	for i, v := range in[1:] {
		if v.Type.DType != in[0].Type.DType {
			cast, err := lowerConversion(c, v, in[0].Type.DType)
			if err != nil {
				return nil, err
			}
			in[1+i] = cast[0]
		}
	}
	return one(c.Emit(BatchNormalization{c.attribute("epsilon", 1e-5)}, in...))
}

// normalizedGroups normalises slices of the channels of x [N, C, ...], each with
// its own moments.
func (e *emitter) normalizedGroups(x *Value, groups int, epsilon float64) *Value {
	if e.err != nil {
		return nil
	}
	shape := x.Type.Shape
	if x.Type.Rank() < 2 || groups < 1 || shape[1]%groups != 0 {
		e.err = fmt.Errorf("expected an input [N, C, ...] with channels for %d groups, found %v", groups, x.Type)
		return nil
	}
	rows := shape[0] * groups
	d := 1
	if rows > 0 {
		d = x.Type.Elements() / rows
	}
	v := e.emit(Reshape{Shape: []int{rows, d}}, x)
	v = e.emit(LayerNormalization{Axis: 1, Epsilon: epsilon}, v, e.broadcastTo(e.scalar(x, 1), []int{d}))
	return e.emit(Reshape{Shape: shape}, v)
}

// affine multiplies and shifts the channels of x [N, C, ...].
func (e *emitter) affine(x, scale, bias *Value) *Value {
	if e.err != nil {
		return nil
	}
	along := ones(x.Type.Rank() - 1)
	along[0] = scale.Type.Elements()
	y := e.emit(Mul{}, x, e.emit(Reshape{Shape: along}, scale))
	return e.emit(Add{}, y, e.emit(Reshape{Shape: along}, bias))
}

func instanceNormalization(e *emitter) *Value {
	x, scale, bias := e.input(0), e.input(1), e.input(2)
	if e.err != nil || x.Type.Rank() < 2 {
		e.fail("expected an input [N, C, ...]")
		return nil
	}
	return e.affine(e.normalizedGroups(x, x.Type.Shape[1], e.attribute("epsilon", 1e-5)), scale, bias)
}

// fail records an error unless there is one already.
func (e *emitter) fail(message string) {
	if e.err == nil {
		e.err = fmt.Errorf("%s", message)
	}
}

// groupNormalization: scale and bias belong to groups before opset 21, to
// channels since.
func groupNormalization(e *emitter) *Value {
	x, scale, bias := e.input(0), e.input(1), e.input(2)
	groups := int(e.Node.Int("num_groups", 0))
	y := e.normalizedGroups(x, groups, e.attribute("epsilon", 1e-5))
	if e.err != nil || e.Opset >= 21 {
		return e.affine(y, scale, bias)
	}
	shape := x.Type.Shape
	grouped := e.emit(Reshape{Shape: []int{shape[0], groups, x.Type.Elements() / max(1, shape[0]*groups)}}, y)
	return e.emit(Reshape{Shape: shape}, e.affine(grouped, scale, bias))
}

func lpNormalization(e *emitter) *Value {
	x := e.input(0)
	if e.err != nil {
		return nil
	}
	var axis int
	if axis, e.err = resolveAxis(e.Node.Int("axis", -1), x.Type.Rank()); e.err != nil {
		return nil
	}
	switch p := e.Node.Int("p", 2); p {
	case 1:
		return e.emit(Div{}, x, e.emit(ReduceSum{Axes: []int{axis}, KeepDims: true}, e.emit(Abs{}, x)))
	case 2:
		return e.emit(Div{}, x, e.emit(ReduceL2{Axes: []int{axis}, KeepDims: true}, x))
	default:
		e.err = fmt.Errorf("expected p 1 or 2, found %d", p)
		return nil
	}
}

// meanVarianceNormalization is (x − mean)/(deviation + 1e-9).
func meanVarianceNormalization(e *emitter) *Value {
	x := e.input(0)
	if e.err != nil {
		return nil
	}
	attribute := e.Node.Ints("axes")
	if !e.Node.Has("axes") {
		attribute = []int64{0, 2, 3}
	}
	var axes []int
	if axes, e.err = resolveAxes(attribute, x.Type.Rank()); e.err != nil {
		return nil
	}
	centred := e.emit(Sub{}, x, e.emit(ReduceMean{Axes: axes, KeepDims: true}, x))
	variance := e.emit(ReduceMean{Axes: axes, KeepDims: true}, e.emit(Mul{}, centred, centred))
	return e.emit(Div{}, centred, e.emit(Add{}, e.emit(Sqrt{}, variance), e.scalar(x, 1e-9)))
}
