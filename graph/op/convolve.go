package op

import "modeldoctor/graph/kernel"

// convolution is a convolution with all sizes known. It is computed as a matrix
// product with the patches that the output positions read: positions are
// numbered through all images, image after image, and taken in tiles; the
// patches of a tile, for one group of channels, are a matrix [positions,
// channels·kernel]. A group of one channel is computed without gathering.
type convolution struct {
	window
	images, channels, filters, groups int
	tokens                            bool // the result is [images, positions, filters]
}

// Tiles hold about patchTile elements of patches, and patchRows positions or
// fewer; the gradient of the filters, whose products use all threads, takes
// larger ones.
const (
	patchTile        = 1 << 18
	patchRows        = 256
	filterPatchTile  = 1 << 21
	minTilePositions = 16
)

// group returns the channels and filters of a group and the size of a patch.
func (n *convolution) group() (channels, filters, patch int) {
	channels, filters = n.channels/n.groups, n.filters/n.groups
	return channels, filters, channels * volume(n.kernel)
}

func (n *convolution) depthwise() bool { return n.channels == n.groups && !n.tokens }

// segments splits positions [lo, hi) by image.
func (n *convolution) segments(lo, hi int, f func(image, first, last, at int)) {
	area := volume(n.out)
	for at := lo; at < hi; {
		image := at / area
		end := min(hi, (image+1)*area)
		f(image, at-image*area, end-image*area, at-lo)
		at = end
	}
}

// gather fills the patches of positions [lo, hi) for a group of channels.
func gather[T kernel.Float](n *convolution, group, lo, hi int, x, patches []T) {
	channels, _, size := n.group()
	plane := volume(n.in)
	n.segments(lo, hi, func(image, first, last, at int) {
		x := x[(image*n.channels+group*channels)*plane:]
		for p := first; p < last; p++ {
			gatherPatch(&n.window, p, channels, x, patches[(at+p-first)*size:(at+p-first+1)*size])
		}
	})
}

func convolve[T kernel.Float](c *kernel.Context, n convolution, out Array, in []Array) {
	x, weights, y := Elem[T](in[0]), Elem[T](in[1]), Elem[T](out)
	var bias []T
	if len(in) == 3 {
		bias = Elem[T](in[2])
	}
	if len(y) == 0 {
		return
	}
	if n.depthwise() {
		depthwise(c, n, x, weights, bias, y)
		return
	}
	_, filters, size := n.group()
	area := volume(n.out)
	tile := max(minTilePositions, min(patchRows, patchTile/max(1, size)))
	c.Parallel(n.images*area, tile, func(lo, hi int) {
		serial := c.Serial()
		patches := kernel.Scratch[T](c, (hi-lo)*size)
		defer kernel.Release(c, patches)
		if n.tokens {
			y := y[lo*n.filters : hi*n.filters]
			gather(&n, 0, lo, hi, x, patches)
			kernel.Gemm(serial, false, true, hi-lo, n.filters, size, 1, patches, size, weights, size, 0, y, n.filters)
			if bias != nil {
				kernel.AddRow(serial, y, bias, y, hi-lo, n.filters)
			}
			return
		}
		product := kernel.Scratch[T](c, filters*(hi-lo))
		defer kernel.Release(c, product)
		for group := range n.groups {
			gather(&n, group, lo, hi, x, patches)
			kernel.Gemm(serial, false, true, filters, hi-lo, size, 1, weights[group*filters*size:], size, patches, size, 0, product, hi-lo)
			n.segments(lo, hi, func(image, first, last, at int) {
				for f := range filters {
					m := group*filters + f
					y := y[(image*n.filters+m)*area+first : (image*n.filters+m)*area+last]
					copy(y, product[f*(hi-lo)+at:])
					if bias != nil {
						for i := range y {
							y[i] += bias[m]
						}
					}
				}
			})
		}
	})
}

// convolveBackward computes the cotangent of the input, other being the filters,
// or, if ofFilters, of the filters, other being the input.
func convolveBackward[T kernel.Float](c *kernel.Context, n convolution, ofFilters bool, grad, other, dout []T) {
	switch {
	case n.depthwise() && ofFilters:
		depthwiseFilters(c, n, other, dout, grad)
	case n.depthwise():
		depthwiseInput(c, n, other, dout, grad)
	case ofFilters:
		filterGradient(c, n, other, dout, grad)
	default:
		inputGradient(c, n, other, dout, grad)
	}
}

// cotangentTile returns the cotangent at positions [lo, hi) for a group of
// filters as a matrix for Gemm: [filters, positions], or, with trans, its
// transpose. buffer has room for it.
func cotangentTile[T kernel.Float](n *convolution, group, lo, hi int, dout, buffer []T) (matrix []T, ld int, trans bool) {
	if n.tokens {
		return dout[lo*n.filters:], n.filters, true
	}
	_, filters, _ := n.group()
	area := volume(n.out)
	n.segments(lo, hi, func(image, first, last, at int) {
		for f := range filters {
			m := group*filters + f
			copy(buffer[f*(hi-lo)+at:], dout[(image*n.filters+m)*area+first:(image*n.filters+m)*area+last])
		}
	})
	return buffer, hi - lo, false
}

// filterGradient adds up dout·patches over tiles, in order.
func filterGradient[T kernel.Float](c *kernel.Context, n convolution, x, dout, dw []T) {
	_, filters, size := n.group()
	positions := n.images * volume(n.out)
	tile := min(positions, max(minTilePositions, filterPatchTile/max(1, size)))
	patches := kernel.Scratch[T](c, tile*size)
	defer kernel.Release(c, patches)
	buffer := kernel.Scratch[T](c, tile*filters)
	defer kernel.Release(c, buffer)
	if positions == 0 {
		clear(dw)
	}
	for group := range n.groups {
		dw := dw[group*filters*size:]
		for lo := 0; lo < positions; lo += tile {
			hi := min(lo+tile, positions)
			c.Parallel(hi-lo, patchRows, func(first, last int) {
				gather(&n, group, lo+first, lo+last, x, patches[first*size:])
			})
			matrix, ld, trans := cotangentTile(&n, group, lo, hi, dout, buffer)
			beta := T(1)
			if lo == 0 {
				beta = 0
			}
			kernel.Gemm(c, trans, false, filters, size, hi-lo, 1, matrix, ld, patches, size, beta, dw, size)
		}
	}
}

// inputGradient computes the patches' cotangents, Wᵀ·dout, and adds each to
// where the patch was taken from, image by image.
func inputGradient[T kernel.Float](c *kernel.Context, n convolution, weights, dout, dx []T) {
	channels, filters, size := n.group()
	area, plane := volume(n.out), volume(n.in)
	tile := min(area, max(minTilePositions, min(patchRows, patchTile/max(1, size))))
	c.Parallel(n.images, 1, func(from, to int) {
		serial := c.Serial()
		patches := kernel.Scratch[T](c, tile*size)
		defer kernel.Release(c, patches)
		buffer := kernel.Scratch[T](c, tile*filters)
		defer kernel.Release(c, buffer)
		for image := from; image < to; image++ {
			clear(dx[image*n.channels*plane : (image+1)*n.channels*plane])
			for group := range n.groups {
				dx := dx[(image*n.channels+group*channels)*plane:]
				for lo := 0; lo < area; lo += tile {
					hi := min(lo+tile, area)
					matrix, ld, trans := cotangentTile(&n, group, image*area+lo, image*area+hi, dout, buffer)
					kernel.Gemm(serial, !trans, false, hi-lo, size, filters, 1, matrix, ld, weights[group*filters*size:], size, 0, patches, size)
					for p := lo; p < hi; p++ {
						scatterPatch(&n.window, p, channels, patches[(p-lo)*size:(p-lo+1)*size], dx)
					}
				}
			}
		}
	})
}

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
				v, y := w[tap], y[out:out+count]
				for j := range y {
					y[j] += v * x[in+j*step]
				}
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
					v := w[tap]
					for j, d := range dy[out : out+count] {
						dx[in+j*step] += v * d
					}
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
					sum := T(0)
					for j, d := range dy[out : out+count] {
						sum += d * x[in+j*step]
					}
					sums[tap] += float64(sum)
				})
			}
			for tap, s := range sums {
				dw[m*taps+tap] = T(s)
			}
		}
	})
}
