package op

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// ConvThen is a [Conv] and what follows it, computed while its result is at hand:
// a batch normalisation, the addition of an array of the result's type, and an
// activation, in this order, each of which may be absent. Its inputs are those of
// the Conv, then scale, bias, mean and variance, and then that array. Like a fused
// step of a plan it is not differentiated.
type ConvThen struct {
	Conv Conv
	Norm *BatchNormalization // nil for none
	Add  bool
	Then Op // nil for none; see CanFollow and CanGate
	// Gate says that the result is multiplied by Then of it, in its place.
	Gate bool
}

// parts calls f for the operations in their order.
func (o ConvThen) parts(f func(Op)) {
	f(o.Conv)
	if o.Norm != nil {
		f(*o.Norm)
	}
	if o.Add {
		f(Add{})
	}
	if o.Then != nil {
		f(o.Then)
	}
	if o.Gate {
		f(Mul{})
	}
}

// Name is that of all.
func (o ConvThen) Name() string {
	name := ""
	o.parts(func(p Op) {
		if name != "" {
			name += " + "
		}
		name += p.Name()
	})
	return name
}

// CanFollow reports whether o may be the Then of a ConvThen.
func CanFollow(o Op) bool {
	switch o.(type) {
	case Relu, Clip:
		return true
	}
	return false
}

// CanGate reports whether o may be the Then of a ConvThen with Gate.
func CanGate(o Op) bool {
	switch o.(type) {
	case Sigmoid, HardSigmoid:
		return true
	}
	return false
}

// split divides the inputs among the operations.
func (o ConvThen) split(in []Array) (conv, norm, added []Array) {
	end := len(in)
	if o.Add {
		end--
	}
	added, conv = in[end:], in[:end]
	if o.Norm != nil {
		conv, norm = in[:end-4], in[end-4:end]
	}
	return conv, norm, added
}

// Forward computes the same bits as one operation after the other does.
func (o ConvThen) Forward(c *kernel.Context, out Array, in []Array) {
	conv, norm, added := o.split(in)
	n := o.Conv.sizes(conv)
	if y, ok := out.Data.([]float32); ok && n.staged(c) && len(y) > 0 {
		e := kernel.Unbounded()
		if o.Norm != nil {
			e.Scale, e.Shift = kernel.Scratch[float32](c, n.filters), kernel.Scratch[float32](c, n.filters)
			defer kernel.Release(c, e.Scale)
			defer kernel.Release(c, e.Shift)
			normFactors(*o.Norm, norm, e.Scale, e.Shift)
		}
		if o.Add {
			e.Added = Elem[float32](added[0])
		}
		switch t := o.Then.(type) {
		case Relu:
			e.Low = 0
		case Clip:
			e.Low, e.High = float32(t.Min), float32(t.Max)
		case Sigmoid:
			e.Gate.By = kernel.SigmoidGate
		case HardSigmoid:
			e.Gate = kernel.Gating{By: kernel.HardSigmoidGate, A: float32(t.Alpha), B: float32(t.Beta)}
		}
		convolveStaged(c, n, conv, e, y)
		return
	}
	o.Conv.Forward(c, out, conv)
	if o.Norm != nil {
		o.Norm.Forward(c, out, append([]Array{out}, norm...))
	}
	if o.Add {
		Add{}.Forward(c, out, []Array{out, added[0]})
	}
	if o.Gate {
		gates := NewArray(out.Type)
		o.Then.Forward(c, gates, []Array{out})
		Mul{}.Forward(c, out, []Array{out, gates})
	} else if o.Then != nil {
		o.Then.Forward(c, out, []Array{out})
	}
}

// convolveStaged computes a convolution of float32 for which n.staged holds, with
// an ending but for the bias.
func convolveStaged(c *kernel.Context, n convolution, in []Array, e kernel.Ending, y []float32) {
	if len(in) == 3 {
		e.Bias = Elem[float32](in[2])
	}
	kernel.Convolve(c, n.geometry(), Elem[float32](in[0]), Elem[float32](in[1]), e, y)
}

// normFactors fills in the factor and the shift of each channel that a
// normalisation with these parameters comes to.
func normFactors[T kernel.Float](o BatchNormalization, in []Array, factor, shift []T) {
	scale, bias, mean, variance := Elem[T](in[0]), Elem[T](in[1]), Elem[T](in[2]), Elem[T](in[3])
	for i := range factor {
		f := float64(scale[i]) / math.Sqrt(float64(variance[i])+o.Epsilon)
		factor[i], shift[i] = T(f), T(float64(bias[i])-f*float64(mean[i]))
	}
}
