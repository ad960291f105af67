//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// reduction serves Reduce and SumTo.
func reduction(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	switch o := s.op.(type) {
	case op.Reduce:
		return reduce(s, o)
	case op.SumTo:
		shape := s.in[0].Shape
		lead := len(shape) - len(o.Shape)
		var axes []int
		for i := range shape {
			if i < lead || o.Shape[i-lead] == 1 {
				axes = append(axes, i)
			}
		}
		return fold(kernels.Sum, shape, axes, 1)
	}
	return nil
}

func fold(f kernels.Fold, shape, axes []int, scale float64) *launch {
	return &launch{kernels.ReduceWork(shape, axes), func(c call) error {
		return kernels.Reduce(c.Queue, f, c.in[0], c.out, shape, axes, scale, c.work)
	}}
}

func reduce(s site, o op.Reduce) *launch {
	shape := s.in[0].Shape
	switch o.By {
	case op.ReduceSum:
		return fold(kernels.Sum, shape, o.Axes, 1)
	case op.ReduceMean:
		n := 1
		for _, a := range o.Axes {
			n *= shape[a]
		}
		return fold(kernels.Sum, shape, o.Axes, 1/float64(n))
	case op.ReduceL2:
		squares, n := fold(kernels.Squares, shape, o.Axes, 1), s.out.Elements()
		return &launch{squares.work, func(c call) error {
			if err := squares.run(c); err != nil {
				return err
			}
			return kernels.Unary(c.Queue, kernels.Sqrt, c.out, c.out, n, 0, 0)
		}}
	case op.ReduceProd:
		return fold(kernels.Product, shape, o.Axes, 1)
	case op.ReduceMax:
		return fold(kernels.Largest, shape, o.Axes, 1)
	case op.ReduceMin:
		return fold(kernels.Least, shape, o.Axes, 1)
	}
	return nil
}
