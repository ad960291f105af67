// Package nntest makes models of slices, for tests.
package nntest

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Slices is a model that computes with slices. Its methods are those of an
// [nn.Model] of the same names, of which Weight is the checkpoint.
type Slices interface {
	Batch() int
	Classes() int
	Necks() int
	NeckElements(k int) int
	Weight(i int) []float32
	Override(i int, w []float32)
	Advance(ctx context.Context, from, to int, in, out []float32) error
	Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error
	LossGradients(ctx context.Context, loss metric.Loss, from int, in []float32, labels []int, invT float64, want []int, losses []float64, sink func(weight int, g []float32) error) error
}

// On returns a model on the host that computes as s does.
func On(s Slices) nn.Model { return model{s, host} }

// OnDevice returns one whose memory is d's, for which the slices are brought to the host
// and back. What is imported for its checkpoint is never freed.
func OnDevice(s Slices, d nn.Device) nn.Model {
	return &remote{model{s, d}, map[int]nn.Memory{}, map[int]nn.Memory{}}
}

// OnBackend is On where d is nil, and else OnDevice, for a device that is to be left as it
// was found: the checkpoint is freed when the test ends.
func OnBackend(tb testing.TB, s Slices, d nn.Device) nn.Model {
	if d == nil {
		return On(s)
	}
	m := OnDevice(s, d).(*remote)
	tb.Cleanup(func() {
		for _, w := range m.checkpoint {
			d.Free(w)
		}
	})
	return m
}

// InFloat32 is s with losses as a network computes them, and as they come back from a
// device: rounded to float32.
func InFloat32(s Slices) Slices { return rounded{s} }

type rounded struct{ Slices }

func (r rounded) Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	defer round(losses)
	return r.Slices.Evaluate(ctx, from, in, labels, invT, losses, logits)
}

func (r rounded) LossGradients(ctx context.Context, loss metric.Loss, from int, in []float32, labels []int, invT float64, want []int, losses []float64, sink func(weight int, g []float32) error) error {
	defer round(losses)
	return r.Slices.LossGradients(ctx, loss, from, in, labels, invT, want, losses, sink)
}

func round(losses []float64) {
	for i, l := range losses {
		losses[i] = float64(float32(l))
	}
}

type model struct {
	Slices
	device nn.Device
}

// slice looks into the host's memory; nil is nil.
func slice(m nn.Memory) []float32 {
	v, _ := m.([]float32)
	return v
}

func (m model) WeightElements(i int) int { return len(m.Weight(i)) }

func (m model) Device() nn.Device { return m.device }

func (m model) Threads() int { return 1 }

func (m model) Checkpoint(i int) (nn.Memory, error) { return m.Weight(i), nil }

func (m model) Override(i int, w nn.Memory) { m.Slices.Override(i, slice(w)) }

func (m model) Advance(ctx context.Context, from, to int, in, out nn.Memory, examples int) error {
	// Of its own, because out may overlap in.
	computed := make([]float32, examples*m.NeckElements(to))
	err := m.Slices.Advance(ctx, from, to, slice(in)[:examples*m.NeckElements(from)], computed)
	copy(slice(out), computed)
	return err
}

func (m model) Evaluate(ctx context.Context, from int, in nn.Memory, labels []int, invT float64, losses []float64, logits []float32) error {
	return m.Slices.Evaluate(ctx, from, slice(in), labels, invT, losses, logits)
}

func (m model) Losses(ctx context.Context, from int, in nn.Memory, labels []int, invT float64, losses, logits nn.Memory) error {
	computed := make([]float64, len(labels))
	err := m.Slices.Evaluate(ctx, from, slice(in), labels, invT, computed, slice(logits))
	for i, l := range computed {
		slice(losses)[i] = float32(l)
	}
	return err
}

func (m model) LossGradients(ctx context.Context, loss metric.Loss, from int, in nn.Memory, labels []int, invT float64, want []int, losses []float64, sink func(weight int, g nn.Memory) error) error {
	return m.Slices.LossGradients(ctx, loss, from, slice(in), labels, invT, want, losses, func(w int, g []float32) error {
		return sink(w, g)
	})
}

// remote is a model whose memory is a device's.
type remote struct {
	model
	checkpoint, override map[int]nn.Memory
}

func (r *remote) Checkpoint(i int) (nn.Memory, error) {
	if r.checkpoint[i] == nil {
		m, err := r.device.Import(r.Weight(i))
		if err != nil {
			return nil, err
		}
		r.checkpoint[i] = m
	}
	return r.checkpoint[i], nil
}

// Override keeps the memory, whose content counts when something is computed.
func (r *remote) Override(i int, w nn.Memory) {
	if w == nil {
		delete(r.override, i)
		r.Slices.Override(i, nil)
		return
	}
	r.override[i] = w
}

// bring downloads elements, and the weights with which they are to be used.
func (r *remote) bring(m nn.Memory, elements int) ([]float32, error) {
	for _, i := range slices.Sorted(maps.Keys(r.override)) {
		w := make([]float32, len(r.Weight(i)))
		if err := r.device.Download(w, r.override[i]); err != nil {
			return nil, err
		}
		r.Slices.Override(i, w)
	}
	values := make([]float32, elements)
	if elements == 0 {
		return values, nil
	}
	return values, r.device.Download(values, m)
}

func (r *remote) Advance(ctx context.Context, from, to int, in, out nn.Memory, examples int) error {
	x, err := r.bring(in, examples*r.NeckElements(from))
	if err != nil {
		return err
	}
	computed := make([]float32, examples*r.NeckElements(to))
	if err := r.Slices.Advance(ctx, from, to, x, computed); err != nil {
		return err
	}
	return r.device.Upload(out, computed)
}

func (r *remote) Evaluate(ctx context.Context, from int, in nn.Memory, labels []int, invT float64, losses []float64, logits []float32) error {
	x, err := r.bring(in, len(labels)*r.NeckElements(from))
	if err != nil {
		return err
	}
	return r.Slices.Evaluate(ctx, from, x, labels, invT, losses, logits)
}

func (r *remote) Losses(ctx context.Context, from int, in nn.Memory, labels []int, invT float64, losses, logits nn.Memory) error {
	computed, single := make([]float64, len(labels)), make([]float32, len(labels))
	var z []float32
	if logits != nil {
		z = make([]float32, len(labels)*r.Classes())
	}
	if err := r.Evaluate(ctx, from, in, labels, invT, computed, z); err != nil {
		return err
	}
	for i, l := range computed {
		single[i] = float32(l)
	}
	if err := r.device.Upload(losses, single); err != nil || logits == nil {
		return err
	}
	return r.device.Upload(logits, z)
}

func (r *remote) LossGradients(ctx context.Context, loss metric.Loss, from int, in nn.Memory, labels []int, invT float64, want []int, losses []float64, sink func(weight int, g nn.Memory) error) error {
	x, err := r.bring(in, len(labels)*r.NeckElements(from))
	if err != nil {
		return err
	}
	return r.Slices.LossGradients(ctx, loss, from, x, labels, invT, want, losses, func(w int, g []float32) error {
		m, err := r.device.Import(g)
		if err != nil {
			return err
		}
		defer r.device.Free(m)
		return sink(w, m)
	})
}
