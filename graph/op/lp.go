package op

import (
	"fmt"
)

func lpEntries() []Entry {
	return []Entry{
		{Name: "LRN", Min: 1, Max: MaxOpset, Lower: lowerFormula(localResponse)},
		{Name: "LpPool", Min: 2, Max: MaxOpset, Lower: lowerLpPool},
		{Name: "GlobalLpPool", Min: 2, Max: MaxOpset, Lower: lowerFormula(globalLpPool)},
	}
}

// localResponse is x/(bias + alpha·mean(x²))^beta, the mean over size channels
// around each one, of which those outside the input count as 0: Krizhevsky,
// Sutskever, Hinton 2012, section 3.3, with alpha divided by the size.
func localResponse(e *emitter) *Value {
	x := e.input(0)
	size := int(e.Node.Int("size", 0))
	if e.err != nil || x.Type.Rank() < 2 || size < 1 {
		e.fail("expected an input [N, C, ...] and a positive size")
		return nil
	}
	shape := x.Type.Shape
	if size > 2*shape[1]+1 {
		e.err = fmt.Errorf("size %d is more than the %d channels have on both sides", size, shape[1])
		return nil
	}
	rest := elements(shape[2:])
	window := PoolWindow{Kernel: []int{size, 1}, Strides: ones(2), Dilations: ones(2), Pads: []int{(size - 1) / 2, 0, size / 2, 0}}
	planes := e.view(e.emit(Mul{}, x, x), []int{shape[0], 1, shape[1], rest})
	mean := e.view(e.emit(AveragePool{window, true}, planes), shape)
	base := e.emit(Add{}, e.scalar(x, e.attribute("bias", 1)), e.emit(Mul{}, e.scalar(x, e.attribute("alpha", 1e-4)), mean))
	return e.emit(Div{}, x, e.emit(Pow{}, base, e.scalar(x, e.attribute("beta", 0.75))))
}

// absPower is |x|^p.
func (e *emitter) absPower(x *Value, p int64) *Value {
	switch p {
	case 1:
		return e.emit(Abs{}, x)
	case 2:
		return e.emit(Mul{}, x, x)
	}
	return e.emit(Pow{}, e.emit(Abs{}, x), e.scalar(x, float64(p)))
}

// root is x^(1/p) for x ≥ 0.
func (e *emitter) root(x *Value, p int64) *Value {
	switch p {
	case 1:
		return x
	case 2:
		return e.emit(Sqrt{}, x)
	}
	return e.emit(Pow{}, x, e.scalar(x, 1/float64(p)))
}

// norm reads the attribute p.
func (e *emitter) norm() int64 {
	p := e.Node.Int("p", 2)
	if p < 1 {
		e.fail(fmt.Sprintf("expected a positive p, found %d", p))
	}
	return p
}

// lowerLpPool: the norm of each window. Its sum of powers is a mean that counts
// the padding, times the size of the window.
func lowerLpPool(c *Call) ([]*Value, error) {
	x, w, err := lowerPoolWindow(c)
	if err != nil {
		return nil, err
	}
	if w.Ceil {
		return nil, fmt.Errorf("ceil_mode 1 is not supported")
	}
	e := &emitter{Call: c}
	p := e.norm()
	mean := e.emit(AveragePool{w, true}, e.absPower(x, p))
	return one(e.root(e.emit(Mul{}, mean, e.scalar(x, float64(elements(w.Kernel)))), p), e.err)
}

// globalLpPool is the norm over all spatial dimensions.
func globalLpPool(e *emitter) *Value {
	x := e.input(0)
	if e.err != nil || x.Type.Rank() < 3 {
		e.fail("expected an input [N, C, ...]")
		return nil
	}
	p := e.norm()
	return e.root(e.emit(ReduceSum{Axes: axesFrom(2, x.Type.Rank()), KeepDims: true}, e.absPower(x, p)), p)
}
