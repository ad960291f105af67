package op

import "github.com/modeldoctor/modeldoctor/graph/kernel"

// depthwise convolves each channel with its own filters.
func depthwise[T kernel.Float](c *kernel.Context, n convolution, x, weights, bias, y []T) {
	area, plane, taps, each := volume(n.out), volume(n.in), volume(n.kernel), n.filters/n.groups
	step := n.stride[spatialDims-1]
	c.Parallel(n.images*n.filters, max(1, pointwiseGrain/max(1, area*taps)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			image, m := i/n.filters, i%n.filters
			x, y, w := x[(image*n.channels+m/each)*plane:], y[i*area:(i+1)*area], weights[m*taps:]
			start := T(0)
			if bias != nil {
				start = bias[m]
			}
			for j := range y {
				y[j] = start
			}
			n.runs(func(tap, out, in, count int) {
				addScaled(w[tap], x[in:], step, y[out:], 1, count)
			})
		}
	})
}

// depthwiseInput is the cotangent of the input of depthwise.
func depthwiseInput[T kernel.Float](c *kernel.Context, n convolution, weights, dout, dx []T) {
	area, plane, taps, each := volume(n.out), volume(n.in), volume(n.kernel), n.filters/n.groups
	step := n.stride[spatialDims-1]
	c.Parallel(n.images*n.channels, max(1, pointwiseGrain/max(1, area*taps)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			image, channel := i/n.channels, i%n.channels
			dx := dx[i*plane : (i+1)*plane]
			clear(dx)
			for m := channel * each; m < (channel+1)*each; m++ {
				dy, w := dout[(image*n.filters+m)*area:], weights[m*taps:]
				n.runs(func(tap, out, in, count int) {
					addScaled(w[tap], dy[out:], 1, dx[in:], step, count)
				})
			}
		}
	})
}

// depthwiseFilters is the cotangent of the filters of depthwise.
func depthwiseFilters[T kernel.Float](c *kernel.Context, n convolution, x, dout, dw []T) {
	area, plane, taps, each := volume(n.out), volume(n.in), volume(n.kernel), n.filters/n.groups
	step := n.stride[spatialDims-1]
	c.Parallel(n.filters, 1, func(lo, hi int) {
		sums := kernel.Scratch[float64](c, taps)
		defer kernel.Release(c, sums)
		for m := lo; m < hi; m++ {
			clear(sums)
			for image := range n.images {
				x, dy := x[(image*n.channels+m/each)*plane:], dout[(image*n.filters+m)*area:]
				n.runs(func(tap, out, in, count int) {
					sums[tap] += float64(dotStrided(dy[out:out+count], x[in:], step))
				})
			}
			for tap, s := range sums {
				dw[m*taps+tap] = T(s)
			}
		}
	})
}

// addScaled adds v times n elements of x, stepX apart, to elements of y, stepY
// apart.
func addScaled[T kernel.Float](v T, x []T, stepX int, y []T, stepY, n int) {
	if stepX == 1 && stepY == 1 {
		x, y = x[:n], y[:n]
		for i := range y {
			y[i] += v * x[i]
		}
		return
	}
	for i := range n {
		y[i*stepY] += v * x[i*stepX]
	}
}

// dotStrided is Σ a[i]·x[i·step], in four interleaved sums where x is contiguous.
func dotStrided[T kernel.Float](a, x []T, step int) T {
	var s0, s1, s2, s3 T
	i := 0
	if step == 1 {
		for x = x[:len(a)]; i+4 <= len(a); i += 4 {
			s0 += a[i] * x[i]
			s1 += a[i+1] * x[i+1]
			s2 += a[i+2] * x[i+2]
			s3 += a[i+3] * x[i+3]
		}
	}
	for ; i < len(a); i++ {
		s0 += a[i] * x[i*step]
	}
	return (s0 + s1) + (s2 + s3)
}
