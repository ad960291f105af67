//go:build gpu && linux && cgo

package gpu

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// view copies what is seen under another type.
func view(s site) *launch {
	n, wide := s.out.Elements(), int64(op.ElementBytes(s.out.DType))
	return &launch{0, func(c call) error {
		if c.in[0].BFloat16 != c.out.BFloat16 {
			return kernels.Convert(c.Queue, c.in[0], c.out, n)
		}
		bytes := wide * int64(n)
		if c.out.BFloat16 {
			bytes = c.out.Bytes(n)
		}
		return c.Copy(c.out.Data, c.in[0].Data, bytes)
	}}
}

// layout serves the operations that move elements.
func layout(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	switch o := s.op.(type) {
	case op.Transpose:
		strides := shapes.RowMajor(s.in[0].Shape)
		from := make([]int, len(o.Perm))
		for i, p := range o.Perm {
			from[i] = strides[p]
		}
		return read(s.out.Shape, 0, from)
	case op.Slice:
		offset, strides := within(o, s.in[0].Shape)
		return read(o.Sizes, offset, strides)
	case op.Place:
		return place(o)
	case op.Expand:
		return read(o.Shape, 0, broadcastStrides(s.in[0].Shape, o.Shape))
	case op.Spread:
		return spread(s, o)
	case op.Concat:
		return concat(s, o)
	case op.Pad:
		return pad(s, o)
	case op.PadGradient:
		return padGrad(s, o)
	}
	return nil
}

// move is kernels.Move for any number of loops: those that are too many run here,
// beginning with the shortest.
func move(q kernels.Queue, shape []int, dst, src kernels.Placement) error {
	if kernels.Nests(shape, src.Strides, dst.Strides) {
		return kernels.Move(q, shape, dst, src)
	}
	shortest := -1
	for i, n := range shape {
		if n > 1 && (shortest < 0 || n < shape[shortest]) {
			shortest = i
		}
	}
	inner := shapes.Replaced(shape, shortest, 1)
	for range shape[shortest] {
		if err := move(q, inner, dst, src); err != nil {
			return err
		}
		dst.Offset += dst.Strides[shortest]
		src.Offset += src.Strides[shortest]
	}
	return nil
}

// read copies elements of the only operand, from an offset and by strides, to
// all of the result.
func read(shape []int, offset int, strides []int) *launch {
	return &launch{0, func(c call) error {
		return move(c.Queue, shape, kernels.Contiguous(c.out, shape), kernels.Placement{Array: c.in[0], Offset: offset, Strides: strides})
	}}
}

// within returns where a slice's elements lie in an array of the shape.
func within(o op.Slice, shape []int) (offset int, strides []int) {
	strides = shapes.RowMajor(shape)
	for i := range shape {
		offset += o.Starts[i] * strides[i]
		strides[i] *= o.Steps[i]
	}
	return offset, strides
}

// place puts the operand at a slice of zeros.
func place(o op.Place) *launch {
	offset, strides := within(o.At, o.Shape)
	elements := shapes.Elements(o.Shape)
	return &launch{0, func(c call) error {
		if err := c.Clear(c.out.Data, c.out.Bytes(elements)); err != nil {
			return err
		}
		return move(c.Queue, o.At.Sizes, kernels.Placement{Array: c.out, Offset: offset, Strides: strides}, kernels.Contiguous(c.in[0], o.At.Sizes))
	}}
}

func spread(s site, o op.Spread) *launch {
	kept := slices.Clone(o.Shape)
	for _, a := range o.Axes {
		kept[a] = 1
	}
	repeat, n := read(o.Shape, 0, broadcastStrides(kept, o.Shape)), s.out.Elements()
	return &launch{0, func(c call) error {
		if err := repeat.run(c); err != nil || o.Scale == 1 {
			return err
		}
		return kernels.Unary(c.Queue, kernels.Affine, c.out, c.out, n, float32(o.Scale), 0)
	}}
}

func concat(s site, o op.Concat) *launch {
	strides := shapes.RowMajor(s.out.Shape)
	return &launch{0, func(c call) error {
		offset := 0
		for i, t := range s.in {
			err := move(c.Queue, t.Shape, kernels.Placement{Array: c.out, Offset: offset, Strides: strides}, kernels.Contiguous(c.in[i], t.Shape))
			if err != nil {
				return err
			}
			offset += t.Shape[o.Axis] * strides[o.Axis]
		}
		return nil
	}}
}

// interior is what a Pad keeps of its input, as a slice of the input and as one of
// the result.
func interior(o op.Pad, in, out []int) (of, to op.Slice) {
	of, to = op.WholeSlice(in), op.WholeSlice(out)
	for i, before := range o.Before {
		of.Starts[i], to.Starts[i] = max(0, -before), max(0, before)
		size := max(0, min(in[i]-of.Starts[i], out[i]-to.Starts[i]))
		of.Sizes[i], to.Sizes[i] = size, size
	}
	return of, to
}

func pad(s site, o op.Pad) *launch {
	of, to := interior(o, s.in[0].Shape, s.out.Shape)
	if o.Mode != op.PadConstant {
		return nil
	}
	n := s.out.Elements()
	return &launch{0, func(c call) error {
		if err := kernels.Fill(c.Queue, c.out, float32(o.Value), n); err != nil {
			return err
		}
		return copySlice(c, of, s.in[0].Shape, to, s.out.Shape)
	}}
}

func padGrad(s site, o op.PadGradient) *launch {
	of, to := interior(o.Pad, s.out.Shape, s.in[0].Shape)
	if o.Mode != op.PadConstant {
		return nil
	}
	elements := s.out.Elements()
	return &launch{0, func(c call) error {
		if err := c.Clear(c.out.Data, c.out.Bytes(elements)); err != nil {
			return err
		}
		return copySlice(c, to, s.in[0].Shape, of, s.out.Shape)
	}}
}

// copySlice copies a slice of the operand to one of the result.
func copySlice(c call, of op.Slice, in []int, to op.Slice, out []int) error {
	placed := func(a kernels.Array, o op.Slice, shape []int) kernels.Placement {
		offset, strides := within(o, shape)
		return kernels.Placement{Array: a, Offset: offset, Strides: strides}
	}
	return move(c.Queue, of.Sizes, placed(c.out, to, out), placed(c.in[0], of, in))
}
