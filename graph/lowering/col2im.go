package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func col2ImEntries() []Entry {
	return []Entry{{Name: "Col2Im", Min: 18, Max: MaxOpset, Lower: lowerCol2Im}}
}

// lowerCol2Im: (columns, image shape, block shape).
func lowerCol2Im(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	var sizes [2][]int
	for i, what := range []string{"image_shape", "block_shape"} {
		given, err := c.knownInts(1+i, what)
		if err != nil {
			return nil, err
		}
		if sizes[i], err = shapes.Sizes(given); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	w, err := windowAttributes(c, slices.Concat(shapes.Ones(2), sizes[0]), sizes[1])
	if err != nil {
		return nil, err
	}
	return one(c.Emit(op.Col2Im{PoolWindow: w, Image: sizes[0]}, x))
}
