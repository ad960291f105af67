package graph

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestAllocations says that what a diagnosis and a treatment do thousands of times allocates
// nothing, from the second time on.
func TestAllocations(t *testing.T) {
	const batch = 64 // several tasks a kernel
	networks := map[string]*Network{"ViT": openFixture(t, "vit-cifar100", Options{Batch: batch})}
	for name, net := range map[string]func() *onnxtest.Builder{"VGG": vgg, "ResNet": resnet, "MobileNet": mobilenet} {
		n, err := Build(parse(t, net()), Options{Batch: batch})
		if err != nil {
			t.Fatal(err)
		}
		networks[name] = n
	}
	ctx := context.Background()
	ignore := func(int, nn.Memory) error { return nil }
	for name, n := range networks {
		images, labels := randomBatch(n, batch)
		losses, logits := make([]float64, batch), make([]float32, batch*n.Classes)
		blocks := n.Layers(ByBlock)
		block, all := blocks[len(blocks)/2].Weights, n.AllWeights()
		for _, opt := range []RunnerOptions{{Threads: 1}, {Threads: 2}, {Threads: 2, BackwardBytes: 1}} {
			r := newRunner(t, n, opt)
			in := imported(t, r, images)
			for what, step := range map[string]func() error{
				"losses": func() error { return r.Evaluate(ctx, 0, in, labels, 1, losses, logits) },
				"gradients of a block": func() error {
					return r.LossGradients(ctx, metric.Loss{}, 0, in, labels, 1, block, losses, ignore)
				},
				"gradients of all weights": func() error {
					return r.LossGradients(ctx, metric.Loss{}, 0, in, labels, 1, all, nil, ignore)
				},
			} {
				t.Run(fmt.Sprintf("%s/%d threads/%d bytes/%s", name, opt.Threads, opt.BackwardBytes, what), func(t *testing.T) {
					if got := steadyAllocations(t, step); got != 0 {
						t.Errorf("%v allocations", got)
					}
				})
			}
		}
	}
}

// steadyAllocations is the least number of allocations in many runs of a step: how many buffers
// are in use at once depends on when threads come, and so it may be some steps before all are there.
func steadyAllocations(t *testing.T, step func() error) uint64 {
	least := uint64(math.MaxUint64)
	for range 50 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := step(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if least = min(least, after.Mallocs-before.Mallocs); least == 0 {
			break
		}
	}
	return least
}
