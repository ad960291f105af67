package graph

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// inputSpec finds the image input and binds what the file leaves open.
func inputSpec(m *onnx.Model, opt Options) (InputSpec, error) {
	fail := func(help, format string, args ...any) error {
		return &Error{Path: m.Path, Msg: fmt.Sprintf(format, args...), Help: help}
	}
	if len(m.Inputs) != 1 {
		names := make([]string, len(m.Inputs))
		for i, in := range m.Inputs {
			names[i] = in.Name
		}
		return InputSpec{}, fail("export the model with the image as its only input",
			"the model has %d inputs %q, expected one image", len(m.Inputs), names)
	}
	in := m.Inputs[0]
	if op.ClassOf(in.DType) != op.ClassFloat32 && !holdsBytes(in.DType) {
		return InputSpec{}, fail("export the model with a float32 input", "input %q has type %v, expected FLOAT, FLOAT16, BFLOAT16, or whole numbers up to 255", in.Name, in.DType)
	}
	dims := make([]int, len(in.Shape)) // −1: open
	for i, d := range in.Shape {
		dims[i] = -1
		if d.Value > 0 {
			if d.Value > maxDim {
				return InputSpec{}, fail("", "input %q: dimension %d is %d", in.Name, i, d.Value)
			}
			dims[i] = int(d.Value)
		}
	}
	s := signature{model: m, in: in, dims: dims, options: opt, fail: fail}
	spec := InputSpec{Name: in.Name, DType: in.DType}
	var err error
	if spec.Layout, err = s.layout(); err != nil {
		return InputSpec{}, err
	}
	if err := s.bind(&spec); err != nil {
		return InputSpec{}, err
	}
	if dims[0] > 0 {
		spec.FixedBatch = dims[0]
	}
	return spec, nil
}

// holdsBytes reports whether a type is of integers that have room for those of a
// pixel, 0 to 255.
func holdsBytes(t onnx.DType) bool {
	switch t {
	case onnx.Uint8, onnx.Int16, onnx.Uint16, onnx.Int32, onnx.Uint32, onnx.Int64, onnx.Uint64:
		return true
	}
	return false
}

// maxDim bounds a declared input dimension; larger ones are absurd for images.
const maxDim = 1 << 16

func isChannels(d int) bool { return d == 3 || d == 1 || d == 4 }

// signature is a model's input while it is understood.
type signature struct {
	model   *onnx.Model
	in      onnx.ValueInfo
	dims    []int
	options Options
	fail    func(help, format string, args ...any) error
}

// ranks are the numbers of dimensions of the layouts.
var ranks = map[Layout]int{NCHW: 4, NHWC: 4, NHW: 3, FlatCHW: 2, FlatHWC: 2}

const layoutHelp = "an image classifier takes a batch of images: [N, 3, H, W], [N, H, W, 3], [N, H, W] or [N, pixels]; --input-layout (nchw, nhwc, nhw, flat-chw, flat-hwc) says which"

// layout is the one that was asked for, or that is recognised by the rank and the
// dimension of channels.
func (s *signature) layout() (Layout, error) {
	rank := len(s.dims)
	if asked := s.options.Layout; asked != "" {
		if ranks[asked] != rank {
			return "", s.fail("leave --input-layout out, or name one of that rank", "input %q has shape %v of rank %d, layout %s has %d", s.in.Name, s.in.Shape, rank, asked, ranks[asked])
		}
		return asked, nil
	}
	switch {
	case rank == 4 && isChannels(s.dims[3]) && (!isChannels(s.dims[1]) || s.dims[1] == 4 && s.dims[3] != 4):
		return NHWC, nil // a height of four pixels is more likely than a width of three
	case rank == 4:
		return NCHW, nil
	case rank == 3 && s.dims[1] > 0 && s.dims[1] == s.dims[2] && s.dims[0] != 3:
		return NHW, nil
	case rank == 2:
		// Of one channel both flattenings are the same.
		_, _, err := s.square(1)
		if s.dims[1] < 0 && s.options.Height > 0 || err == nil {
			return FlatCHW, nil
		}
		if _, _, err := s.square(3); err == nil {
			return "", s.fail("--input-layout flat-chw: the channels one after the other (PyTorch); flat-hwc: the channels of each pixel side by side (Keras, NumPy)",
				"input %q has %d values, an image of 3 channels in an order that the file does not say", s.in.Name, s.dims[1])
		}
	}
	return "", s.fail(layoutHelp, "input %q has rank %d and shape %v, which is not that of images", s.in.Name, rank, s.in.Shape)
}

// square is the height and width of a flattened image of so many channels.
func (s *signature) square(channels int) (height, width int, err error) {
	values := s.dims[1]
	height, width = s.options.Height, s.options.Width
	if height == 0 {
		edge := int(math.Round(math.Sqrt(float64(max(values, 0)) / float64(channels))))
		height, width = edge, edge
	}
	if height < 2 || channels*height*width != values && values > 0 {
		return 0, 0, s.fail("give the size with --image-size HxW", "input %q has %d values: not an image of %d channels of a known size", s.in.Name, values, channels)
	}
	return height, width, nil
}

// bind finds channels, height and width.
func (s *signature) bind(spec *InputSpec) error {
	c, h, w := 1, 2, 3
	switch spec.Layout {
	case FlatCHW, FlatHWC:
		var err error
		for _, spec.Channels = range []int{1, 3, 4} {
			if spec.Height, spec.Width, err = s.square(spec.Channels); err == nil {
				return nil
			}
		}
		return err
	case NHW:
		c, h, w = -1, 1, 2
	case NHWC:
		c, h, w = 3, 1, 2
	}
	dims := s.dims
	if spec.Channels = 1; c >= 0 {
		if dims[c] < 0 {
			dims[c] = 3
		}
		spec.Channels = dims[c]
	}
	if (dims[h] < 0 || dims[w] < 0) && s.options.Height == 0 && s.options.ImageSize != nil {
		height, width, err := s.options.ImageSize(s.model)
		if err != nil {
			return err
		}
		// Only what is open: the file's own sizes count.
		for _, found := range []struct{ dim, size int }{{h, height}, {w, width}} {
			if dims[found.dim] < 0 && found.size > 0 {
				dims[found.dim] = found.size
			}
		}
	}
	for _, asked := range []struct{ dim, size int }{{h, s.options.Height}, {w, s.options.Width}} {
		switch {
		case dims[asked.dim] < 0:
			dims[asked.dim] = asked.size
		case asked.size > 0 && asked.size != dims[asked.dim]:
			return s.fail("leave --image-size out", "input %q has images of %d×%d, not of %d×%d", s.in.Name, dims[h], dims[w], s.options.Height, s.options.Width)
		}
	}
	if dims[h] <= 0 || dims[w] <= 0 {
		return s.fail("give the size the model was trained at with --image-size", "input %q leaves the image size open", s.in.Name)
	}
	if !isChannels(spec.Channels) {
		return s.fail("the input must be a batch of images of 1, 3 or 4 channels: [N, 3, H, W] or [N, H, W, 3]", "input %q has shape %v: no dimension of 3 channels", s.in.Name, s.in.Shape)
	}
	spec.Height, spec.Width = dims[h], dims[w]
	return nil
}
