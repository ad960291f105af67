//go:build gpu && linux && cgo

package graph

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// TestKernels: the device itself computes every operation of the zoo's networks
// and of their gradients, but for those listed.
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
				onHost, err := n.OnHost(gpu.HasKernel)
				if err != nil || len(onHost) > 0 {
					t.Errorf("%s: %v, %v", name, onHost, err)
				}
			}
			m.Close()
		}
	}
}

// TestPlansOnDevice: losses and gradients of whole networks, by the same plan on
// the device and on the host.
func TestPlansOnDevice(t *testing.T) {
	for _, name := range fixtureModels {
		t.Run(name, func(t *testing.T) {
			n := openFixture(t, name, Options{Batch: 2})
			host, err := runAll(t, n, exec.NewMachine(kernel.NewContext(1)), func(a op.Array) op.Array { return a })
			if err != nil {
				t.Fatal(err)
			}
			d, m := openDevice(t)
			got, err := runAll(t, n, m, downloader(t, d))
			if err != nil {
				t.Fatal(err)
			}
			for node := range got {
				optest.CloseTo(t, node, got[node], host[node], 1e-4)
			}
		})
	}
}

func openDevice(t *testing.T) (*gpu.Device, *exec.Machine) {
	t.Helper()
	fake.Use(t)
	d, err := gpu.Open(gpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	m := d.NewMachine()
	t.Cleanup(func() {
		m.Close()
		if err := d.Close(); err != nil && !t.Failed() {
			t.Error(err)
		}
		if leaked := fake.Count(fake.Leaked); leaked > 0 {
			t.Errorf("%d allocations of device memory were not freed", leaked)
		}
	})
	return d, m
}

// downloader returns what reads an array of the device.
func downloader(t *testing.T, d *gpu.Device) func(op.Array) op.Array {
	return func(a op.Array) op.Array {
		b := op.NewArray(a.Type)
		if err := d.DownloadArray(b, a); err != nil {
			t.Error(err)
		}
		return b
	}
}

// TestDeviceFaults: what goes wrong on the device is an error of the driver's, with
// the node where it was met, and what is not lost can go on.
func TestDeviceFaults(t *testing.T) {
	n := openFixture(t, "tv-legacy17", Options{Batch: 2})
	for _, k := range []struct {
		name   string
		faults fake.Faults
		is     func(*driver.Error) bool
		atNode bool
	}{
		{"arena", fake.Faults{Alloc: 1}, (*driver.Error).OutOfMemory, false},
		{"launch", fake.Faults{Launch: 40}, func(e *driver.Error) bool { return !e.OutOfMemory() && !e.DeviceLost() }, true},
		{"lost", fake.Faults{Lost: 300}, (*driver.Error).DeviceLost, true},
	} {
		t.Run(k.name, func(t *testing.T) {
			d, m := openDevice(t)
			fake.Set(t, k.faults)
			_, err := runAll(t, n, m, downloader(t, d))
			var e *driver.Error
			if !errors.As(err, &e) || !k.is(e) {
				t.Errorf("found %v", err)
			}
			var step *exec.StepError
			if errors.As(err, &step) != k.atNode || k.atNode && step.Node == "" {
				t.Errorf("found no node in %v", err)
			}
			fake.Set(t, fake.Faults{})
			if _, err := runAll(t, n, m, downloader(t, d)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestDeviceIsCancelled: a run stops when its context is done, and the device can
// be used again.
func TestDeviceIsCancelled(t *testing.T) {
	n := openFixture(t, "tv-legacy17", Options{Batch: 2})
	d, m := openDevice(t)
	s, err := n.compileSpan(wholeSpan(n))
	if err != nil {
		t.Fatal(err)
	}
	bindAll(n, s)
	ctx, cancel := context.WithCancel(context.Background())
	gradients := 0
	err = m.Run(ctx, s.plan, func(*gorgonia.Node, op.Array) error {
		gradients++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || gradients != 1 {
		t.Errorf("error %v after %d gradients", err, gradients)
	}
	if _, err := runAll(t, n, m, downloader(t, d)); err != nil {
		t.Error(err)
	}
}

// runAll returns the losses and gradients of a network, by a name of the node.
func runAll(t *testing.T, n *Network, m *exec.Machine, read func(op.Array) op.Array) (map[string][]float64, error) {
	t.Helper()
	s, err := n.compileSpan(wholeSpan(n))
	if err != nil {
		t.Fatal(err)
	}
	bindAll(n, s)
	results := map[string][]float64{}
	err = m.Run(context.Background(), s.plan, func(node *gorgonia.Node, a op.Array) error {
		results[fmt.Sprint("gradient of weights ", s.gradients[node])] = slices.Clone(read(a).AsFloats())
		return nil
	})
	if err == nil {
		results["losses"] = read(s.plan.Value(s.losses)).AsFloats()
	}
	return results, err
}

// bindAll binds a random batch.
func bindAll(n *Network, s *span) {
	in, labels := randomBatch(n, n.Batch)
	r := NewRunner(n, RunnerOptions{Threads: 1})
	r.bind(s, 0, in)
	r.bindLabels(s, labels, 1)
	s.plan.Bind(s.cotangent, op.Array{Type: s.graph.TypeOf(s.cotangent), Data: r.lossCotangent(len(labels))})
}
