// Package nntest makes models of slices, for tests.
package nntest

import (
	"context"

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

// OnDevice returns one whose memory is d's. What is imported for its checkpoint is
// never freed.
func OnDevice(s Slices, d Device) nn.Model { return &remote{model{s, d}, map[int]nn.Memory{}} }

type model struct {
	Slices
	device nn.Device
}

// slice looks into memory of either device; nil is nil.
func slice(m nn.Memory) []float32 {
	if b, ok := m.(*Block); ok {
		return b.Values
	}
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

func (m model) Losses(ctx context.Context, from int, in nn.Memory, labels []int, invT float64, losses nn.Memory) error {
	computed := make([]float64, len(labels))
	err := m.Slices.Evaluate(ctx, from, slice(in), labels, invT, computed, nil)
	for i, l := range computed {
		slice(losses)[i] = float32(l)
	}
	return err
}

func (m model) LossGradients(ctx context.Context, loss metric.Loss, from int, in nn.Memory, labels []int, invT float64, want []int, losses []float64, sink func(weight int, g nn.Memory) error) error {
	return m.Slices.LossGradients(ctx, loss, from, slice(in), labels, invT, want, losses, func(w int, g []float32) error {
		if _, ok := m.device.(Device); ok {
			return sink(w, &Block{g})
		}
		return sink(w, g)
	})
}

// remote is a model whose checkpoint is on a device, too.
type remote struct {
	model
	checkpoint map[int]nn.Memory
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
