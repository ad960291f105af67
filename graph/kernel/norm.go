package kernel

import (
	"math"
	"unsafe"
)

// LayerNorm computes, over each row of x [rows,d],
//
//	y = (x - mean)/√(var + eps) · scale + bias
//
// with var the mean squared deviation: Ba, Kiros and Hinton,
// https://arxiv.org/abs/1607.06450. scale and bias are [d]; bias may be nil. y may be x.
func LayerNorm[T Float](c *Context, x, scale, bias, y []T, rows, d int, eps float64) {
	normalize(c, "LayerNorm", x, scale, bias, y, rows, d, moments{eps, true})
}

// RMSNorm computes y = x/√(mean(x²) + eps) · scale over each row of x [rows,d]: Zhang
// and Sennrich, https://arxiv.org/abs/1910.07467. scale is [d]. y may be x.
func RMSNorm[T Float](c *Context, x, scale, y []T, rows, d int, eps float64) {
	normalize(c, "RMSNorm", x, scale, nil, y, rows, d, moments{eps, false})
}

// LayerNormGrad computes the gradients of LayerNorm. With h the normalised x, g = dy·scale
// and rs = 1/√(var + eps):
//
//	dx     = rs·(g - mean(g) - h·mean(g·h))
//	dscale = Σ over rows of dy·h
//	dbias  = Σ over rows of dy
//
// x, dy and dx are [rows,d], the others [d]. dx, dscale and dbias are overwritten, and
// left out where nil. dx may be dy or x.
func LayerNormGrad[T Float](c *Context, x, scale, dy, dx, dscale, dbias []T, rows, d int, eps float64) {
	if dbias != nil {
		SumRows(c, dy, dbias, rows, d) // before dx may overwrite dy
	}
	normalizeGrad(c, "LayerNormGrad", x, scale, dy, dx, dscale, rows, d, moments{eps, true})
}

// RMSNormGrad computes the gradients of RMSNorm, those of LayerNormGrad without mean(g)
// and without bias. dx and dscale are overwritten, and left out where nil.
func RMSNormGrad[T Float](c *Context, x, scale, dy, dx, dscale []T, rows, d int, eps float64) {
	normalizeGrad(c, "RMSNormGrad", x, scale, dy, dx, dscale, rows, d, moments{eps, false})
}

// moments says what a row is normalised by: to (x - shift)·rs, where shift is the mean of the
// row if centered and else 0, and rs = 1/√(mean((x - shift)²) + eps).
type moments struct {
	eps      float64
	centered bool
}

// momentsPlain returns the moments of a row.
func momentsPlain[T Float](m moments, x []T) (shift, rs float64) {
	if m.centered {
		for _, v := range x {
			shift += float64(v)
		}
		shift /= float64(len(x))
	}
	var squares float64
	for _, v := range x {
		squares += (float64(v) - shift) * (float64(v) - shift)
	}
	return shift, 1 / math.Sqrt(squares/float64(len(x))+m.eps)
}

// statsPerRow is the number of float32 that the vector kernels keep for each row: a mean, its
// correction, rs and a spare. Float32 cannot hold the mean of a row that varies little about a
// large one; the mean and the mean of the deviations from it can.
const statsPerRow = 4

// vectorMoments fills stats with the moments of the rows of x.
func (c *Context) vectorMoments(m moments, x, stats []float32, rows, d int) {
	weight, inverse := float32(0), 1/float32(d)
	if m.centered {
		weight = inverse
	}
	c.vector.moments(rows, d, &x[0], weight, inverse, float32(m.eps), &stats[0])
}

func normalize[T Float](c *Context, name string, x, scale, bias, y []T, rows, d int, m moments) {
	checkRows(name, x, scale, y, rows, d)
	if bias != nil {
		need(name, "bias", len(bias), d)
	}
	runRows(c, grainTranscendental, rows, d, normalizeTask[T]{m, x, scale, bias, y, d})
}

type normalizeTask[T Float] struct {
	moments
	x, scale, bias, y []T
	d                 int
}

func (t *normalizeTask[T]) Chunk(c *Context, lo, hi int) {
	d := t.d
	if x := as32(t.x); c.vector != nil && x != nil {
		stats := Scratch[float32](c, (hi-lo)*statsPerRow)
		defer Release(c, stats)
		c.vectorMoments(t.moments, x[lo*d:], stats, hi-lo, d)
		c.vector.normalize(hi-lo, d, &x[lo*d], &stats[0], &as32(t.scale)[0], unsafe.SliceData(as32(t.bias)), &as32(t.y)[lo*d])
		return
	}
	for r := lo; r < hi; r++ {
		x, y := t.x[r*d:(r+1)*d], t.y[r*d:(r+1)*d]
		shift, rs := momentsPlain(t.moments, x)
		for i, v := range x {
			h := (float64(v) - shift) * rs * float64(t.scale[i])
			if t.bias != nil {
				h += float64(t.bias[i])
			}
			y[i] = T(h)
		}
	}
}

func normalizeGrad[T Float](c *Context, name string, x, scale, dy, dx, dscale []T, rows, d int, m moments) {
	checkRows(name, x, scale, dy, rows, d)
	if dx != nil {
		need(name, "dx", len(dx), rows*d)
	}
	if dscale != nil {
		// Before dx, which may overwrite dy.
		need(name, "dscale", len(dscale), d)
		scaleGrad(c, x, dy, dscale, rows, d, m)
	}
	if dx == nil {
		return
	}
	runRows(c, grainTranscendental, rows, d, normalizeGradTask[T]{m, x, scale, dy, dx, d})
}

type normalizeGradTask[T Float] struct {
	moments
	x, scale, dy, dx []T
	d                int
}

func (t *normalizeGradTask[T]) Chunk(c *Context, lo, hi int) {
	d := t.d
	if x := as32(t.x); c.vector != nil && x != nil {
		stats := Scratch[float32](c, (hi-lo)*statsPerRow)
		defer Release(c, stats)
		c.vectorMoments(t.moments, x[lo*d:], stats, hi-lo, d)
		var meanWeight float32
		dotWeight := 1 / float32(d)
		if t.centered {
			meanWeight = dotWeight
		}
		c.vector.normalizeGrad(hi-lo, d, &x[lo*d], &stats[0], &as32(t.scale)[0], &as32(t.dy)[lo*d], &as32(t.dx)[lo*d], meanWeight, dotWeight)
		return
	}
	for r := lo; r < hi; r++ {
		normalizeGradRow(t.x[r*d:(r+1)*d], t.scale, t.dy[r*d:(r+1)*d], t.dx[r*d:(r+1)*d], t.moments)
	}
}

func normalizeGradRow[T Float](x, scale, dy, dx []T, m moments) {
	shift, rs := momentsPlain(m, x)
	var meanG, meanGH float64
	for i, v := range x {
		g := float64(dy[i]) * float64(scale[i])
		meanG += g
		meanGH += g * (float64(v) - shift) * rs
	}
	meanG /= float64(len(x))
	meanGH /= float64(len(x))
	if !m.centered {
		meanG = 0
	}
	for i, v := range x {
		g := float64(dy[i]) * float64(scale[i])
		dx[i] = T(rs * (g - meanG - (float64(v)-shift)*rs*meanGH))
	}
}

// scaleGrad computes dscale = Σ over rows of dy·h, h the normalised x.
func scaleGrad[T Float](c *Context, x, dy, dscale []T, rows, d int, m moments) {
	if x32 := as32(x); c.vector != nil && x32 != nil && rows > 0 {
		stats := Scratch[float32](c, rows*statsPerRow)
		defer Release(c, stats)
		runRows(c, grainTranscendental, rows, d, vectorMomentsTask{m, x32, stats, d})
		Run(c, d, columnGroup, vectorScaleGradTask{x32, as32(dy), as32(dscale), stats, rows, d})
		return
	}
	stats := Scratch[float64](c, 2*rows)
	defer Release(c, stats)
	runRows(c, grainTranscendental, rows, d, momentsTask[T]{m, x, stats, d})
	Run(c, d, columnGroup, scaleGradTask[T]{x, dy, dscale, stats, rows, d})
}

type vectorMomentsTask struct {
	moments
	x, stats []float32
	d        int
}

func (t *vectorMomentsTask) Chunk(c *Context, lo, hi int) {
	c.vectorMoments(t.moments, t.x[lo*t.d:], t.stats[lo*statsPerRow:], hi-lo, t.d)
}

type vectorScaleGradTask struct {
	x, dy, dscale, stats []float32
	rows, d              int
}

func (t *vectorScaleGradTask) Chunk(c *Context, lo, hi int) {
	sums := Scratch[float64](c, columnGroup)
	defer Release(c, sums)
	clear(sums)
	c.vector.sumScaledColumns(t.rows, t.d, hi-lo, &t.x[lo], &t.stats[0], &t.dy[lo], &sums[0])
	round(sums, t.dscale[lo:hi])
}

type momentsTask[T Float] struct {
	moments
	x     []T
	stats []float64 // a shift and an rs for each row
	d     int
}

func (t *momentsTask[T]) Chunk(_ *Context, lo, hi int) {
	for r := lo; r < hi; r++ {
		t.stats[2*r], t.stats[2*r+1] = momentsPlain(t.moments, t.x[r*t.d:(r+1)*t.d])
	}
}

type scaleGradTask[T Float] struct {
	x, dy, dscale []T
	stats         []float64
	rows, d       int
}

func (t *scaleGradTask[T]) Chunk(_ *Context, lo, hi int) {
	var sums [columnGroup]float64
	for r := range t.rows {
		shift, rs := t.stats[2*r], t.stats[2*r+1]
		for i, v := range t.x[r*t.d+lo : r*t.d+hi] {
			sums[i] += float64(t.dy[r*t.d+lo+i]) * (float64(v) - shift) * rs
		}
	}
	round(sums[:], t.dscale[lo:hi])
}
