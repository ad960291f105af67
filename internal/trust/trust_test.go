package main

import (
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
)

const fixture = "../../fixtures/vit-cifar100/model.onnx"

// sampleStudy is a study of the fixture on the built-in sample.
func sampleStudy(t *testing.T, direction diag.Direction) *study {
	t.Helper()
	set, err := cifar.Sample().Split(dataset.Validation)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStudy(set, fixture, "cpu", setting{direction: direction})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestMoves: the four moves, computed again, give each image of V the gains that
// the diagnosis has counted.
func TestMoves(t *testing.T) {
	for _, direction := range []diag.Direction{diag.Line, diag.Balanced} {
		s := sampleStudy(t, direction)
		s.layers = s.layers[len(s.layers)-2:]
		made, err := s.diagnoses(t.Context(), draw{sets: 1, size: 98, seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		r := made[0].report
		v := s.images.part(made[0].images)
		mv, err := newMoves(t.Context(), s.runner, v, s.layers, s.direction, r.Temperature)
		if err != nil {
			t.Fatal(err)
		}
		defer mv.free()
		for i, l := range s.layers {
			gains, moved := make([]float64, v.Len()), 0
			for _, m := range mv.of(r.Layers[i].Transfer.Steps) {
				if m.length == 0 {
					continue
				}
				moved++
				images := open(s.runner, v, m.counted, nil)
				before, err := mv.losses(t.Context(), images, l, move{})
				if err != nil {
					t.Fatal(err)
				}
				after, err := mv.losses(t.Context(), images, l, m)
				if err != nil {
					t.Fatal(err)
				}
				for k, p := range m.counted {
					gains[p] = before[k] - after[k]
				}
			}
			if got, want := metric.Mean(gains), r.Layers[i].Transfer.Gain.Mean; math.Abs(got-want) > 1e-6 || moved == 0 {
				t.Errorf("%v, %s: %d moves gain %v, the report says %v", direction, l.Name, moved, got, want)
			}
		}
	}
}

// TestGain: the gain on images weighs the moves as the transfer figure does.
func TestGain(t *testing.T) {
	s := sampleStudy(t, diag.Line)
	l := s.layers[len(s.layers)-1]
	s.layers = s.layers[len(s.layers)-1:]
	made, err := s.diagnoses(t.Context(), draw{sets: 1, size: 98, seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	r := made[0].report
	mv, err := newMoves(t.Context(), s.runner, s.images.part(made[0].images), s.layers, s.direction, r.Temperature)
	if err != nil {
		t.Fatal(err)
	}
	defer mv.free()
	images := open(s.runner, s.images, without(s.images.Len(), made[0].images)[:50], nil)
	start, err := mv.losses(t.Context(), images, l, move{})
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for _, m := range mv.of(r.Layers[0].Transfer.Steps) {
		losses, err := mv.losses(t.Context(), images, l, m)
		if err != nil {
			t.Fatal(err)
		}
		want += float64(len(m.counted)) / 98 * (metric.Mean(start) - metric.Mean(losses))
	}
	got, err := mv.gain(t.Context(), images, l, r.Layers[0].Transfer.Steps, start)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.Mean-want) > 1e-9 || want == 0 || !(got.SE > 0) {
		t.Errorf("gain %+v, want %v", got, want)
	}
}

// TestReplaced: a model whose classifier is twice as large has twice the logits,
// also after its weights were moved and restored, and none of it stays behind.
func TestReplaced(t *testing.T) {
	s := sampleStudy(t, diag.Line)
	weights, err := s.network.LogitScale()
	if err != nil {
		t.Fatal(err)
	}
	loss := func(invT float64) float64 {
		losses := make([]float64, 20)
		images := open(s.runner, s.images, without(20, nil), nil)
		if err := images.Evaluate(t.Context(), 0, invT, losses, nil, func(int) {}); err != nil {
			t.Fatal(err)
		}
		return metric.Mean(losses)
	}
	once, twice := loss(1), loss(2)
	values := map[int][]float32{}
	for _, w := range weights {
		for _, x := range s.runner.Weight(w) {
			values[w] = append(values[w], 2*x)
		}
	}
	m, err := replace(s.runner, values)
	if err != nil {
		t.Fatal(err)
	}
	zero, err := m.Device().Alloc(len(values[weights[0]]))
	if err != nil {
		t.Fatal(err)
	}
	m.Override(weights[0], zero)
	if moved := loss(1); moved == twice || moved == once {
		t.Errorf("loss %v with a moved weight", moved)
	}
	m.Override(weights[0], nil)
	if got := loss(1); math.Abs(got-twice) > 1e-6 || math.Abs(got-once) < 0.1 {
		t.Errorf("loss %v, want %v and not %v", got, twice, once)
	}
	if c, err := m.Checkpoint(weights[0]); err != nil || !slices.Equal(m.Device().InPlace(c), values[weights[0]]) {
		t.Errorf("checkpoint %v, error %v", c, err)
	}
	m.restore()
	if got := loss(1); got != once {
		t.Errorf("loss %v after all, was %v", got, once)
	}
}

// TestHeal: a layer that has been trained gains next to nothing on its training images, in a
// model of its own.
func TestHeal(t *testing.T) {
	s := sampleStudy(t, diag.Line)
	_, found, err := s.network.FindLayer("norm")
	if err != nil {
		t.Fatal(err)
	}
	layer, training := diagLayer(found), s.images.sample(400)
	before, err := s.diagnose(t.Context(), s.runner, training, []diag.Layer{layer})
	if err != nil {
		t.Fatal(err)
	}
	m, gain, rounds, err := s.heal(t.Context(), layer, training)
	if err != nil {
		t.Fatal(err)
	}
	m.restore()
	if was := before.Layers[0].DeltaLoss; !(gain < healed) || was < 10*healed {
		t.Errorf("ΔL %.2g nats after %d rounds, before %.2g", gain, rounds, was)
	}
	after, err := s.diagnose(t.Context(), s.runner, training, []diag.Layer{layer})
	if err != nil || after.Layers[0].DeltaLoss != before.Layers[0].DeltaLoss {
		t.Errorf("the study's own model has changed: %v, error %v", after.Layers[0].DeltaLoss, err)
	}
}

// TestDraws: sets of a draw are disjoint, of their size, and what is without them
// is the rest; the seed decides on them.
func TestDraws(t *testing.T) {
	const n = 50
	labels := make([]int, n)
	for i := range labels {
		labels[i] = i * i % 3
	}
	d := draw{sets: 4, size: 12, seed: 7}
	seen := map[int]bool{}
	for _, part := range d.parts(labels) {
		if len(part) != d.size || !slices.IsSorted(part) {
			t.Errorf("part %v", part)
		}
		rest := without(n, part)
		if len(rest) != n-d.size {
			t.Errorf("%d are left", len(rest))
		}
		for _, i := range part {
			if seen[i] || slices.Contains(rest, i) {
				t.Errorf("image %d is used twice", i)
			}
			seen[i] = true
		}
	}
	other := d
	other.seed++
	if again := d.parts(labels); !slices.Equal(again[3], d.parts(labels)[3]) || slices.Equal(again[3], other.parts(labels)[3]) {
		t.Error("the seed does not decide")
	}
}

// TestStratified: each set has as many images of every class as the others, to
// within one.
func TestStratified(t *testing.T) {
	labels := make([]int, 60) // of class 2 twice as many as of 0 and 1
	for i := range labels {
		labels[i] = min(i%4, 2)
	}
	seen := map[int]bool{}
	parts := draw{sets: 5, size: 12, seed: 7, stratified: true}.parts(labels)
	for _, part := range parts {
		var count [3]int
		for _, i := range part {
			count[labels[i]]++
			seen[i] = true
		}
		if count != [3]int{3, 3, 6} || !slices.IsSorted(part) {
			t.Errorf("part %v has %v images of the classes", part, count)
		}
	}
	if len(parts) != 5 || len(seen) != 60 {
		t.Errorf("%d sets with %d different images", len(parts), len(seen))
	}
}

// TestCompare counts intervals by where the target lies.
func TestCompare(t *testing.T) {
	var c counts
	gain := metric.NormalEstimate(0, 1) // ± 1.96
	for _, target := range []metric.Estimate{
		metric.NormalEstimate(1.9, 0), metric.NormalEstimate(-1.9, 0), metric.NormalEstimate(2, 0.1), metric.NormalEstimate(2, 1),
		metric.NormalEstimate(-3, 0), metric.NormalEstimate(-2.5, 1),
	} {
		c.compare(gain, target)
	}
	if want := (counts{intervals: 6, held: 2, tooHigh: 2, heldByBoth: 4}); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}
