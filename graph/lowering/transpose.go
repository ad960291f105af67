package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func transposeEntries() []Entry {
	return []Entry{
		{Name: "Transpose", Min: 1, Max: MaxOpset, Lower: lowerTranspose},
		{Name: "DepthToSpace", Min: 1, Max: MaxOpset, Lower: lowerDepthToSpace},
		{Name: "SpaceToDepth", Min: 1, Max: MaxOpset, Lower: lowerSpaceToDepth},
	}
}

// transpose emits a Transpose, or returns v where perm changes nothing.
func (c *Call) transpose(v *op.Value, perm ...int) (*op.Value, error) {
	if slices.IsSorted(perm) && len(perm) == v.Type.Rank() {
		return v, nil
	}
	return c.Emit(op.Transpose{Perm: perm}, v)
}

// lowerTranspose: without perm the dimensions are reversed.
func lowerTranspose(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	perm := make([]int, x.Type.Rank())
	for i := range perm {
		perm[i] = len(perm) - 1 - i
	}
	if c.Node.Has("perm") {
		given := c.Node.Ints("perm")
		perm = make([]int, len(given))
		for i, a := range given {
			if perm[i], err = shapes.Axis(a, x.Type.Rank()); err != nil {
				return nil, err
			}
		}
	}
	if _, err := (op.Transpose{Perm: perm}).Infer([]op.Type{x.Type}); err != nil {
		return nil, err
	}
	return one(c.transpose(x, perm...))
}

// rearrange is a reshape, a transposition and a reshape.
func (c *Call) rearrange(v *op.Value, split, perm, merged []int) (*op.Value, error) {
	v, err := c.reshape(v, split...)
	if err != nil {
		return nil, err
	}
	if v, err = c.transpose(v, perm...); err != nil {
		return nil, err
	}
	return c.reshape(v, merged...)
}

// blocks reads the input [N, C, H, W] and the block size of the two operators
// that trade channels for pixels.
func blocks(c *Call) (x *op.Value, block int, err error) {
	if x, err = c.need(0); err != nil {
		return nil, 0, err
	}
	if x.Type.Rank() != 4 {
		return nil, 0, fmt.Errorf("expected an input [N, C, H, W], found %v", x.Type)
	}
	b := c.Node.Int("blocksize", 0)
	if b < 1 || b > 1<<15 {
		return nil, 0, fmt.Errorf("blocksize %d is out of range", b)
	}
	return x, int(b), nil
}

// lowerDepthToSpace: mode DCR holds the block's pixels in the slow part of the
// channel number, CRD in the fast part.
func lowerDepthToSpace(c *Call) ([]*op.Value, error) {
	x, b, err := blocks(c)
	if err != nil {
		return nil, err
	}
	s := x.Type.Shape
	n, h, w := s[0], s[2], s[3]
	if s[1]%(b*b) != 0 {
		return nil, fmt.Errorf("%d channels are not a multiple of the squared blocksize %d", s[1], b*b)
	}
	d := s[1] / (b * b)
	merged := []int{n, d, h * b, w * b}
	switch mode := c.Node.Str("mode", "DCR"); mode {
	case "DCR":
		return one(c.rearrange(x, []int{n, b, b, d, h, w}, []int{0, 3, 4, 1, 5, 2}, merged))
	case "CRD":
		return one(c.rearrange(x, []int{n, d, b, b, h, w}, []int{0, 1, 4, 2, 5, 3}, merged))
	default:
		return nil, fmt.Errorf("mode %q is not supported, expected DCR or CRD", mode)
	}
}

func lowerSpaceToDepth(c *Call) ([]*op.Value, error) {
	x, b, err := blocks(c)
	if err != nil {
		return nil, err
	}
	if mode := c.Node.Str("mode", "DCR"); mode != "DCR" {
		return nil, fmt.Errorf("mode %q is not supported, expected DCR", mode)
	}
	s := x.Type.Shape
	n, d, h, w := s[0], s[1], s[2], s[3]
	if h%b != 0 || w%b != 0 {
		return nil, fmt.Errorf("an image of %d x %d pixels is not a multiple of the blocksize %d", h, w, b)
	}
	return one(c.rearrange(x, []int{n, d, h / b, b, w / b, b}, []int{0, 3, 5, 1, 2, 4}, []int{n, b * b * d, h / b, w / b}))
}
