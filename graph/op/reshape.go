package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"

	"gorgonia.org/gorgonia"
)

// Reshape gives its input another shape of equal size. It is a [View].
type Reshape struct{ Shape []int }

// Name returns "Reshape".
func (Reshape) Name() string { return "Reshape" }

// IsView marks the Op as a view.
func (Reshape) IsView() {}

// Infer checks that the sizes agree.
func (o Reshape) Infer(in []Type) (Type, error) {
	x, err := single(in)
	if err != nil {
		return Type{}, err
	}
	t, err := sized(x.With(o.Shape...))
	if err != nil {
		return Type{}, err
	}
	if t.Elements() != x.Elements() {
		return Type{}, fmt.Errorf("expected a shape of %d elements for %v, found %v", x.Elements(), x, o.Shape)
	}
	return t, nil
}

// Forward copies the elements.
func (o Reshape) Forward(c *kernel.Context, out Array, in []Array) {
	n := []int{in[0].Elements()}
	flat := placement{strides: []int{1}}
	copyStrided(c, n, out, flat, in[0], flat)
}

// Gradient gives the cotangent the input's shape.
func (o Reshape) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	if !need[0] {
		return []*gorgonia.Node{nil}
	}
	return []*gorgonia.Node{g.Do(Reshape{g.TypeOf(in[0]).Shape}, dout)}
}

// reshape emits a Reshape, or returns v where it has the shape already.
func (p *Program) reshape(v *Value, shape ...int) (*Value, error) {
	if slices.Equal(v.Type.Shape, shape) {
		return v, nil
	}
	return p.Emit(Reshape{shape}, v)
}

func reshapeEntries() []Entry {
	return []Entry{
		{Name: "Reshape", Min: 1, Max: MaxOpset, Lower: lowerReshape},
		{Name: "Flatten", Min: 1, Max: MaxOpset, Lower: lowerFlatten},
		{Name: "Squeeze", Min: 1, Max: MaxOpset, Lower: lowerSqueeze},
		{Name: "Unsqueeze", Min: 1, Max: MaxOpset, Lower: lowerUnsqueeze},
	}
}

// lowerReshape: the shape is an attribute before opset 5. A 0 copies the
// input's size at its place unless allowzero (opset 14) is set; one -1 takes
// what is left.
func lowerReshape(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	want, err := c.IntsFrom("shape", 1)
	if err != nil {
		return nil, err
	}
	if want == nil && c.Arg(1) == nil {
		return nil, fmt.Errorf("no shape is given")
	}
	shape, err := reshapeTarget(x.Type, want, c.Node.Int("allowzero", 0) != 0)
	if err != nil {
		return nil, err
	}
	return one(c.reshape(x, shape...))
}

func reshapeTarget(x Type, want []int64, allowZero bool) ([]int, error) {
	shape := make([]int, len(want))
	rest, known := -1, 1
	for i, d := range want {
		switch {
		case d == -1 && rest >= 0:
			return nil, fmt.Errorf("shape %v has more than one -1", want)
		case d == -1:
			rest = i
			continue
		case d == 0 && !allowZero:
			if i >= x.Rank() {
				return nil, fmt.Errorf("shape %v copies dimension %d of %v, which has only %d", want, i, x, x.Rank())
			}
			shape[i] = x.Shape[i]
		case d < 0 || d > math.MaxInt32:
			return nil, fmt.Errorf("size %d in shape %v is out of range", d, want)
		default:
			shape[i] = int(d)
		}
	}
	if rest >= 0 {
		shape[rest] = 1
		t, err := sized(x.With(shape...))
		if err != nil {
			return nil, err
		}
		if known = t.Elements(); known == 0 || x.Elements()%known != 0 {
			return nil, fmt.Errorf("shape %v does not divide the %d elements of %v", want, x.Elements(), x)
		}
		shape[rest] = x.Elements() / known
	}
	return shape, nil
}

func lowerFlatten(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	axis := c.Node.Int("axis", 1)
	if axis < 0 {
		axis += int64(x.Type.Rank())
	}
	if axis < 0 || axis > int64(x.Type.Rank()) { // the rank itself is allowed
		return nil, fmt.Errorf("axis %d is outside a tensor of rank %d", c.Node.Int("axis", 1), x.Type.Rank())
	}
	return one(c.reshape(x, elements(x.Type.Shape[:axis]), elements(x.Type.Shape[axis:])))
}

func lowerSqueeze(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	given, err := c.IntsFrom("axes", 1)
	if err != nil {
		return nil, err
	}
	all := !c.Node.Has("axes") && c.Arg(1) == nil
	axes, err := resolveAxes(given, x.Type.Rank())
	if err != nil {
		return nil, err
	}
	shape := []int{}
	for i, d := range x.Type.Shape {
		switch {
		case all && d == 1:
		case slices.Contains(axes, i):
			if d != 1 {
				return nil, fmt.Errorf("axis %d of %v has size %d, expected 1", i, x.Type, d)
			}
		default:
			shape = append(shape, d)
		}
	}
	return one(c.reshape(x, shape...))
}

func lowerUnsqueeze(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	given, err := c.IntsFrom("axes", 1)
	if err != nil {
		return nil, err
	}
	if !c.Node.Has("axes") && c.Arg(1) == nil {
		return nil, fmt.Errorf("no axes are given")
	}
	axes, err := resolveAxes(given, x.Type.Rank()+len(given))
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(x.Type.Shape)
	for _, a := range axes {
		shape = slices.Insert(shape, a, 1)
	}
	return one(c.reshape(x, shape...))
}
