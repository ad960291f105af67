package diag

import "context"

// Model is what a diagnosis needs of a network: a chain of stages between
// necks. Neck 0 is the batch of images, the last neck, Necks()-1, the logits;
// every path from the images to the logits passes through each neck. Examples
// are stored one after another, NeckElements values each.
//
// A diagnosis calls a model from one goroutine at a time. All methods with a
// context return soon after it ends, with its error.
type Model interface {
	// Batch is the largest number of examples that one call takes.
	Batch() int
	// Classes is the number of logits.
	Classes() int
	// Necks is the number of necks, images and logits included: at least 2.
	Necks() int
	// NeckElements is the number of float32 elements per example at neck k.
	NeckElements(k int) int
	// Weight is the checkpoint's value of weight i, which the caller must not
	// change.
	Weight(i int) []float32
	// Override makes w the value of weight i from now on; nil restores the
	// checkpoint. The model keeps w, and reads it at every later call.
	Override(i int, w []float32)
	// Advance computes neck to from neck from < to, for the examples in in,
	// and writes it to out.
	Advance(ctx context.Context, from, to int, in, out []float32) error
	// Evaluate computes the cross-entropy of logits·invT, in nats, of each
	// example from the activations in at neck from, and the logits themselves
	// (not multiplied by invT) unless logits is nil.
	Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error
	// Gradients differentiates the sum of the examples' losses, as computed by
	// Evaluate, and hands sink the gradient of each wanted weight, once. All
	// uses of the weight lie above neck from. The slice is valid during the
	// call of sink only.
	Gradients(ctx context.Context, from int, in []float32, labels []int, invT float64, want []int, sink func(weight int, g []float32) error) error
}

// A Layer is a group of weights that is moved as one.
type Layer struct {
	Name       string
	Index      int    // position among all layers of the model, in forward order
	Weights    []int  // the model's numbers of its weights, none in two layers
	Parameters int    // number of scalars in them
	Neck       int    // the highest neck below every use of its weights
	Skip       string // why it cannot be measured; empty if it can
}

// Examples are labelled images, preprocessed as the model wants them.
type Examples interface {
	// Len is the number of examples.
	Len() int
	// Label is the class of example i, from 0 to the model's Classes()-1.
	Label(i int) int
	// Read writes example i to dst, which has the model's NeckElements(0)
	// elements.
	Read(i int, dst []float32) error
}
