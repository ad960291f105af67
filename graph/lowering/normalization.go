package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func normalizationEntries() []Entry {
	return []Entry{
		{Name: "LayerNormalization", Min: 1, Max: MaxOpset, Lower: lowerLayerNormalization},
		{Name: "RMSNormalization", Min: 23, Max: MaxOpset, Lower: lowerRMSNormalization},
		{
			Name: "BatchNormalization", Min: 7, Max: MaxOpset, Lower: lowerBatchNormalization,
			Limit: "training mode only of weights, which it standardises; its running statistics are not computed",
		},
		{Name: "InstanceNormalization", Min: 6, Max: MaxOpset, Lower: lowerFormula(instanceNormalization)},
		{Name: "GroupNormalization", Min: 18, Max: MaxOpset, Lower: lowerFormula(groupNormalization)},
		{Name: "LRN", Min: 1, Max: MaxOpset, Lower: lowerFormula(localResponse)},
		{Name: "MeanVarianceNormalization", Min: 9, Max: MaxOpset, Lower: lowerFormula(meanVarianceNormalization)},
		{Name: "SimplifiedLayerNormalization", Min: 1, Max: MaxOpset, Lower: lowerRMSNormalization}, // an ONNX Runtime contribution to ai.onnx
		{Domain: microsoft, Name: "SimplifiedLayerNormalization", Min: 1, Max: 1, Lower: lowerRMSNormalization},
		{Domain: microsoft, Name: "SkipLayerNormalization", Min: 1, Max: 1, Lower: lowerSkipNormalization(true)},
		{Domain: microsoft, Name: "SkipSimplifiedLayerNormalization", Min: 1, Max: 1, Lower: lowerSkipNormalization(false)},
	}
}

// broadcastTo emits an Expand where the shape differs; a vector of all the
// elements stays as it is.
func (e *emitter) broadcastTo(v *op.Value, shape []int) *op.Value {
	if e.err != nil || slices.Equal(v.Type.Shape, shape) {
		return v
	}
	return e.emit(op.Expand{Shape: shape}, v)
}

// scaledFrom returns what is normalised, the scales of its elements from an axis
// on, and that axis.
func (e *emitter) scaledFrom() (x, scale *op.Value, axis int) {
	x, scale = e.input(0), e.input(1)
	if e.err != nil {
		return nil, nil, 0
	}
	if axis = e.axis(-1, x.Type.Rank()); e.err != nil {
		return nil, nil, 0
	}
	return x, e.broadcastTo(scale, x.Type.Shape[axis:]), axis
}

func lowerLayerNormalization(c *Call) ([]*op.Value, error) {
	e := &emitter{Call: c}
	x, scale, axis := e.scaledFrom()
	if e.err != nil {
		return nil, e.err
	}
	o := op.LayerNormalization{Axis: axis, Epsilon: c.attribute("epsilon", 1e-5)}
	in := []*op.Value{x, scale}
	if bias := c.arg(2); bias != nil {
		in = append(in, e.broadcastTo(bias, x.Type.Shape[axis:]))
	}
	out := []*op.Value{e.emit(o, in...)}
	if c.wants(1) || c.wants(2) {
		mean, inverse := e.moments(x, axis, o.Epsilon)
		out = append(out, mean, inverse)
	}
	return out, e.err
}

// moments computes the mean and 1/√(variance + epsilon) over the dimensions from
// an axis on, kept with size 1.
func (e *emitter) moments(x *op.Value, axis int, epsilon float64) (mean, inverse *op.Value) {
	if e.err != nil {
		return nil, nil
	}
	axes := shapes.AxesFrom(axis, x.Type.Rank())
	mean = e.emit(op.Reduce{By: op.ReduceMean, Axes: axes, KeepDims: true}, x)
	centred := e.emit(op.Sub{}, x, mean)
	return mean, e.inverseDeviation(centred, axes, epsilon)
}

// inverseDeviation is 1/√(mean(x²) + epsilon).
func (e *emitter) inverseDeviation(x *op.Value, axes []int, epsilon float64) *op.Value {
	square := e.emit(op.Reduce{By: op.ReduceMean, Axes: axes, KeepDims: true}, e.emit(op.Mul{}, x, x))
	return e.emit(op.Reciprocal{}, e.emit(op.Sqrt{}, e.emit(op.Add{}, square, e.scalar(x, epsilon))))
}

// lowerRMSNormalization also serves ONNX Runtime's older
// SimplifiedLayerNormalization, whose second output is the inverse deviation.
func lowerRMSNormalization(c *Call) ([]*op.Value, error) {
	e := &emitter{Call: c}
	x, scale, axis := e.scaledFrom()
	if e.err != nil {
		return nil, e.err
	}
	o := op.RMSNormalization{Axis: axis, Epsilon: c.attribute("epsilon", 1e-5)}
	out := []*op.Value{e.emit(o, x, scale)}
	if c.wants(1) {
		out = append(out, e.inverseDeviation(x, shapes.AxesFrom(axis, x.Type.Rank()), o.Epsilon))
	}
	return out, e.err
}

// lowerSkipNormalization: (x, skip, gamma[, beta], bias) → (y, mean, inverse
// deviation, x + skip + bias); beta only where centred.
func lowerSkipNormalization(centred bool) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		e := &emitter{Call: c}
		sum := e.emit(op.Add{}, e.input(0), e.input(1))
		gamma := e.input(2)
		bias := c.arg(3)
		var beta *op.Value
		if centred {
			beta, bias = bias, c.arg(4)
		}
		if bias != nil {
			sum = e.emit(op.Add{}, sum, bias)
		}
		if e.err != nil {
			return nil, e.err
		}
		axis, epsilon := sum.Type.Rank()-1, c.attribute("epsilon", 1e-12)
		out := make([]*op.Value, 4)
		out[3] = sum
		switch {
		case !centred:
			out[0] = e.emit(op.RMSNormalization{Axis: axis, Epsilon: epsilon}, sum, gamma)
			if c.wants(2) {
				out[2] = e.inverseDeviation(sum, []int{axis}, epsilon)
			}
			return out, e.err
		case beta != nil:
			out[0] = e.emit(op.LayerNormalization{Axis: axis, Epsilon: epsilon}, sum, gamma, beta)
		default:
			out[0] = e.emit(op.LayerNormalization{Axis: axis, Epsilon: epsilon}, sum, gamma)
		}
		if c.wants(1) || c.wants(2) {
			out[1], out[2] = e.moments(sum, axis, epsilon)
		}
		return out, e.err
	}
}

func lowerBatchNormalization(c *Call) ([]*op.Value, error) {
	in, err := c.inputs(5)
	if err != nil {
		return nil, err
	}
	standardises := c.Node.Int("training_mode", 0) != 0
	if standardises && (in[0].OnDataPath || in[0].Type.Rank() < 2 || in[0].Type.Shape[0] != 1) {
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
	return one(c.Emit(op.BatchNormalization{Epsilon: c.attribute("epsilon", 1e-5)}, in...))
}

// normalizedGroups normalises slices of the channels of x [N, C, ...], each with
// its own moments.
func (e *emitter) normalizedGroups(x *op.Value, groups int, epsilon float64) *op.Value {
	if e.err != nil {
		return nil
	}
	shape := x.Type.Shape
	if x.Type.Rank() < 2 || groups < 1 || shape[1]%groups != 0 {
		e.fail("expected an input [N, C, ...] with channels for %d groups, found %v", groups, x.Type)
		return nil
	}
	rows := shape[0] * groups
	d := 1
	if rows > 0 {
		d = x.Type.Elements() / rows
	}
	v := e.emit(op.Reshape{Shape: []int{rows, d}}, x)
	v = e.emit(op.LayerNormalization{Axis: 1, Epsilon: epsilon}, v, e.broadcastTo(e.scalar(x, 1), []int{d}))
	return e.emit(op.Reshape{Shape: shape}, v)
}

// affine multiplies and shifts the channels of x [N, C, ...].
func (e *emitter) affine(x, scale, bias *op.Value) *op.Value {
	if e.err != nil {
		return nil
	}
	along := shapes.Ones(x.Type.Rank() - 1)
	along[0] = scale.Type.Elements()
	y := e.emit(op.Mul{}, x, e.emit(op.Reshape{Shape: along}, scale))
	return e.emit(op.Add{}, y, e.emit(op.Reshape{Shape: along}, bias))
}

func instanceNormalization(e *emitter) *op.Value {
	x, scale, bias := e.input(0), e.input(1), e.input(2)
	if e.err != nil || x.Type.Rank() < 2 {
		e.fail("expected an input [N, C, ...]")
		return nil
	}
	return e.affine(e.normalizedGroups(x, x.Type.Shape[1], e.attribute("epsilon", 1e-5)), scale, bias)
}

// groupNormalization: scale and bias belong to groups before opset 21, to
// channels since.
func groupNormalization(e *emitter) *op.Value {
	x, scale, bias := e.input(0), e.input(1), e.input(2)
	groups := int(e.Node.Int("num_groups", 0))
	y := e.normalizedGroups(x, groups, e.attribute("epsilon", 1e-5))
	if e.err != nil || e.Opset >= 21 {
		return e.affine(y, scale, bias)
	}
	shape := x.Type.Shape
	grouped := e.emit(op.Reshape{Shape: []int{shape[0], groups, x.Type.Elements() / max(1, shape[0]*groups)}}, y)
	return e.emit(op.Reshape{Shape: shape}, e.affine(grouped, scale, bias))
}

// meanVarianceNormalization is (x − mean)/(deviation + 1e-9).
func meanVarianceNormalization(e *emitter) *op.Value {
	x := e.input(0)
	if e.err != nil {
		return nil
	}
	attribute := e.Node.Ints("axes")
	if !e.Node.Has("axes") {
		attribute = []int64{0, 2, 3}
	}
	var axes []int
	if axes, e.err = shapes.Axes(attribute, x.Type.Rank()); e.err != nil {
		return nil
	}
	centred := e.emit(op.Sub{}, x, e.emit(op.Reduce{By: op.ReduceMean, Axes: axes, KeepDims: true}, x))
	variance := e.emit(op.Reduce{By: op.ReduceMean, Axes: axes, KeepDims: true}, e.emit(op.Mul{}, centred, centred))
	return e.emit(op.Div{}, centred, e.emit(op.Add{}, e.emit(op.Sqrt{}, variance), e.scalar(x, 1e-9)))
}

// localResponse is x/(bias + alpha·mean(x²))^beta, the mean over size channels
// around each one, of which those outside the input count as 0: Krizhevsky,
// Sutskever, Hinton 2012, section 3.3, with alpha divided by the size.
func localResponse(e *emitter) *op.Value {
	x := e.input(0)
	size := int(e.Node.Int("size", 0))
	if e.err != nil || x.Type.Rank() < 2 || size < 1 {
		e.fail("expected an input [N, C, ...] and a positive size")
		return nil
	}
	shape := x.Type.Shape
	if size > 2*shape[1]+1 {
		e.fail("size %d is more than the %d channels have on both sides", size, shape[1])
		return nil
	}
	rest := shapes.Elements(shape[2:])
	window := op.PoolWindow{Kernel: []int{size, 1}, Strides: shapes.Ones(2), Dilations: shapes.Ones(2), Pads: []int{(size - 1) / 2, 0, size / 2, 0}}
	planes := e.view(e.emit(op.Mul{}, x, x), []int{shape[0], 1, shape[1], rest})
	mean := e.view(e.emit(op.AveragePool{PoolWindow: window, CountPads: true}, planes), shape)
	base := e.emit(op.Add{}, e.scalar(x, e.attribute("bias", 1)), e.emit(op.Mul{}, e.scalar(x, e.attribute("alpha", 1e-4)), mean))
	return e.emit(op.Div{}, x, e.emit(op.Pow{}, base, e.scalar(x, e.attribute("beta", 0.75))))
}
