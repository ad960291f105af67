package metric

import "math"

// MaxBlendParts is the most parts that a [Blend] may have.
const MaxBlendParts = 4

// A Blend is examples whose logits are z = Σ_k Weights[k]·Parts[k], and change at the
// rate ż = Σ_k Rates[k]·Parts[k]. The parts, one at least, are the logits of the same
// examples.
type Blend struct {
	Parts          []Logits
	Weights, Rates []float64
}

// Loss is the mean cross-entropy of z·invT, in nats, with its derivative along ż, and
// the second one as if ż were constant: the mean over examples of invT·(E[ż] − ż_y) and
// of invT²·Var[ż], expectations over the softmax of z·invT.
func (b Blend) Loss(invT float64) (loss, slope, curvature float64) {
	examples := b.Parts[0]
	terms := make([][3]float64, examples.Len())
	examples.each(func(lo, hi int) {
		z, rate := make([]float64, examples.Classes), make([]float64, examples.Classes)
		for p := lo; p < hi; p++ {
			terms[p] = b.example(p, invT, z, rate)
		}
	})
	for _, t := range terms {
		loss, slope, curvature = loss+t[0], slope+t[1], curvature+t[2]
	}
	n := float64(len(terms))
	return loss / n, slope / n, curvature / n
}

// example is Loss of the one at a position, with room for z and ż.
func (b Blend) example(position int, invT float64, z, rate []float64) [3]float64 {
	label, top := b.Parts[0].Labels[position], b.row(position, z, rate)
	var sum, mean, square float64
	for c, v := range z {
		e, change := math.Exp(invT*(v-top)), rate[c]
		sum += e
		e *= change
		mean += e
		square += e * change
	}
	mean /= sum
	return [3]float64{math.Log(sum) + invT*(top-z[label]), invT * (mean - rate[label]), invT * invT * max(0, square/sum-mean*mean)}
}

// row computes z and ż of one example, and returns the largest z.
func (b Blend) row(position int, z, rate []float64) float64 {
	// In one pass, whatever the number of parts: those that are missing weigh nothing.
	var rows [MaxBlendParts][]float32
	var w, r [MaxBlendParts]float64
	for k := range rows {
		rows[k] = b.Parts[min(k, len(b.Parts)-1)].Row(position)
	}
	copy(w[:], b.Weights)
	copy(r[:], b.Rates)
	rate = rate[:len(z)]
	r0, r1, r2, r3 := rows[0][:len(z)], rows[1][:len(z)], rows[2][:len(z)], rows[3][:len(z)]
	w0, w1, w2, w3 := w[0], w[1], w[2], w[3]
	s0, s1, s2, s3 := r[0], r[1], r[2], r[3]
	top := math.Inf(-1)
	for c := range z {
		x0, x1, x2, x3 := float64(r0[c]), float64(r1[c]), float64(r2[c]), float64(r3[c])
		v := w0*x0 + w1*x1 + w2*x2 + w3*x3
		z[c], rate[c] = v, s0*x0+s1*x1+s2*x2+s3*x3
		if v > top {
			top = v
		}
	}
	return top
}
