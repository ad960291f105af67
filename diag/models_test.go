package diag

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/vec"
	"github.com/modeldoctor/modeldoctor/metric"
)

// samples are examples held in memory.
type samples struct {
	images [][]float32
	labels []int
	reads  int
}

func (s *samples) Len() int        { return len(s.images) }
func (s *samples) Label(i int) int { return s.labels[i] }
func (s *samples) Read(i int, dst []float32) error {
	s.reads++
	copy(dst, s.images[i])
	return nil
}

// weightTable keeps the weights of a test model.
type weightTable struct {
	checkpoint [][]float32
	override   map[int][]float32
}

func newWeightTable(checkpoint ...[]float32) weightTable {
	return weightTable{checkpoint, map[int][]float32{}}
}

func (w weightTable) Weight(i int) []float32 { return w.checkpoint[i] }

func (w weightTable) Override(i int, v []float32) {
	if v == nil {
		delete(w.override, i)
		return
	}
	w.override[i] = v
}

func (w weightTable) value(i int) []float32 {
	if v, ok := w.override[i]; ok {
		return v
	}
	return w.checkpoint[i]
}

// quadratic is a chain of two stages. The loss of an example is the first
// element of its image plus ½h‖w_0‖² from the first stage and ½h‖w_1‖² from the
// second: a quadratic in each layer's weights, with curvature h in every
// direction, and the same minimiser for all examples.
type quadratic struct {
	weightTable
	h float64
}

func (m *quadratic) Batch() int           { return 3 }
func (m *quadratic) Classes() int         { return 2 }
func (m *quadratic) Necks() int           { return 3 }
func (m *quadratic) NeckElements(int) int { return 1 }

func (m *quadratic) stage(i int) float64 {
	v := m.value(i)
	return m.h / 2 * vec.Dot(v, v)
}

func (m *quadratic) Advance(_ context.Context, from, to int, in, out []float32) error {
	copy(out, in) // the losses of the stages are added in Evaluate, in float64
	return nil
}

func (m *quadratic) Evaluate(_ context.Context, _ int, in []float32, labels []int, _ float64, losses []float64, logits []float32) error {
	for i := range labels {
		losses[i] = float64(in[i]) + m.stage(0) + m.stage(1)
		if logits != nil {
			logits[2*i+labels[i]], logits[2*i+1-labels[i]] = 1, 0
		}
	}
	return nil
}

func (m *quadratic) LossGradients(_ context.Context, _ metric.Loss, _ int, in []float32, labels []int, _ float64, want []int, _ []float64, sink func(int, []float32) error) error {
	for _, w := range want {
		g := make([]float32, len(m.value(w)))
		for j, v := range m.value(w) {
			g[j] = float32(m.h * float64(v) * float64(len(labels)))
		}
		if err := sink(w, g); err != nil {
			return err
		}
	}
	return nil
}

// perceptron is a network of two stages, a = tanh(W₁x + b₁) and z = W₂a + b₂,
// computed in float64. Its weights are W₁, b₁, W₂, b₂ in this order.
type perceptron struct {
	weightTable
	inputs, hidden, classes, batch int
}

func (m *perceptron) Batch() int             { return m.batch }
func (m *perceptron) Classes() int           { return m.classes }
func (m *perceptron) Necks() int             { return 3 }
func (m *perceptron) NeckElements(k int) int { return [3]int{m.inputs, m.hidden, m.classes}[k] }

func affine(w, b, x []float32, rows int) []float64 {
	y := make([]float64, rows)
	for r := range y {
		y[r] = float64(b[r]) + vec.Dot(w[r*len(x):][:len(x)], x)
	}
	return y
}

func (m *perceptron) activate(x []float32) []float32 {
	a := make([]float32, m.hidden)
	for j, y := range affine(m.value(0), m.value(1), x, m.hidden) {
		a[j] = float32(math.Tanh(y))
	}
	return a
}

func (m *perceptron) Advance(ctx context.Context, from, to int, in, out []float32) error {
	for i := range len(in) / m.NeckElements(from) {
		x := in[i*m.NeckElements(from):][:m.NeckElements(from)]
		if from == 0 {
			x = m.activate(x)
		}
		copy(out[i*m.NeckElements(to):], x)
	}
	return ctx.Err()
}

// forward returns the activations above neck 1, the logits and the softmax of
// logits·invT.
func (m *perceptron) forward(from int, x []float32, invT float64) (a []float32, z, p []float64) {
	if a = x; from == 0 {
		a = m.activate(x)
	}
	z = affine(m.value(2), m.value(3), a, m.classes)
	p = make([]float64, m.classes)
	sum := 0.0
	for c := range z {
		p[c] = math.Exp(invT * z[c])
		sum += p[c]
	}
	for c := range p {
		p[c] /= sum
	}
	return a, z, p
}

func (m *perceptron) Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	size := m.NeckElements(from)
	for i, label := range labels {
		_, z, p := m.forward(from, in[i*size:][:size], invT)
		losses[i] = -math.Log(p[label])
		if logits != nil {
			for c := range z {
				logits[i*m.classes+c] = float32(z[c])
			}
		}
	}
	return ctx.Err()
}

func (m *perceptron) LossGradients(ctx context.Context, loss metric.Loss, from int, in []float32, labels []int, invT float64, want []int, losses []float64, sink func(int, []float32) error) error {
	sums := make([][]float64, 4)
	for w := range sums {
		sums[w] = make([]float64, len(m.checkpoint[w]))
	}
	size := m.NeckElements(from)
	for i, label := range labels {
		x := in[i*size:][:size]
		a, _, p := m.forward(from, x, invT)
		da := make([]float64, m.hidden)
		for c := range p {
			dz := invT * p[c]
			if c == label {
				dz -= invT
			}
			sums[3][c] += dz
			for j := range a {
				sums[2][c*m.hidden+j] += dz * float64(a[j])
				da[j] += dz * float64(m.value(2)[c*m.hidden+j])
			}
		}
		if from > 0 {
			continue
		}
		for j := range a {
			dy := da[j] * (1 - float64(a[j])*float64(a[j]))
			sums[1][j] += dy
			for k := range x {
				sums[0][j*m.inputs+k] += dy * float64(x[k])
			}
		}
	}
	for _, w := range want {
		g := make([]float32, len(sums[w]))
		for j, v := range sums[w] {
			g[j] = float32(v)
		}
		if err := sink(w, g); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// newPerceptron returns an over-confident model, its layers, and n examples on
// which it is right more often than not: the classes are noisy clouds.
func newPerceptron(n int) (*perceptron, []Layer, *samples) {
	const inputs, hidden, classes = 4, 7, 3
	random := rand.New(rand.NewPCG(3, 1))
	normal := func(n int, scale float64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(scale * random.NormFloat64())
		}
		return v
	}
	m := &perceptron{
		weightTable: newWeightTable(normal(hidden*inputs, 0.8), normal(hidden, 0.3), normal(classes*hidden, 1.5), make([]float32, classes)),
		inputs:      inputs, hidden: hidden, classes: classes, batch: 7,
	}
	s := &samples{}
	for range n {
		x := normal(inputs, 1)
		_, z, _ := m.forward(0, x, 1)
		label := 0
		for c := range z {
			if z[c]+3*random.NormFloat64() > z[label]+3*random.NormFloat64() {
				label = c
			}
		}
		s.images, s.labels = append(s.images, x), append(s.labels, label)
	}
	layers := []Layer{
		{Name: "hidden", Index: 0, Weights: []int{0, 1}, Parameters: hidden * (inputs + 1), Neck: 0},
		{Name: "head", Index: 1, Weights: []int{2, 3}, Parameters: classes * (hidden + 1), Neck: 1},
	}
	return m, layers, s
}

// near fails the test unless got is want within a share of scale.
func near(t *testing.T, what string, got, want, tol, scale float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*math.Abs(scale)) {
		t.Errorf("%s = %v, want %v within %v", what, got, want, tol*math.Abs(scale))
	}
}
