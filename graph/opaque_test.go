package graph

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// card is a device whose memory the host cannot look into: what runs on it is
// brought to the host's kernels inside of Forward.
type card struct {
	nntest.Device
	cardSteps
}

// cardSteps are the steps of a card, which counts them among its calls.
type cardSteps struct {
	kernels exec.Kernels
	*nntest.State
}

func newCard() card {
	d := nntest.NewDevice()
	return card{d, cardSteps{exec.NewKernels(kernel.NewContext(2)), d.State}}
}

// hidden is elements of a type other than float32 on a card.
type hidden struct{ elements any }

func hide(data any) any {
	if values, ok := data.([]float32); ok {
		return &nntest.Block{Values: values}
	}
	return hidden{data}
}

func bring(a op.Array) op.Array {
	if b, ok := a.Data.(*nntest.Block); ok {
		return op.Array{Type: a.Type, Data: b.Values}
	}
	return op.Array{Type: a.Type, Data: a.Data.(hidden).elements}
}

// fail is the failure that is due.
func (c cardSteps) fail() error {
	if c.Calls++; c.Calls == c.FailAt {
		return nntest.ErrDevice
	}
	return nil
}

type cardArena struct{ exec.Arena }

func (a cardArena) Data(t op.Type, offset int64, factor bool) any {
	return hide(a.Arena.Data(t, offset, factor))
}

func (c cardSteps) Arena(bytes int64) (exec.Arena, error) {
	a, _ := c.kernels.Arena(bytes)
	return cardArena{a}, c.fail()
}

func (c cardSteps) Share(a op.Array) (op.Array, error) {
	switch data := a.Data.(type) {
	case []float32:
		a.Data = hide(slices.Clone(data))
	case []int64:
		a.Data = hide(slices.Clone(data))
	default:
		a.Data = hide(a.Data)
	}
	return a, c.fail()
}

func (c cardSteps) Update(dst, src op.Array) error {
	switch data := src.Data.(type) {
	case []float32:
		copy(bring(dst).Data.([]float32), data)
	case []int64:
		copy(bring(dst).Data.([]int64), data)
	}
	return c.fail()
}

func (c cardSteps) Forward(o exec.Operation, out op.Array, in []op.Array) error {
	brought := make([]op.Array, len(in))
	for i := range in {
		brought[i] = bring(in[i])
	}
	return errors.Join(c.kernels.Forward(o, bring(out), brought), c.fail())
}

func (c cardSteps) BFloat16() bool                 { return false }
func (c cardSteps) SetCancel(done <-chan struct{}) { c.kernels.SetCancel(done) }

// runOn computes the losses, logits and gradients of a few examples.
func runOn(t *testing.T, n *Network, d Device, budget int64, examples int) (losses []float64, logits []float32, gradients [][]float32, err error) {
	t.Helper()
	r := NewRunner(n, RunnerOptions{Device: d, BackwardBytes: budget, Threads: 2})
	images, labels := randomBatch(n, examples)
	in, err := r.Device().Import(images)
	if err != nil {
		return nil, nil, nil, err
	}
	sum, err := nn.NewVector(r, n.AllWeights())
	if err != nil {
		return nil, nil, nil, err
	}
	losses, logits = make([]float64, examples), make([]float32, examples*n.Classes)
	if err := r.Evaluate(context.Background(), 0, in, labels, 0.7, losses, logits); err != nil {
		return nil, nil, nil, err
	}
	for range 2 { // a batch's labels and temperature are shared once, then updated
		if err := r.LossGradients(context.Background(), metric.Loss{}, 0, in, labels, 0.7, n.AllWeights(), losses, sum.Add); err != nil {
			return nil, nil, nil, err
		}
	}
	for w := range n.Weights {
		values, err := sum.Values(w)
		if err != nil {
			return nil, nil, nil, err
		}
		gradients = append(gradients, values)
	}
	return losses, logits, gradients, nil
}

// TestOpaqueMemory computes the same bits on a device whose memory the host cannot look
// into, in one span and in many, for full and partial batches.
func TestOpaqueMemory(t *testing.T) {
	for _, name := range fixtureModels {
		n := openFixture(t, name, Options{Batch: 4})
		for _, budget := range []int64{1, 1 << 40} {
			for _, examples := range slices.Compact([]int{n.Batch, max(1, n.Batch-1)}) {
				losses, logits, gradients, err := runOn(t, n, nil, budget, examples)
				if err != nil {
					t.Fatal(err)
				}
				gotLosses, gotLogits, gotGradients, err := runOn(t, n, newCard(), budget, examples)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(gotLosses, losses) || !slices.Equal(gotLogits, logits) || !slices.EqualFunc(gotGradients, gradients, slices.Equal) {
					t.Errorf("%s, budget %d, %d examples: other bits", name, budget, examples)
				}
			}
		}
	}
}

// TestOpaqueMemoryFails lets calls of a device fail: the error comes back, is a
// step's where one has failed, and never says that the model is at fault.
func TestOpaqueMemoryFails(t *testing.T) {
	n := openFixture(t, fixtureModels[0], Options{Batch: 2})
	c := newCard()
	if _, _, _, err := runOn(t, n, c, 1, 2); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for at := 1; at <= c.Device.Calls; at += 1 + at/10 {
		failing := newCard()
		failing.Device.FailAt = at
		_, _, _, err := runOn(t, n, failing, 1, 2)
		if !errors.Is(err, nntest.ErrDevice) {
			t.Errorf("call %d of %d failed: error %v", at, c.Device.Calls, err)
		}
		var model *Error
		if errors.As(err, &model) {
			t.Errorf("call %d of %d failed: an error of the model: %v", at, c.Device.Calls, err)
		}
		var step *exec.StepError
		if errors.As(err, &step) {
			steps++
		}
	}
	if steps == 0 {
		t.Error("no step has failed")
	}
}
