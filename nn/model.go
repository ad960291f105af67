package nn

import (
	"context"

	"github.com/modeldoctor/modeldoctor/metric"
)

// Model is a network: a chain of stages between necks. Neck 0 is the batch of
// images, the last neck, Necks()-1, the logits; every path from the images to the
// logits passes through each neck. Examples are stored one after another,
// NeckElements values each. All memory is of the model's device.
//
// A model is called from one goroutine at a time. All methods with a context
// return soon after it ends, with its error.
type Model interface {
	Sizes
	// Device is where the model computes.
	Device() Device
	// Threads is how many threads of the host may work for the model at a time.
	Threads() int
	// Checkpoint is weight i as the model came, which the caller must not change
	// or free.
	Checkpoint(i int) (Memory, error)
	// Override makes w the value of weight i from now on; nil restores the
	// checkpoint. The model keeps w, and reads it at every later call.
	Override(i int, w Memory)
	// Advance computes neck to from neck from < to, for the examples in in, and
	// writes it to out, which may overlap in.
	Advance(ctx context.Context, from, to int, in, out Memory, examples int) error
	// Evaluate computes the cross-entropy of logits·invT, in nats, of each
	// example from the activations in at neck from, and the logits themselves
	// (not multiplied by invT) unless logits is nil.
	Evaluate(ctx context.Context, from int, in Memory, labels []int, invT float64, losses []float64, logits []float32) error
	// Losses is Evaluate but for where losses and logits go: to the beginning of a
	// memory each, in float32, without waiting for them.
	Losses(ctx context.Context, from int, in Memory, labels []int, invT float64, losses, logits Memory) error
	// LossGradients differentiates the sum over the examples of a loss of
	// logits·invT, writes each example's loss to losses unless that is nil, and
	// hands sink the gradient of each wanted weight, once. All uses of the
	// weights lie above neck from. The memory is valid during the call of sink.
	LossGradients(ctx context.Context, loss metric.Loss, from int, in Memory, labels []int, invT float64, want []int, losses []float64, sink func(weight int, g Memory) error) error
}

// Sizes are those of a [Model].
type Sizes interface {
	// Batch is the largest number of examples that one call takes.
	Batch() int
	// Classes is the number of logits.
	Classes() int
	// Necks is the number of necks, images and logits included: at least 2.
	Necks() int
	// NeckElements is the number of float32 elements per example at neck k.
	NeckElements(k int) int
	// WeightElements is the number of elements of weight i.
	WeightElements(i int) int
}

// Examples are labelled images, preprocessed as the model wants them.
type Examples interface {
	// Len is the number of examples.
	Len() int
	// Label is the class of example i, from 0 to the model's Classes()-1.
	Label(i int) int
	// Read writes example i to dst, which has the model's NeckElements(0)
	// elements. It may be called from several goroutines at once.
	Read(i int, dst []float32) error
}
