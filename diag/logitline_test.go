package diag

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
)

// TestLagrange: a polynomial of the degree that the nodes allow is the sum of its values
// at them, and so is its derivative.
func TestLagrange(t *testing.T) {
	value := func(x float64) float64 { return 2 - 3*x + 0.5*x*x - 0.25*x*x*x }
	slope := func(x float64) float64 { return -3 + x - 0.75*x*x }
	nodes := []float64{0, 0.7, 1.5, 4}
	for _, x := range []float64{-1, 0, 0.7, 1, 4, 6} {
		values, slopes := lagrange(nodes, x)
		gotValue, gotSlope := 0.0, 0.0
		for k, node := range nodes {
			gotValue += values[k] * value(node)
			gotSlope += slopes[k] * value(node)
		}
		near(t, "value", gotValue, value(x), 1e-12, 1+math.Abs(value(x)))
		near(t, "slope", gotSlope, slope(x), 1e-12, 1+math.Abs(slope(x)))
	}
}

func TestMinimise(t *testing.T) {
	quartic := func(t float64) (slope, curvature float64) { return 4*t*t*t - 4, 12 * t * t } // lowest at 1
	for _, start := range []float64{1.0 / 60, 0.3, 1, 1.2, 10, 60} {
		near(t, "minimiser", minimise(quartic, start, 0, math.Inf(1)), 1, 2*minimiserTol, 1)
	}
	misled := func(t float64) (slope, curvature float64) {
		slope, _ = quartic(t)
		return slope, -1
	}
	near(t, "minimiser with a wrong curvature", minimise(misled, 0.2, 0, math.Inf(1)), 1, 2*minimiserTol, 1)
	near(t, "minimiser in a narrow bracket", minimise(quartic, 0.9, 0.8, 1.02), 1, 2*minimiserTol, 1)
	for _, end := range []struct{ start, low, high, want float64 }{
		{1e-3, 0, math.Inf(1), math.Inf(1)}, // farther away than a function is followed
		{1e3, 0, math.Inf(1), 0},
		{0.5, 0, 0.8, 0.8},
		{2, 1.3, math.Inf(1), 1.3},
	} {
		if x := minimise(quartic, end.start, end.low, end.high); x != end.want {
			t.Errorf("%v from %v between %v and %v, want %v", x, end.start, end.low, end.high, end.want)
		}
	}
	if x := minimise(func(float64) (slope, curvature float64) { return math.NaN(), 1 }, 1, 0, 10); !math.IsNaN(x) {
		t.Errorf("%v where the slope is not finite, want NaN", x)
	}
}

// A bend is examples whose logits are z₀ + u·z₁ + u²·z₂ + u³·z₃, element by element, with
// u = t/(1 + c·t).
type bend struct {
	labels []int
	terms  [4][]float64
	c      float64
}

const bendClasses = 6

// newBend returns examples whose loss falls at t = 0, and has a minimum before t = 1 or
// not far beyond. The logits of higher degree are smaller by so much.
func newBend(rng *rand.Rand, examples int, smaller float64) *bend {
	b := &bend{labels: make([]int, examples)}
	for degree, size := range []float64{2, 3, 3 * smaller, 3 * smaller * smaller} {
		b.terms[degree] = make([]float64, examples*bendClasses)
		for i := range b.terms[degree] {
			b.terms[degree][i] = size * rng.NormFloat64()
		}
	}
	for i := range b.labels {
		b.labels[i] = rng.IntN(bendClasses)
		b.terms[1][i*bendClasses+b.labels[i]] += 2 // the right class gains
	}
	return b
}

func (b *bend) logits(t float64) metric.Logits {
	z, u := metric.NewLogits(bendClasses, b.labels), t/(1+b.c*t)
	for i := range z.Values {
		z.Values[i] = float32(b.terms[0][i] + u*(b.terms[1][i]+u*(b.terms[2][i]+u*b.terms[3][i])))
	}
	return z
}

func (b *bend) loss(t float64) float64 { return metric.Mean(b.logits(t).Losses(1)) }

// slope is φ'(0) of the examples up to one.
func (b *bend) slope(examples int) float64 {
	ofFirst := func(terms []float64) metric.Logits {
		z := metric.NewLogits(bendClasses, b.labels[:examples])
		for i := range z.Values {
			z.Values[i] = float32(terms[i])
		}
		return z
	}
	blend := metric.Blend{Parts: []metric.Logits{ofFirst(b.terms[0]), ofFirst(b.terms[1])}, Weights: []float64{1, 0}, Rates: []float64{0, 1}}
	_, slope, _ := blend.Loss(1)
	return slope
}

// minimiser is the first one, by small steps.
func (b *bend) minimiser() float64 {
	const step = 1e-3
	t := step
	for b.loss(t+step) < b.loss(t) {
		t += step
	}
	return t
}

// TestSaturation: where logits saturate, the slope at 0 tells how soon, and the slope of the
// loss follows from two points; where they do not, nothing is assumed.
func TestSaturation(t *testing.T) {
	const examples = 40
	for _, c := range []float64{0, 1, 5, 30} {
		b := newBend(rand.New(rand.NewPCG(7, 8)), examples, 0)
		b.c = c
		z := b.logits(0)
		line := sampleOf(z, 1, 1).line(0, examples, z.Losses(1), b.slope(examples))
		for _, place := range []float64{1, 2.5} {
			z := b.logits(place)
			line.add(place, sampled{z, metric.Mean(z.Losses(1))})
		}
		loss := line.near(1, 2)
		near(t, "saturation", float64(loss.saturation), c, 0.05, max(c, 1e-3))
		near(t, "share of the slope at 0", loss.faith, 1, 1e-2, 1)
		for _, at := range []float64{0.2, 0.7, 4} {
			const h = 1e-3
			slope, _ := loss.at(at)
			near(t, "slope", slope, (b.loss(at+h)-b.loss(at-h))/(2*h), 3e-2, 0.03+math.Abs(slope))
		}
	}
}

// TestSearchWithLogits: where logits change evenly, a search that knows them takes half
// the evaluations of one that knows losses alone, whether it knows those of all examples,
// or of some of which every other one or all are kept.
func TestSearchWithLogits(t *testing.T) {
	const examples = 300
	rng := rand.New(rand.NewPCG(3, 4))
	with, without := map[string]int{}, 0
	for range 10 {
		b := newBend(rng, examples, 0.3)
		b.c = rng.Float64()
		want := b.minimiser()
		from := curve{phi0: b.loss(0), slope: b.slope(examples)}
		losses := b.logits(0).Losses(1)
		plain, err := lineSearch(func(t float64) (float64, error) { return b.loss(t), nil }, from, usualProbe(from.phi0, from.slope))
		if err != nil {
			t.Fatal(err)
		}
		without += plain.evaluations
		near(t, "minimiser by losses", plain.t, want, 3*searchPrecision.fine, want)
		for name, c := range map[string]struct{ step, hi int }{"all": {1, examples}, "half": {1, examples / 2}, "every other of all": {2, examples}} {
			s := sampleOf(b.logits(0), 1, c.step)
			known := from
			known.logits = s.line(0, c.hi, losses, b.slope(c.hi))
			if known.logits == nil {
				t.Fatal("no line")
			}
			got, err := lineSearch(func(t float64) (float64, error) {
				z := b.logits(t)
				kept := sampled{logits: metric.Logits{Classes: bendClasses}, loss: s.loss(z.Losses(1)[:c.hi], 0)}
				s.keep(&kept.logits, z.Part(0, c.hi), 0)
				known.logits.add(t, kept)
				return b.loss(t), nil
			}, known, usualProbe(from.phi0, from.slope))
			if err != nil {
				t.Fatal(err)
			}
			near(t, "minimiser by logits of "+name, got.t, want, 2*searchPrecision.near, want)
			with[name] += got.evaluations
		}
	}
	t.Logf("evaluations of 10 searches: %d by losses, by logits of %v", without, with)
	for name, n := range map[string]int{"all": without * 3 / 4, "half": without * 9 / 10, "every other of all": without * 9 / 10} {
		if with[name] > n {
			t.Errorf("%d evaluations with the logits of %s, %d without any", with[name], name, without)
		}
	}
}

// TestSearchWithMisleadingLogits: logits that have nothing to do with the loss, but for its
// value and slope at 0, cost some evaluations, and the minimum is found without them.
func TestSearchWithMisleadingLogits(t *testing.T) {
	const examples = 50
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		b := newBend(rng, examples, 3)
		phi0, slope := b.loss(0), b.slope(examples)
		phi := func(t float64) float64 { return phi0 + slope*t + 0.5*t*t - 0.1*slope*math.Sin(5*t)/5*math.Exp(-t) }
		slope *= 1 - 0.1*1 // of φ at 0
		from := curve{phi0: phi0, slope: slope, logits: sampleOf(b.logits(0), 1, 1).line(0, examples, b.logits(0).Losses(1), b.slope(examples))}
		got, err := lineSearch(func(t float64) (float64, error) {
			z := b.logits(t)
			from.logits.add(t, sampled{z, metric.Mean(z.Losses(1))})
			return phi(t), nil
		}, from, usualProbe(phi0, slope))
		if err != nil || got.status != StatusOK {
			t.Fatalf("status %q, error %v", got.status, err)
		}
		const far = 5e-2
		if phi(got.t) > phi(got.t*(1+far))+1e-6 || phi(got.t) > phi(got.t*(1-far))+1e-6 {
			t.Errorf("t = %v is no minimiser: %v beside %v and %v; %v evaluated %d", got.t, phi(got.t), phi(got.t*(1-far)), phi(got.t*(1+far)), got, got.evaluations)
		}
		if got.evaluations > maxBlended+12 {
			t.Errorf("%d evaluations", got.evaluations)
		}
	}
}

// TestSample: which examples are kept, wherever a part of them begins.
func TestSample(t *testing.T) {
	labels := []int{0, 1, 2, 3, 4, 5, 6}
	logits := metric.NewLogits(8, labels)
	losses := make([]float64, len(labels))
	for p := range labels {
		logits.Row(p)[p] = 5
		losses[p] = logits.Part(p, p+1).Losses(1)[0]
	}
	for step := 1; step <= 4; step++ {
		s := sampleOf(logits, 1, step)
		for lo := range labels {
			for hi := lo + 1; hi <= len(labels); hi++ {
				var want []int
				for p := lo; p < hi; p++ {
					if p%step == 0 {
						want = append(want, p)
					}
				}
				kept := metric.Logits{Classes: logits.Classes}
				s.keep(&kept, logits.Part(lo, hi), lo)
				of := s.logits.Part(s.before(lo), s.before(hi))
				if len(kept.Labels) != len(want) || len(of.Labels) != len(want) {
					t.Fatalf("step %d, %d to %d: %v and %v kept, want %v", step, lo, hi, kept.Labels, of.Labels, want)
				}
				for i, p := range want {
					if kept.Labels[i] != p || of.Labels[i] != p || kept.Row(i)[p] != 5 || of.Row(i)[p] != 5 {
						t.Errorf("step %d, %d to %d: %v and %v kept, want %v", step, lo, hi, kept.Labels, of.Labels, want)
					}
				}
				if len(want) > 0 {
					near(t, "loss", s.loss(losses[lo:hi], lo), losses[0], 1e-12, 1)
				}
			}
		}
	}
	s := sampleOf(logits, 1, 1)
	if s.line(0, 7, losses, -1) == nil {
		t.Error("no line of logits whose losses are given")
	}
	if s.line(0, 7, make([]float64, 7), -1) != nil {
		t.Error("a line of logits that have other losses")
	}
	logits.Row(3)[7] = float32(math.Inf(-1))
	if sampleOf(logits, 1, 1).line(0, 7, losses, -1) != nil {
		t.Error("a line of logits that are not finite")
	}
}
