package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// lpEntries lists the operators that are Lp norms.
func lpEntries() []Entry {
	return []Entry{
		{Name: "GlobalLpPool", Min: 2, Max: MaxOpset, Lower: lowerFormula(globalLpPool)},
		{Name: "LpNormalization", Min: 1, Max: MaxOpset, Lower: lowerFormula(lpNormalization)},
		{Name: "LpPool", Min: 2, Max: MaxOpset, Lower: lowerLpPool, Limit: "ceil_mode 0"},
	}
}

// absPower is |x|^p.
func (e *emitter) absPower(x *op.Value, p int64) *op.Value {
	switch p {
	case 1:
		return e.emit(op.Abs{}, x)
	case 2:
		return e.emit(op.Mul{}, x, x)
	}
	return e.emit(op.Pow{}, e.emit(op.Abs{}, x), e.scalar(x, float64(p)))
}

// root is x^(1/p) for x ≥ 0.
func (e *emitter) root(x *op.Value, p int64) *op.Value {
	switch p {
	case 1:
		return x
	case 2:
		return e.emit(op.Sqrt{}, x)
	}
	return e.emit(op.Pow{}, x, e.scalar(x, 1/float64(p)))
}

// norm reads the attribute p.
func (e *emitter) norm() int64 {
	p := e.Node.Int("p", 2)
	if p < 1 {
		e.fail("expected a positive p, found %d", p)
	}
	return p
}

// lowerLpPool: the norm of each window. Its sum of powers is a mean that counts
// the padding, times the size of the window.
func lowerLpPool(c *Call) ([]*op.Value, error) {
	x, w, err := lowerPoolWindow(c)
	if err != nil {
		return nil, err
	}
	if w.Ceil {
		return nil, fmt.Errorf("ceil_mode 1 is not supported")
	}
	e := &emitter{Call: c}
	p := e.norm()
	mean := e.emit(op.AveragePool{PoolWindow: w, CountPads: true}, e.absPower(x, p))
	return one(e.root(e.emit(op.Mul{}, mean, e.scalar(x, float64(shapes.Elements(w.Kernel)))), p), e.err)
}

// globalLpPool is the norm over all spatial dimensions.
func globalLpPool(e *emitter) *op.Value {
	x := e.input(0)
	if e.err != nil || x.Type.Rank() < 3 {
		e.fail("expected an input [N, C, ...]")
		return nil
	}
	p := e.norm()
	return e.root(e.emit(op.Reduce{By: op.ReduceSum, Axes: shapes.AxesFrom(2, x.Type.Rank()), KeepDims: true}, e.absPower(x, p)), p)
}

func lpNormalization(e *emitter) *op.Value {
	x := e.input(0)
	if e.err != nil {
		return nil
	}
	axis := e.axis(-1, x.Type.Rank())
	switch p := e.Node.Int("p", 2); p {
	case 1:
		return e.emit(op.Div{}, x, e.emit(op.Reduce{By: op.ReduceSum, Axes: []int{axis}, KeepDims: true}, e.emit(op.Abs{}, x)))
	case 2:
		return e.emit(op.Div{}, x, e.emit(op.Reduce{By: op.ReduceL2, Axes: []int{axis}, KeepDims: true}, x))
	default:
		e.fail("expected p 1 or 2, found %d", p)
		return nil
	}
}
