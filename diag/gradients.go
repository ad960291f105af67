package diag

import (
	"context"
	"math"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// quarters is the number of parts that the examples are dealt into, indexed by
// dataset.A1, B1, A2 and B2.
const quarters = 4

// perQuarter is a linear combination of the quarters: a gradient is one of the
// quarters' summed gradients, a loss one of their summed losses.
type perQuarter [quarters]float64

// A deal is the examples in the order A1, A2, B1, B2, so that each quarter and
// each half is one range of positions. Within a quarter examples are in data
// order.
type deal struct {
	order  []int // example at each position
	labels []int // label at each position
	bounds [quarters][2]int
}

// newDeal deals examples with the given labels.
func newDeal(labels []int) *deal {
	quarter := dataset.Quarters(labels)
	d := &deal{order: make([]int, 0, len(labels)), labels: make([]int, 0, len(labels))}
	for _, q := range []int{dataset.A1, dataset.A2, dataset.B1, dataset.B2} {
		lo := len(d.order)
		for i, l := range labels {
			if quarter[i] == q {
				d.order = append(d.order, i)
				d.labels = append(d.labels, l)
			}
		}
		d.bounds[q] = [2]int{lo, len(d.order)}
	}
	return d
}

// n is the number of examples.
func (d *deal) n() int { return len(d.order) }

// middle is the first position of half B.
func (d *deal) middle() int { return d.bounds[dataset.B1][0] }

// mean is the combination that makes the mean over the examples of some
// quarters out of their sums.
func (d *deal) mean(of ...int) perQuarter {
	n := 0
	for _, q := range of {
		n += d.bounds[q][1] - d.bounds[q][0]
	}
	var m perQuarter
	for _, q := range of {
		m[q] = 1 / float64(max(n, 1))
	}
	return m
}

// quarterSums is the gradient of the loss summed over each quarter, by weight.
// Sums over batches are kept in float32: there are few of them, and four
// accumulators per weight are what bounds the memory of a diagnosis.
type quarterSums map[int]*[quarters][]float32

// sweep differentiates the loss of all examples once, from the boundary on, and
// returns the gradients of the wanted weights. No batch mixes quarters.
func (d *diagnosis) sweep(ctx context.Context, want []int) (quarterSums, error) {
	sums := make(quarterSums, len(want))
	for _, w := range want {
		sums[w] = new([quarters][]float32)
		for q := range quarters {
			sums[w][q] = make([]float32, len(d.model.Weight(w)))
		}
	}
	for q, bounds := range d.deal.bounds {
		add := func(weight int, g []float32) error {
			accumulate(sums[weight][q], g)
			return nil
		}
		if err := d.differentiate(ctx, bounds[0], bounds[1], want, add); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// differentiate hands sink the gradients of the loss summed over the examples
// at positions lo to hi, batch by batch.
func (d *diagnosis) differentiate(ctx context.Context, lo, hi int, want []int, sink func(weight int, g []float32) error) error {
	for ; lo < hi; lo += d.model.Batch() {
		end := min(lo+d.model.Batch(), hi)
		in, err := d.boundary.batch(lo, end)
		if err != nil {
			return err
		}
		if err := d.model.Gradients(ctx, d.boundary.neck, in, d.deal.labels[lo:end], d.invT, want, sink); err != nil {
			return err
		}
		d.progress.add(gradientCost * (end - lo) * d.suffix(d.boundary.neck))
	}
	return nil
}

func accumulate(sum, g []float32) {
	for i, x := range g[:len(sum)] {
		sum[i] += x
	}
}

// A gram is the inner products of the quarters' summed gradients of one tensor.
type gram [quarters][quarters]float64

// newGram computes all inner products in float64.
func newGram(sums *[quarters][]float32) gram {
	var g gram
	for q := range quarters {
		for r := q; r < quarters; r++ {
			g[q][r] = dot(sums[q], sums[r])
			g[r][q] = g[q][r]
		}
	}
	return g
}

// product is the inner product of two combinations of the quarters' gradients.
func (g *gram) product(a, b perQuarter) float64 {
	sum := 0.0
	for q := range quarters {
		for r := range quarters {
			sum += a[q] * g[q][r] * b[r]
		}
	}
	return sum
}

// norm is the Euclidean norm of a combination of the quarters' gradients.
func (g *gram) norm(a perQuarter) float64 {
	return math.Sqrt(max(0, g.product(a, a)))
}

// dot is the inner product in float64.
func dot(a, b []float32) float64 {
	sum := 0.0
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// norm is the Euclidean norm in float64.
func norm(a []float32) float64 { return math.Sqrt(dot(a, a)) }
