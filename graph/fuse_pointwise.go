package graph

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// near reports whether an exporter's constant is the one meant: they come in
// float32, some rounded to six digits.
func near(x, want float64) bool { return math.Abs(x-want) <= 1e-5*math.Abs(want) }

// product writes a value as a scalar times factors, through multiplications
// and scalings that have no other use.
func (f *fuser) product(v *op.Value, root bool) (scale float64, factors []*op.Value) {
	if s := v.Step; s != nil && (root || f.once(v)) {
		if x, c, ok := isScale(s); ok {
			scale, factors = f.product(x, false)
			return c * scale, factors
		}
		if _, ok := s.Op.(op.Mul); ok && s.In[0].OnDataPath && s.In[1].OnDataPath {
			c0, f0 := f.product(s.In[0], false)
			c1, f1 := f.product(s.In[1], false)
			return c0 * c1, append(f0, f1...)
		}
	}
	return 1, []*op.Value{v}
}

// fuseGELU matches x·½(1+erf(x/√2)), its tanh approximation and
// x·sigmoid(1.702 x), in any order of the factors.
func (f *fuser) fuseGELU(s *op.Step) {
	if _, ok := s.Op.(op.Mul); !ok || !s.Out.OnDataPath {
		return
	}
	scale, factors := f.product(s.Out, true)
	if len(factors) != 2 {
		return
	}
	for i, x := range factors {
		gate := factors[1-i]
		if gate.Step == nil || !x.Type.Equal(s.Out.Type) {
			continue
		}
		if _, ok := gate.Step.Op.(op.Sigmoid); ok && scale == 1 {
			if inner, factors := f.product(gate.Step.In[0], false); len(factors) == 1 && factors[0] == x && near(inner, 1.702) {
				f.replace(s.Out, op.QuickGELU{Alpha: inner}, x)
				return
			}
		}
		if _, ok := gate.Step.Op.(op.Add); !ok || !near(scale, 0.5) {
			continue
		}
		u, one, ok := scalarOperand(gate.Step)
		if !ok || one != 1 || u.Step == nil {
			continue
		}
		arg, inner := f.argument(u)
		switch u.Step.Op.(type) {
		case op.Erf:
			if arg == x && near(inner, math.Sqrt2/2) {
				f.replace(s.Out, op.GELU{}, x)
				return
			}
		case op.Tanh:
			if near(inner, math.Sqrt(2/math.Pi)) && f.isCubic(arg, x) {
				f.replace(s.Out, op.GELU{Tanh: true}, x)
				return
			}
		}
	}
}

// argument returns what a function is applied to, apart from a scale.
func (f *fuser) argument(v *op.Value) (*op.Value, float64) {
	x := v.Step.In[0]
	if x.Step != nil {
		if y, c, ok := isScale(x.Step); ok {
			return y, c
		}
	}
	return x, 1
}

// isCubic reports whether v is x + 0.044715 x³.
func (f *fuser) isCubic(v, x *op.Value) bool {
	if v.Step == nil {
		return false
	}
	if _, ok := v.Step.Op.(op.Add); !ok {
		return false
	}
	for i, u := range v.Step.In {
		if u != x {
			continue
		}
		c, factors := f.product(v.Step.In[1-i], false)
		power := 0.0
		for _, g := range factors {
			power += exponent(g, x, maxPower)
		}
		return near(c, 0.044715) && power == 3
	}
	return false
}

// maxPower bounds the depth of the products that exponent looks into.
const maxPower = 3

// exponent is the k for which v = xᵏ, or NaN.
func exponent(v, x *op.Value, depth int) float64 {
	if v == x {
		return 1
	}
	if s := v.Step; s != nil && depth > 0 {
		switch s.Op.(type) {
		case op.Pow:
			if k, ok := scalar(s.In[1]); ok && s.In[0] == x {
				return k
			}
		case op.Mul:
			return exponent(s.In[0], x, depth-1) + exponent(s.In[1], x, depth-1)
		}
	}
	return math.NaN()
}

// fuseNormalization matches the decomposed LayerNorm of opsets before 17:
// (x − mean) / √(mean((x − mean)²) + ε), then scale and bias.
func (f *fuser) fuseNormalization(s *op.Step) {
	switch s.Op.(type) {
	case op.Add:
		for i, y := range s.In {
			b := s.In[1-i]
			if y.Step == nil || !f.once(y) || !isRow(b, s.Out) {
				continue
			}
			if norm, ok := y.Step.Op.(op.LayerNormalization); ok && len(y.Step.In) == 2 {
				f.replace(s.Out, norm, y.Step.In[0], y.Step.In[1], b)
				return
			}
		}
	case op.Mul:
		for i, y := range s.In {
			g := s.In[1-i]
			if y.Step == nil || !f.once(y) || !isRow(g, s.Out) {
				continue
			}
			if x, eps, ok := standardized(y); ok {
				f.replace(s.Out, op.LayerNormalization{Axis: x.Type.Rank() - 1, Epsilon: eps}, x, g)
				return
			}
		}
	}
}

// isRow reports whether v is a vector along the last dimension of x that does
// not depend on the image.
func isRow(v, x *op.Value) bool {
	return !v.OnDataPath && v.Type.Rank() == 1 && v.Type.Shape[0] == x.Type.Shape[x.Type.Rank()-1]
}

// standardized matches (x − mean)/√(variance + ε) over the last dimension.
func standardized(v *op.Value) (x *op.Value, epsilon float64, ok bool) {
	if _, is := v.Step.Op.(op.Div); !is {
		return nil, 0, false
	}
	centred, deviation := v.Step.In[0], v.Step.In[1]
	if centred.Step == nil || deviation.Step == nil {
		return nil, 0, false
	}
	if _, is := centred.Step.Op.(op.Sub); !is {
		return nil, 0, false
	}
	x = centred.Step.In[0]
	if !isLastMean(centred.Step.In[1], x) {
		return nil, 0, false
	}
	if _, is := deviation.Step.Op.(op.Sqrt); !is || deviation.Step.In[0].Step == nil {
		return nil, 0, false
	}
	shifted := deviation.Step.In[0].Step
	if _, is := shifted.Op.(op.Add); !is {
		return nil, 0, false
	}
	variance, epsilon, ok := scalarOperand(shifted)
	if !ok || variance.Step == nil || len(variance.Step.In) != 1 {
		return nil, 0, false
	}
	square := variance.Step.In[0]
	if !isLastMean(variance, square) || exponent(square, centred, maxPower) != 2 {
		return nil, 0, false
	}
	return x, epsilon, true
}

// isLastMean reports whether m is the mean of x over its last dimension, kept
// as a dimension of one.
func isLastMean(m, x *op.Value) bool {
	if m.Step == nil || m.Step.In[0] != x {
		return false
	}
	r, ok := m.Step.Op.(op.Reduce)
	return ok && r.By == op.ReduceMean && r.KeepDims && len(r.Axes) == 1 && r.Axes[0] == x.Type.Rank()-1
}
