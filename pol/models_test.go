package pol

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// samples are examples held in memory.
type samples struct {
	images [][]float32
	labels []int
	failAt int // the call of Read, from 1, that fails; 0: none
	reads  int
}

func (s *samples) Len() int        { return len(s.images) }
func (s *samples) Label(i int) int { return s.labels[i] }

func (s *samples) Read(i int, dst []float32) error {
	if s.reads++; s.reads == s.failAt {
		return errInjected
	}
	copy(dst, s.images[i])
	return nil
}

// part is the examples lo to hi.
func (s *samples) part(lo, hi int) *samples {
	return &samples{images: s.images[lo:hi], labels: s.labels[lo:hi]}
}

// errInjected is what a model or its examples fail with where a test wants it.
var errInjected = errors.New("injected")

// A call is one call of a model's Advance, Evaluate or LossGradients.
type call struct {
	kind     string // advance, evaluate, gradients
	from, to int
	examples int
	loss     metric.Loss
	want     []int
	invT     float64
}

// weightTable holds the weights of a test model and what is called on it.
type weightTable struct {
	checkpoint [][]float32
	override   map[int][]float32
	calls      []call
	hook       func(number int) error // before call number, from 1; nil: none
}

func newWeightTable(checkpoint ...[]float32) weightTable {
	return weightTable{checkpoint: checkpoint, override: map[int][]float32{}}
}

func (w *weightTable) Weight(i int) []float32 { return w.checkpoint[i] }

func (w *weightTable) Override(i int, v []float32) {
	if v == nil {
		delete(w.override, i)
		return
	}
	w.override[i] = v
}

func (w *weightTable) value(i int) []float32 {
	if v, ok := w.override[i]; ok {
		return v
	}
	return w.checkpoint[i]
}

// record notes a call, which fails if the context has ended or the hook says so.
func (w *weightTable) record(ctx context.Context, c call) error {
	w.calls = append(w.calls, c)
	if w.hook != nil {
		if err := w.hook(len(w.calls)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// perceptron is a chain of affine stages with tanh between them. Stage k has
// weights 2k, its matrix, and 2k+1, its bias. Everything between two necks is
// computed in float64; what crosses a neck is float32, as is the interface.
type perceptron struct {
	weightTable
	sizes []int // of the necks, images and logits included
	batch int
}

func (m *perceptron) Batch() int             { return m.batch }
func (m *perceptron) Classes() int           { return m.sizes[len(m.sizes)-1] }
func (m *perceptron) Necks() int             { return len(m.sizes) }
func (m *perceptron) NeckElements(k int) int { return m.sizes[k] }

// stage computes a stage from weights that read gives.
func (m *perceptron) stage(k int, x []float64, read func(w, i int) float64) []float64 {
	y := make([]float64, m.sizes[k+1])
	for r := range y {
		y[r] = read(2*k+1, r)
		for c, v := range x {
			y[r] += read(2*k, r*len(x)+c) * v
		}
		if k+2 < len(m.sizes) {
			y[r] = math.Tanh(y[r])
		}
	}
	return y
}

// present reads the weights as they are.
func (m *perceptron) present(w, i int) float64 { return float64(m.value(w)[i]) }

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func (m *perceptron) Advance(ctx context.Context, from, to int, in, out []float32) error {
	n := len(in) / m.sizes[from]
	if err := m.record(ctx, call{kind: "advance", from: from, to: to, examples: n}); err != nil {
		return err
	}
	for i := range n {
		x := widen(in[i*m.sizes[from]:][:m.sizes[from]])
		for k := from; k < to; k++ {
			x = m.stage(k, x, m.present)
		}
		for j, v := range x {
			out[i*m.sizes[to]+j] = float32(v)
		}
	}
	return nil
}

// logSoftmax is the logarithm of the softmax of z·invT.
func logSoftmax(z []float64, invT float64) []float64 {
	top := slices.Max(z)
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(invT * (v - top))
	}
	p := make([]float64, len(z))
	for c, v := range z {
		p[c] = invT*(v-top) - math.Log(sum)
	}
	return p
}

func (m *perceptron) Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	if err := m.record(ctx, call{kind: "evaluate", from: from, examples: len(labels), invT: invT}); err != nil {
		return err
	}
	for i, label := range labels {
		z := widen(in[i*m.sizes[from]:][:m.sizes[from]])
		for k := from; k < len(m.sizes)-1; k++ {
			z = m.stage(k, z, m.present)
		}
		losses[i] = -logSoftmax(z, invT)[label]
		if logits != nil {
			for c, v := range z {
				logits[i*len(z)+c] = float32(v)
			}
		}
	}
	return nil
}

// LossGradients knows the cross-entropy, with and without label smoothing.
func (m *perceptron) LossGradients(ctx context.Context, loss metric.Loss, from int, in []float32, labels []int, invT float64, want []int, losses []float64, sink func(int, []float32) error) error {
	if err := m.record(ctx, call{"gradients", from, len(m.sizes) - 1, len(labels), loss, want, invT}); err != nil {
		return err
	}
	epsilon := 0.0
	if text, ok := strings.CutPrefix(loss.String(), "smooth:"); ok {
		epsilon, _ = strconv.ParseFloat(text, 64)
	}
	sums := make([][]float64, len(m.checkpoint))
	for w := range sums {
		sums[w] = make([]float64, len(m.checkpoint[w]))
	}
	last := len(m.sizes) - 1
	for i, label := range labels {
		values := make([][]float64, last+1) // at the necks
		values[from] = widen(in[i*m.sizes[from]:][:m.sizes[from]])
		for k := from; k < last; k++ {
			values[k+1] = m.stage(k, values[k], m.present)
		}
		log := logSoftmax(values[last], invT)
		delta := make([]float64, len(log)) // of the loss by the stage's affine output
		l := 0.0
		for c := range log {
			target := epsilon / float64(len(log))
			if c == label {
				target += 1 - epsilon
			}
			l -= target * log[c]
			delta[c] = invT * (math.Exp(log[c]) - target)
		}
		if losses != nil {
			losses[i] = l
		}
		for k := last - 1; k >= from; k-- {
			x := values[k]
			below := make([]float64, len(x))
			for r, d := range delta {
				sums[2*k+1][r] += d
				for c, v := range x {
					sums[2*k][r*len(x)+c] += d * v
					below[c] += d * m.present(2*k, r*len(x)+c)
				}
			}
			for c, v := range x {
				below[c] *= 1 - v*v
			}
			delta = below
		}
	}
	for _, w := range want {
		if w/2 < from {
			panic(fmt.Sprintf("weight %d is used below neck %d", w, from))
		}
		g := make([]float32, len(sums[w]))
		for j, v := range sums[w] {
			g[j] = float32(v)
		}
		if err := sink(w, g); err != nil {
			return err
		}
	}
	return nil
}

// newPerceptron returns an over-confident model of three stages, its layers,
// and examples on which it is right more often than not.
func newPerceptron(examples int) (*perceptron, []diag.Layer, *samples) {
	sizes := []int{5, 7, 6, 3}
	random := rand.New(rand.NewPCG(3, 1))
	normal := func(n int, scale float64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(scale * random.NormFloat64())
		}
		return v
	}
	m := &perceptron{sizes: sizes, batch: 7, weightTable: newWeightTable(
		normal(7*5, 0.6), normal(7, 0.3), normal(6*7, 0.7), normal(6, 0.3), normal(3*6, 1.5), normal(3, 0.3))}
	s := &samples{}
	for range examples {
		x := normal(sizes[0], 1)
		z := widen(x)
		for k := range 3 {
			z = m.stage(k, z, m.present)
		}
		for c := range z {
			z[c] += 2 * random.NormFloat64()
		}
		s.images, s.labels = append(s.images, x), append(s.labels, slices.Index(z, slices.Max(z)))
	}
	var layers []diag.Layer
	for k, name := range []string{"low", "middle", "head"} {
		layers = append(layers, diag.Layer{Name: name, Index: k, Weights: []int{2 * k, 2*k + 1}, Parameters: sizes[k+1] * (sizes[k] + 1), Neck: k})
	}
	return m, layers, s
}

// newProblem is a perceptron with its layers and three sets of examples, of
// which no number is a multiple of the model's batch.
func newProblem() (*perceptron, []diag.Layer, Data) {
	m, layers, s := newPerceptron(40 + 25 + 30)
	return m, layers, Data{Train: s.part(0, 40), Validation: s.part(40, 65), Holdout: s.part(65, 95)}
}

// smallOptions suit the sets of newProblem: 3 steps an epoch.
func smallOptions() Options {
	return Options{
		Epochs: 3, Batch: 12, PerturbBatch: 17, Rate: 0.05, Momentum: 0.9, WeightDecay: 5e-4, Schedule: Cosine,
		RateFactor: 1, GammaMax: 2, Rho: 0.05, PerturbEvery: 1, Seed: 1, Temperature: 1,
	}
}

// recipe returns a recipe by name.
func recipe(t testing.TB, name string) Recipe {
	t.Helper()
	r, err := FindRecipe(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// plans are the recipes that train on the layers of newProblem, and pol with
// its layers in every order.
func plans(t testing.TB, layers []diag.Layer) map[string]Plan {
	low, middle, head := layers[:1], layers[1:2], layers[2:]
	return map[string]Plan{
		"sgd":            {recipe(t, "sgd"), nil, layers},
		"sam":            {recipe(t, "sam"), layers, layers},
		"pof":            {recipe(t, "pof"), head, layers[:2]},
		"pol below":      {recipe(t, "pol"), low, head},
		"pol above":      {recipe(t, "pol"), head, middle},
		"pol same layer": {recipe(t, "pol"), middle, middle},
	}
}

// treat runs a treatment that must not fail.
func treat(t testing.TB, m nntest.Slices, data Data, plan Plan, opt Options) *Result {
	t.Helper()
	r, err := Treat(t.Context(), nntest.On(m), data, plan, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// untouched fails unless a model reads its checkpoint, and the checkpoint is
// what it was when the function was made.
func untouched(m *weightTable) func(t testing.TB) {
	saved := make([][]float32, len(m.checkpoint))
	for w, v := range m.checkpoint {
		saved[w] = slices.Clone(v)
	}
	return func(t testing.TB) {
		t.Helper()
		if len(m.override) > 0 {
			t.Errorf("weights %v are left in the place of the checkpoint's", m.override)
		}
		for w, v := range m.checkpoint {
			if !slices.Equal(v, saved[w]) {
				t.Errorf("the checkpoint's weight %d has changed", w)
			}
		}
	}
}

// sameWeights compares weights bit for bit; none of them is NaN.
func sameWeights(a, b map[int][]float32) bool {
	if len(a) != len(b) {
		return false
	}
	for w, v := range a {
		if other, ok := b[w]; !ok || !slices.Equal(v, other) {
			return false
		}
	}
	return true
}

// near fails the test unless got is within tolerance of want.
func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %v, want %v ± %v", what, got, want, tolerance)
	}
}

// expectEmpty fails if a folder has any file.
func expectEmpty(t testing.TB, folder string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Errorf("stray file %s", f.Name())
	}
}
