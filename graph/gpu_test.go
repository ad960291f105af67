//go:build gpu && linux && cgo

package graph

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// onHost are the models of the zoo with operations that have no kernel.
var onHost = map[string][]string{"hf-vit-legacy14-quantdyn": {"FakeDynamicQuantize", "DynamicProduct"}}

// TestKernels: the device itself computes every operation of the zoo's networks
// and of their gradients, but for those that are listed.
func TestKernels(t *testing.T) {
	for _, root := range []string{filepath.Join("..", "fixtures"), shareddata.Path(t, "zoo")} {
		paths, err := filepath.Glob(filepath.Join(root, "*", "model.onnx"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no models in %s: %v", root, err)
		}
		for _, path := range paths {
			m, err := onnx.Open(path)
			if err != nil {
				continue // one that is to be refused
			}
			if n, err := Build(m, Options{Batch: 2}); err == nil {
				name := filepath.Base(filepath.Dir(path))
				found, err := n.OnHost(gpu.HasKernel)
				for _, o := range found {
					if operation, _, _ := strings.Cut(o, " "); !slices.Contains(onHost[name], operation) {
						t.Errorf("%s: %s", name, o)
					}
				}
				if err != nil || len(found) != len(onHost[name]) {
					t.Errorf("%s: %d operations on the host, error %v", name, len(found), err)
				}
			}
			m.Close()
		}
	}
}

// TestGPU: losses, logits and gradients of whole networks on the device and on
// the host, in one span and in several, of a whole batch and of a partial one.
func TestGPU(t *testing.T) {
	for _, name := range fixtureModels {
		t.Run(name, func(t *testing.T) {
			n, d := openFixture(t, name, Options{Batch: 3}), testdevice.Open(t, gpu.Options{Threads: 1})
			for _, opt := range []RunnerOptions{{}, {BackwardBytes: 1}} {
				in, labels := randomBatch(n, max(1, n.Batch-1))
				opt.Threads = 1
				want, err := run(t.Context(), n, opt, in, labels)
				if err != nil {
					t.Fatal(err)
				}
				opt.Device = d
				got, err := run(t.Context(), n, opt, in, labels)
				if err != nil {
					t.Fatal(err)
				}
				testdevice.CloseTo(t, "losses", got.losses, want.losses, testdevice.Network)
				closeTo(t, "logits", got.logits, want.logits)
				for w, g := range want.grads {
					closeTo(t, fmt.Sprint("gradient of weight ", w), got.grads[w], g)
				}
			}
		})
	}
}

func closeTo(t *testing.T, what string, got, want []float32) {
	t.Helper()
	testdevice.CloseTo(t, what, op.Floats(got, len(got)).AsFloats(), op.Floats(want, len(want)).AsFloats(), testdevice.Network)
}

// TestGPUFaults: what goes wrong on the device is an error of the driver's, with
// the node where it was met, and what is not lost can go on.
func TestGPUFaults(t *testing.T) {
	n := openFixture(t, "tv-legacy17", Options{Batch: 2})
	in, labels := randomBatch(n, 2)
	for _, k := range []struct {
		name   string
		faults fake.Faults
		is     func(*driver.Error) bool
		atNode bool
	}{
		{"images", fake.Faults{Alloc: 1}, (*driver.Error).OutOfMemory, false},
		{"weights", fake.Faults{Alloc: 4}, (*driver.Error).OutOfMemory, false},
		{"launch", fake.Faults{Launch: 60}, func(e *driver.Error) bool { return !e.OutOfMemory() && !e.DeviceLost() }, true},
		{"lost", fake.Faults{Lost: 180}, (*driver.Error).DeviceLost, true},
	} {
		t.Run(k.name, func(t *testing.T) {
			d := testdevice.Open(t, gpu.Options{Threads: 1})
			fake.Set(t, k.faults)
			_, err := run(t.Context(), n, RunnerOptions{Device: d}, in, labels)
			var e *driver.Error
			if !errors.As(err, &e) || !k.is(e) {
				t.Errorf("found %v", err)
			}
			var step *exec.StepError
			if errors.As(err, &step) != k.atNode || k.atNode && step.Node == "" {
				t.Errorf("found no node, or one too many, in %v", err)
			}
			fake.Set(t, fake.Faults{})
			if _, err := run(t.Context(), n, RunnerOptions{Device: d}, in, labels); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestGPUIsCancelled: a run stops when its context is done, and the device can
// be used again.
func TestGPUIsCancelled(t *testing.T) {
	n := openFixture(t, "tv-legacy17", Options{Batch: 2})
	in, labels := randomBatch(n, 2)
	d := testdevice.Open(t, gpu.Options{Threads: 1})
	ctx, cancel := context.WithCancel(t.Context())
	r := NewRunner(n, RunnerOptions{Device: d})
	defer r.Close()
	images, err := d.Import(in)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Free(images)
	gradients := 0
	err = r.LossGradients(ctx, metric.Loss{}, 0, images, labels, 1, n.AllWeights(), nil, func(int, nn.Memory) error {
		gradients++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || gradients != 1 {
		t.Errorf("error %v after %d gradients", err, gradients)
	}
	if _, err := run(t.Context(), n, RunnerOptions{Device: d}, in, labels); err != nil {
		t.Error(err)
	}
}

// TestGPUGoesOn: losses and logits of many batches, the last of them partial, are those
// of each batch by itself, and the host waits for the device twice, however many there are.
func TestGPUGoesOn(t *testing.T) {
	n := openFixture(t, "tv-legacy17", Options{Batch: 3})
	in, all := randomBatch(n, 3)
	d := testdevice.Open(t, gpu.Options{Threads: 1})
	r := NewRunner(n, RunnerOptions{Device: d})
	defer r.Close()
	const count = 8
	images := fewImages{in: in, size: r.NeckElements(0), labels: make([]int, count)}
	order := make([]int, count)
	for i := range order {
		order[i], images.labels[i] = i, all[i%2]
	}
	a := nn.Open(r, images, order, nn.Holding{Images: true})
	defer a.Close()
	if err := a.Load(t.Context(), func(int) {}); err != nil {
		t.Fatal(err)
	}
	for _, logits := range [][]float32{make([]float32, count*n.Classes), nil} {
		losses, want := make([]float64, count), make([]float64, count)
		wantLogits := make([]float32, count*n.Classes)
		for lo := 0; lo < count; lo += 3 {
			hi := min(lo+3, count)
			batch, err := d.Import(images.at(lo, hi))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Evaluate(t.Context(), 0, batch, images.labels[lo:hi], 0.5, want[lo:hi], wantLogits[lo*n.Classes:hi*n.Classes]); err != nil {
				t.Fatal(err)
			}
			d.Free(batch)
		}
		before, done := fake.Count(fake.Downloads), 0
		if err := a.Evaluate(t.Context(), 0, 0.5, losses, logits, func(examples int) { done += examples }); err != nil {
			t.Fatal(err)
		}
		waits := 1
		if logits != nil {
			waits = 2
		}
		if got := fake.Count(fake.Downloads) - before; !fake.Real() && got != waits {
			t.Errorf("the host waited %d times, expected %d", got, waits)
		}
		if !slices.Equal(losses, want) || logits != nil && !slices.Equal(logits, wantLogits) || done != count {
			t.Errorf("%d examples: losses %v, want %v", done, losses, want)
		}
	}
}

// fewImages are some images in turn.
type fewImages struct {
	in     []float32
	size   int
	labels []int
}

func (f fewImages) Len() int        { return len(f.labels) }
func (f fewImages) Label(i int) int { return f.labels[i] }
func (f fewImages) Read(i int, dst []float32) error {
	copy(dst, f.at(i, i+1))
	return nil
}

// at is the images lo to hi.
func (f fewImages) at(lo, hi int) (all []float32) {
	for i := lo; i < hi; i++ {
		k := i * f.size % len(f.in)
		all = append(all, f.in[k:k+f.size]...)
	}
	return all
}
