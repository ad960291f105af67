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
	x32, scale32, bias32, y32 := as32(x), as32(scale), as32(bias), as32(y)
	eachRows(c, grainTranscendental, rows, d, func(lo, hi int) {
		if c.vector != nil && x32 != nil {
			stats := Scratch[float32](c, (hi-lo)*statsPerRow)
			defer Release(c, stats)
			c.vectorMoments(m, x32[lo*d:], stats, hi-lo, d)
			c.vector.normalize(hi-lo, d, &x32[lo*d], &stats[0], &scale32[0], unsafe.SliceData(bias32), &y32[lo*d])
			return
		}
		for r := lo; r < hi; r++ {
			xr, yr := x[r*d:(r+1)*d], y[r*d:(r+1)*d]
			shift, rs := momentsPlain(m, xr)
			for i, v := range xr {
				h := (float64(v) - shift) * rs * float64(scale[i])
				if bias != nil {
					h += float64(bias[i])
				}
				yr[i] = T(h)
			}
		}
	})
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
	x32, scale32, dy32, dx32 := as32(x), as32(scale), as32(dy), as32(dx)
	eachRows(c, grainTranscendental, rows, d, func(lo, hi int) {
		if c.vector != nil && x32 != nil {
			stats := Scratch[float32](c, (hi-lo)*statsPerRow)
			defer Release(c, stats)
			c.vectorMoments(m, x32[lo*d:], stats, hi-lo, d)
			var meanWeight float32
			dotWeight := 1 / float32(d)
			if m.centered {
				meanWeight = dotWeight
			}
			c.vector.normalizeGrad(hi-lo, d, &x32[lo*d], &stats[0], &scale32[0], &dy32[lo*d], &dx32[lo*d], meanWeight, dotWeight)
			return
		}
		for r := lo; r < hi; r++ {
			normalizeGradRow(x[r*d:(r+1)*d], scale, dy[r*d:(r+1)*d], dx[r*d:(r+1)*d], m)
		}
	})
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
	if x32, dy32 := as32(x), as32(dy); c.vector != nil && x32 != nil && rows > 0 {
		stats := Scratch[float32](c, rows*statsPerRow)
		defer Release(c, stats)
		eachRows(c, grainTranscendental, rows, d, func(lo, hi int) {
			c.vectorMoments(m, x32[lo*d:], stats[lo*statsPerRow:], hi-lo, d)
		})
		columnSums(c, dscale[:d], func(lo, hi int, sum *[columnGroup]float64) {
			c.vector.sumScaledColumns(rows, d, hi-lo, &x32[lo], &stats[0], &dy32[lo], &sum[0])
		})
		return
	}
	stats := Scratch[float64](c, 2*rows)
	defer Release(c, stats)
	eachRows(c, grainTranscendental, rows, d, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			stats[2*r], stats[2*r+1] = momentsPlain(m, x[r*d:(r+1)*d])
		}
	})
	columnSums(c, dscale[:d], func(lo, hi int, sum *[columnGroup]float64) {
		for r := range rows {
			shift, rs := stats[2*r], stats[2*r+1]
			for i, v := range x[r*d+lo : r*d+hi] {
				sum[i] += float64(dy[r*d+lo+i]) * (float64(v) - shift) * rs
			}
		}
	})
}
