package graph

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Options says how a model is read.
type Options struct {
	// Batch is the number of examples per run; 0 chooses one that keeps the
	// memory of a forward pass small. A model exported with a fixed batch runs
	// at that one.
	Batch int
	// ForwardBytes is what the widest values of a batch may take where the batch is
	// chosen; 0 suits a processor. With more, batches are larger, too.
	ForwardBytes int64
	// NoFuse runs every operator through its plain Op.
	NoFuse bool
	// Height and Width are used where the model leaves the image size open, and
	// where they are 0 what ImageSize says; it may be nil.
	Height, Width int
	ImageSize     func(*onnx.Model) (height, width int, err error)
	// Layout is that of the input; "" recognises it.
	Layout Layout
	// Output names the output that holds the logits; "" chooses it.
	Output string
	// Classes tells how many classes the images are of, 0 where that is unknown; it may
	// be nil, and is called where several outputs may hold the scores: one of that
	// width is preferred.
	Classes func() int
}

// Error says that a model cannot be used, and what to do about it.
type Error struct {
	Path string // the model file
	Msg  string
	Help string
	Err  error
}

func (e *Error) Error() string {
	s := e.Msg
	if e.Path != "" { // a model from memory has none
		s = e.Path + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Hint says what the user can do.
func (e *Error) Hint() string { return e.Help }

func (e *Error) Unwrap() error { return e.Err }

// Layout is the order of an image's dimensions in the model's input.
type Layout string

// The layouts of image batches. Without a dimension for them, the channels of an
// image of three dimensions are one; of an image of one dimension only its size is
// known, and it is the flattened CHW or HWC.
const (
	NCHW    Layout = "NCHW"
	NHWC    Layout = "NHWC"
	NHW     Layout = "NHW"
	FlatCHW Layout = "flat-CHW"
	FlatHWC Layout = "flat-HWC"
)

// Layouts lists them.
func Layouts() []Layout { return []Layout{NCHW, NHWC, NHW, FlatCHW, FlatHWC} }

// ChannelsLast reports whether the channels of a pixel lie side by side.
func (l Layout) ChannelsLast() bool { return l == NHWC || l == FlatHWC }

// InputSpec describes the images a network takes, as float32 whatever the type of
// the model's input.
type InputSpec struct {
	Name       string
	DType      onnx.DType // of the model's input
	Layout     Layout
	Channels   int
	Height     int
	Width      int
	FixedBatch int // the batch the file is bound to; 0 where it is free
}

// Integers reports whether the model takes whole numbers: the bytes of the pixels,
// which its graph converts and scales.
func (s InputSpec) Integers() bool { return holdsBytes(s.DType) }

// shape is that of a batch.
func (s InputSpec) shape(batch int) []int {
	switch s.Layout {
	case NHWC:
		return []int{batch, s.Height, s.Width, s.Channels}
	case NHW:
		return []int{batch, s.Height, s.Width}
	case FlatCHW, FlatHWC:
		return []int{batch, s.Elements()}
	}
	return []int{batch, s.Channels, s.Height, s.Width}
}

// Elements is the number of values per image.
func (s InputSpec) Elements() int { return s.Channels * s.Height * s.Width }

// Network is an image classifier as a chain of stages, bound to one batch size.
// It holds no state of a run and may be shared; see [Runner].
type Network struct {
	Model   *onnx.Model
	Input   InputSpec
	Output  string // the ONNX output that was taken
	Classes int
	Batch   int
	Ending  Ending    // what the graph does with the logits, and losses leave out
	Weights []*Weight // what gradients are taken of, in order of first use
	Skipped []Skipped
	Necks   []Neck // 0 is the image, the last one the logits

	options  Options     // that it was built with, and the batch that it has
	program  *op.Program // of which steps is what the logits depend on
	steps    []*op.Step
	weightOf map[*op.Value]int   // the index in Weights of a value that is one
	live     map[*onnx.Node]bool // the nodes that the output depends on
	layers   map[Granularity][]Layer
	// structured says that the blocks come from what is computed, and not from names.
	structured bool
	stages     func() [][]int // see [Network.Stages]; found when first asked for
}

// AllWeights are the indices of all weights, in ascending order.
func (n *Network) AllWeights() []int {
	all := make([]int, len(n.Weights))
	for i := range all {
		all[i] = i
	}
	return all
}

// Neck is a value that every path from the image to the logits passes through.
type Neck struct {
	Name     string // the ONNX value's name where it has one
	Shape    []int  // of one example
	Elements int    // values per example

	value    *op.Value
	position int // steps before it in Network.steps, itself included
}
