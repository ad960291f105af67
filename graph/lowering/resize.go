package lowering

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func resizeEntries() []Entry {
	return []Entry{
		{Name: "Resize", Min: 10, Max: MaxOpset, Lower: lowerResize, Limit: "keep_aspect_ratio_policy stretch"},
		{Name: "Upsample", Min: 7, Max: 9, Lower: lowerUpsample, Limit: "replaced by Resize in opset 10"},
	}
}

// interpolation says how an axis is resampled; the names are ONNX's.
type interpolation struct {
	mode       string // nearest, linear, cubic
	coordinate string // of an output element in the input
	rounding   string // of the coordinate, for nearest
	cubic      float64
	// excludeOutside gives taps outside the input no weight instead of the
	// value at the border.
	excludeOutside bool
	// antialias stretches the filter of an axis that shrinks over the elements
	// that fall on one of the result.
	antialias bool
}

// check refuses what is not implemented, by name.
func (s interpolation) check() error {
	for _, part := range []struct {
		what, found string
		known       []string
	}{
		{"mode", s.mode, []string{"nearest", "linear", "cubic"}},
		{"coordinate_transformation_mode", s.coordinate, []string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"}},
		{"nearest_mode", s.rounding, []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}},
	} {
		if !slices.Contains(part.known, part.found) {
			return fmt.Errorf("%s %q is not supported, expected one of %q", part.what, part.found, part.known)
		}
	}
	return nil
}

// lowerUpsample: the scales became an input in opset 9.
func lowerUpsample(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	var scales []float64
	for _, s := range c.Node.Floats("scales") {
		scales = append(scales, float64(s))
	}
	if scales == nil {
		if scales, err = c.knownFloats(1, "scales"); err != nil {
			return nil, err
		}
	}
	s := interpolation{mode: c.Node.Str("mode", "nearest"), coordinate: "asymmetric", rounding: "floor"}
	return one(c.resample(x, s, scales, nil, nil))
}

// lowerResize: opset 10 is Upsample under a new name; from 11 on the inputs are
// x, roi, scales, sizes, of which one of the last two counts.
func lowerResize(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	n := c.Node
	s := interpolation{
		mode:           n.Str("mode", "nearest"),
		coordinate:     n.Str("coordinate_transformation_mode", "half_pixel"),
		rounding:       n.Str("nearest_mode", "round_prefer_floor"),
		cubic:          float64(n.Float("cubic_coeff_a", -0.75)),
		excludeOutside: n.Int("exclude_outside", 0) != 0,
		antialias:      n.Int("antialias", 0) != 0,
	}
	scalesAt := 2
	if c.Opset == 10 {
		s.coordinate, s.rounding, scalesAt = "asymmetric", "floor", 1
	}
	if p := n.Str("keep_aspect_ratio_policy", "stretch"); p != "stretch" {
		return nil, fmt.Errorf("keep_aspect_ratio_policy %q is not supported, expected stretch", p)
	}
	scales, err := c.knownFloats(scalesAt, "scales")
	if err != nil {
		return nil, err
	}
	var sizes []int
	if c.Opset > 10 {
		if sizes, err = c.knownSizes(3, "sizes"); err != nil {
			return nil, err
		}
	}
	return one(c.resample(x, s, scales, sizes, n.Ints("axes")))
}

// resample resizes the axes (nil: all) by scales or to sizes, one after
// another: the weights of every mode are products over the axes.
func (c *Call) resample(v *op.Value, s interpolation, scales []float64, sizes []int, axes []int64) (*op.Value, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if axes == nil {
		axes = count(v.Type.Rank())
	}
	if _, err := shapes.Axes(axes, v.Type.Rank()); err != nil {
		return nil, err
	}
	if (len(scales) == 0) == (len(sizes) == 0) || len(scales)+len(sizes) != len(axes) {
		return nil, fmt.Errorf("expected either scales or sizes for %d axes, found scales %v, sizes %v", len(axes), scales, sizes)
	}
	for i, a := range axes {
		axis, err := shapes.Axis(a, v.Type.Rank())
		if err != nil {
			return nil, err
		}
		in := v.Type.Shape[axis]
		var out, scale float64
		if len(sizes) > 0 {
			out = float64(sizes[i])
			scale = out / float64(in)
		} else {
			scale = scales[i]
			out = math.Floor(float64(in) * scale)
		}
		if in == 0 || !(scale > 0) || out < 1 || out > math.MaxInt32 {
			return nil, fmt.Errorf("axis %d of %v cannot be resized to %g by a scale of %g", axis, v.Type, out, scale)
		}
		if v, err = c.resampleAxis(v, s, axis, int(out), float32(scale)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (c *Call) resampleAxis(v *op.Value, s interpolation, axis, out int, scale float32) (*op.Value, error) {
	in := v.Type.Shape[axis]
	if out == in && scale == 1 {
		return v, nil
	}
	if err := shapes.Check(shapes.Replaced(v.Type.Shape, axis, out)); err != nil {
		return nil, err
	}
	if s.mode == "nearest" {
		index, err := c.NewArray(op.Type{DType: onnx.Int64, Shape: []int{out}})
		if err != nil {
			return nil, err
		}
		for i := range op.Elem[int64](index) {
			op.Elem[int64](index)[i] = int64(s.nearest(s.position(i, in, out, scale), in))
		}
		return c.Emit(op.Gather{Axis: axis}, v, c.Constant(index))
	}
	taps := 4.0
	if s.antialias {
		taps = min(taps/float64(min(scale, 1))+2, float64(in))
	}
	// Each row is a slice header and its taps, twice: see [op.LinearMap].
	if err := c.Reserve(op.Type{DType: onnx.Double, Shape: []int{out, 2 * (3 + 2*int(taps))}}); err != nil {
		return nil, err
	}
	rows := make([][]op.Tap, out)
	for i := range rows {
		if rows[i] = s.taps(s.position(i, in, out, scale), in, float64(scale)); rows[i] == nil {
			return nil, fmt.Errorf("exclude_outside leaves element %d of axis %d without a source", i, axis)
		}
	}
	return c.Emit(op.LinearMap{Axis: axis, Columns: in, Rows: rows}, v)
}

// position maps element i of an axis of out elements to a coordinate in the
// input's in elements: the formulas of the ONNX specification of Resize. Every
// step is rounded to float32, as in the runtimes: 1.5/0.6 - 0.5 must be 2, not
// just below, or nearest with floor takes another element.
func (s interpolation) position(i, in, out int, scale float32) float64 {
	switch {
	case out == 1 && (s.coordinate == "align_corners" || s.coordinate == "pytorch_half_pixel"):
		return 0
	case s.coordinate == "align_corners":
		return float64(float32(i*(in-1)) / float32(out-1))
	case s.coordinate == "asymmetric":
		return float64(float32(i) / scale)
	}
	centre := (float32(i) + 0.5) / scale
	if s.coordinate == "half_pixel_symmetric" {
		// out may have been rounded down from in·scale: centre what is left.
		covered := float32(out) / float32(float32(in)*scale)
		centre = float32(float32(in)/2*(1-covered)) + centre
	}
	return float64(centre - 0.5)
}

// nearest rounds a coordinate to an element that exists.
func (s interpolation) nearest(x float64, in int) int {
	switch s.rounding {
	case "round_prefer_floor":
		x = math.Ceil(x - 0.5)
	case "round_prefer_ceil":
		x = math.Floor(x + 0.5)
	case "floor":
		x = math.Floor(x)
	case "ceil":
		x = math.Ceil(x)
	}
	return int(min(max(x, 0), float64(in-1)))
}

// taps returns the weights of the inputs around a coordinate: two for linear,
// four for cubic (R. Keys, Cubic convolution interpolation, 1981), more where
// the filter is stretched by the inverse of a scale below 1. Neighbours outside
// the input stand for the element at the border, or are left out and the rest
// scaled to a sum of 1; nil where nothing is left.
func (s interpolation) taps(x float64, in int, scale float64) []op.Tap {
	squeeze := 1.0
	if s.antialias {
		squeeze = min(scale, 1)
	}
	filter, radius := func(d float64) float64 { return max(1-d, 0) }, 1.0
	if s.mode == "cubic" {
		filter, radius = s.keys, 2
	}
	centre := int(math.Floor(x))
	t := x - float64(centre)
	start := int(math.Floor(-radius/squeeze)) + 1
	first := centre + start
	weights := make([]float64, 2-2*start)
	for k := range weights {
		weights[k] = filter(math.Abs(float64(start+k)-t) * squeeze)
	}
	var taps []op.Tap
	sum := 0.0
	for k, w := range weights {
		i := first + k
		if w == 0 || s.excludeOutside && (i < 0 || i >= in) {
			continue
		}
		i = min(max(i, 0), in-1)
		sum += w
		if n := len(taps); n > 0 && taps[n-1].Index == i {
			taps[n-1].Weight += w
			continue
		}
		taps = append(taps, op.Tap{Index: i, Weight: w})
	}
	if s.excludeOutside || s.antialias {
		for i := range taps {
			taps[i].Weight /= sum
		}
	}
	return taps
}

// keys is the cubic filter at a distance.
func (s interpolation) keys(d float64) float64 {
	a := s.cubic
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return a * (((d-5)*d+8)*d - 4)
	}
	return 0
}
