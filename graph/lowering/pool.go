package lowering

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func poolEntries() []Entry {
	return []Entry{
		{Name: "AveragePool", Min: 1, Max: MaxOpset, Lower: lowerAveragePool},
		{Name: "GlobalAveragePool", Min: 1, Max: MaxOpset, Lower: lowerGlobalPool(op.ReduceMean)},
		{Name: "GlobalMaxPool", Min: 1, Max: MaxOpset, Lower: lowerGlobalPool(op.ReduceMax)},
		{Name: "MaxPool", Min: 1, Max: MaxOpset, Lower: lowerMaxPool},
	}
}

// lowerPoolWindow reads the attributes of a pooling node.
func lowerPoolWindow(c *Call) (*op.Value, op.PoolWindow, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, op.PoolWindow{}, err
	}
	size, err := shapes.Sizes(c.Node.Ints("kernel_shape"))
	if err != nil {
		return nil, op.PoolWindow{}, fmt.Errorf("kernel_shape: %w", err)
	}
	w, err := windowAttributes(c, x.Type.Shape, size)
	w.Ceil = c.Node.Int("ceil_mode", 0) != 0
	return x, w, err
}

func lowerMaxPool(c *Call) ([]*op.Value, error) {
	x, w, err := lowerPoolWindow(c)
	if err != nil {
		return nil, err
	}
	out, err := one(c.Emit(op.MaxPool{PoolWindow: w}, x))
	if err != nil || len(c.Node.Outputs) < 2 || c.Node.Outputs[1] == "" {
		return out, err
	}
	indices, err := c.Emit(op.MaxPoolIndices{PoolWindow: w, ColumnMajor: c.Node.Int("storage_order", 0) != 0}, x)
	return append(out, indices), err
}

func lowerAveragePool(c *Call) ([]*op.Value, error) {
	o, x, err := averagePool(c)
	if err != nil {
		return nil, err
	}
	if x.Step != nil {
		_, o.ByColumns = x.Step.Op.(op.OnGrid)
	}
	return one(c.Emit(o, x))
}

// averagePool returns the pooling that a node has, and its input.
func averagePool(c *Call) (op.AveragePool, *op.Value, error) {
	x, w, err := lowerPoolWindow(c)
	return op.AveragePool{PoolWindow: w, CountPads: c.Node.Int("count_include_pad", 0) != 0}, x, err
}

// lowerGlobalPool reduces all spatial dimensions.
func lowerGlobalPool(by op.Reduction) Lowering {
	return func(c *Call) ([]*op.Value, error) {
		x, err := c.need(0)
		if err != nil {
			return nil, err
		}
		if x.Type.Rank() < 3 {
			return nil, fmt.Errorf("expected an input [N, C, ...], found %v", x.Type)
		}
		return one(c.Emit(op.Reduce{By: by, Axes: shapes.AxesFrom(2, x.Type.Rank()), KeepDims: true}, x))
	}
}
