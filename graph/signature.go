package graph

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// inputSpec finds the image input and binds what the file leaves open.
func inputSpec(m *onnx.Model, opt Options) (InputSpec, error) {
	fail := func(help, format string, args ...any) (InputSpec, error) {
		return InputSpec{}, &Error{Path: m.Path, Msg: fmt.Sprintf(format, args...), Help: help}
	}
	if len(m.Inputs) != 1 {
		names := make([]string, len(m.Inputs))
		for i, in := range m.Inputs {
			names[i] = in.Name
		}
		return fail("export the model with the image as its only input",
			"the model has %d inputs %q, expected one image", len(m.Inputs), names)
	}
	in := m.Inputs[0]
	if op.ClassOf(in.DType) != op.ClassFloat32 {
		return fail("export the model with a float32 input", "input %q has type %v, expected FLOAT, FLOAT16 or BFLOAT16", in.Name, in.DType)
	}
	if len(in.Shape) != 4 {
		return fail("an image classifier takes a batch of images [N, 3, H, W]", "input %q has rank %d, expected 4", in.Name, len(in.Shape))
	}
	spec := InputSpec{Name: in.Name, DType: in.DType, Layout: NCHW}
	dims := [4]int{}
	for i, d := range in.Shape {
		dims[i] = -1
		if d.Value > 0 {
			if d.Value > maxDim {
				return fail("", "input %q: dimension %d is %d", in.Name, i, d.Value)
			}
			dims[i] = int(d.Value)
		}
	}
	c, h, w := 1, 2, 3
	if isChannels(dims[3]) && !isChannels(dims[1]) {
		spec.Layout = NHWC
		c, h, w = 3, 1, 2
	}
	if dims[c] < 0 {
		dims[c] = 3
	}
	for _, asked := range []struct{ dim, size int }{{h, opt.Height}, {w, opt.Width}} {
		switch {
		case dims[asked.dim] < 0:
			dims[asked.dim] = asked.size
		case asked.size > 0 && asked.size != dims[asked.dim]:
			return fail("leave --image-size out", "input %q has images of %d×%d, not of %d×%d", in.Name, dims[h], dims[w], opt.Height, opt.Width)
		}
	}
	if dims[h] <= 0 || dims[w] <= 0 {
		return fail("give the size the model was trained at with --image-size", "input %q leaves the image size open", in.Name)
	}
	if !isChannels(dims[c]) {
		return fail("the input must be a batch of RGB images, [N, 3, H, W] or [N, H, W, 3]", "input %q has shape %v: no dimension of 3 channels", in.Name, in.Shape)
	}
	spec.Channels, spec.Height, spec.Width = dims[c], dims[h], dims[w]
	if dims[0] > 0 {
		spec.FixedBatch = dims[0]
	}
	return spec, nil
}

// maxDim bounds a declared input dimension; larger ones are absurd for images.
const maxDim = 1 << 16

func isChannels(d int) bool { return d == 3 || d == 1 }
