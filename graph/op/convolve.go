package op

import (
	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// convolution is a convolution with all sizes known. One of float32 in two
// dimensions or one is computed by [kernel.Convolve], where its kernels are there.
// Otherwise an image is computed as a matrix product of the filters with its columns: the input elements that each
// output position reads, a matrix [channels·kernel, positions] for each group of
// channels, tile by tile of the positions. A group of one channel is computed
// without columns.
type convolution struct {
	window
	images, channels, filters, groups int
}

// A tile has about columnsTile elements of columns, and minPositions positions
// or more.
const (
	columnsTile  = 1 << 17
	minPositions = 64
)

// group returns the channels and filters of a group and the rows of its columns.
func (n *convolution) group() (channels, filters, size int) {
	channels, filters = n.channels/n.groups, n.filters/n.groups
	return channels, filters, channels * volume(n.kernel)
}

// tile returns the number of positions of a tile.
func (n *convolution) tile() int {
	_, _, size := n.group()
	return max(1, min(volume(n.out), max(minPositions, columnsTile/max(1, size))))
}

func (n *convolution) depthwise() bool { return n.channels == n.groups }

// staged reports whether a kernel of package kernel computes the convolution of
// float32.
func (n *convolution) staged(c *kernel.Context) bool { return n.planar() && c.Convolves(n.geometry()) }

// geometry is that of the kernel that does.
func (n *convolution) geometry() kernel.Convolution {
	g := n.planes()
	g.Images, g.Channels, g.Filters, g.Groups = n.images, n.channels, n.filters, n.groups
	return g
}

// gatherColumns fills in the columns of output positions [first, last) for the
// planes of x.
func gatherColumns[T kernel.Float](w *window, x, columns []T, channels, first, last int) {
	plane, taps, width, step := volume(w.in), volume(w.kernel), last-first, w.stride[spatialDims-1]
	w.stretches(first, last, func(s stretch) {
		for c := range channels {
			at := (c*taps+s.tap)*width + s.out - first
			to := columns[at : at+s.n]
			clear(to[:s.lo])
			clear(to[s.hi:])
			if s.lo == s.hi {
				continue
			}
			to, from := to[s.lo:s.hi], x[c*plane+s.in:]
			if step == 1 {
				copy(to, from)
				continue
			}
			for i := range to {
				to[i] = from[i*step]
			}
		}
	})
}

// scatterColumns adds columns to where gatherColumns took them from.
func scatterColumns[T kernel.Float](w *window, columns, x []T, channels, first, last int) {
	plane, taps, width, step := volume(w.in), volume(w.kernel), last-first, w.stride[spatialDims-1]
	w.stretches(first, last, func(s stretch) {
		if s.lo == s.hi {
			return
		}
		for c := range channels {
			at := (c*taps+s.tap)*width + s.out - first
			from, to := columns[at+s.lo:at+s.hi], x[c*plane+s.in:]
			for i, v := range from {
				to[i*step] += v
			}
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
	if y, ok := out.Data.([]float32); ok && n.staged(c) {
		convolveStaged(c, n, in, kernel.Unbounded(), y)
		return
	}
	if n.depthwise() {
		depthwise(c, n, x, weights, bias, y)
		return
	}
	convolveColumns(c, n, x, weights, bias, y)
}

func convolveColumns[T kernel.Float](c *kernel.Context, n convolution, x, weights, bias, y []T) {
	channels, filters, size := n.group()
	area, plane, tile := volume(n.out), volume(n.in), n.tile()
	tiles := (area + tile - 1) / tile
	c.Parallel(n.images*tiles, 1, func(task, _ int) {
		columns := kernel.Scratch[T](c, size*tile)
		defer kernel.Release(c, columns)
		image, first := task/tiles, task%tiles*tile
		last := min(first+tile, area)
		for g := range n.groups {
			gatherColumns(&n.window, x[(image*n.channels+g*channels)*plane:], columns, channels, first, last)
			y := y[(image*n.filters+g*filters)*area+first:]
			kernel.Gemm(c.Serial(), false, false, filters, last-first, size, 1, weights[g*filters*size:], size, columns, last-first, 0, y, area)
			if bias == nil {
				continue
			}
			for f, b := range bias[g*filters : (g+1)*filters] {
				row := y[f*area : f*area+last-first]
				for i := range row {
					row[i] += b
				}
			}
		}
	})
}

// convolveFilters is the cotangent of the filters of convolve: dout·columnsᵀ,
// added up over tiles and images in order.
func convolveFilters[T kernel.Float](c *kernel.Context, n convolution, x, dout, dw []T) {
	if dw, ok := any(dw).([]float32); ok && n.staged(c) {
		kernel.ConvolveFilters(c, n.geometry(), any(x).([]float32), any(dout).([]float32), dw)
		return
	}
	if n.depthwise() {
		depthwiseFilters(c, n, x, dout, dw)
		return
	}
	columnFilters(c, n, x, dout, dw)
}

func columnFilters[T kernel.Float](c *kernel.Context, n convolution, x, dout, dw []T) {
	channels, filters, size := n.group()
	area, plane, tile := volume(n.out), volume(n.in), n.tile()
	columns := kernel.Scratch[T](c, size*tile)
	defer kernel.Release(c, columns)
	clear(dw)
	for image := range n.images {
		for g := range n.groups {
			x := x[(image*n.channels+g*channels)*plane:]
			for first := 0; first < area; first += tile {
				last := min(first+tile, area)
				rows := volume(n.kernel) * (last - first) // elements of a channel
				c.Parallel(channels, kernel.Grain(rows), func(lo, hi int) {
					gatherColumns(&n.window, x[lo*plane:], columns[lo*rows:], hi-lo, first, last)
				})
				dout := dout[(image*n.filters+g*filters)*area+first:]
				kernel.Gemm(c, false, true, filters, size, last-first, 1, dout, area, columns, last-first, 1, dw[g*filters*size:], size)
			}
		}
	}
}

// convolveInput is the cotangent of the input of convolve: the columns'
// cotangents, Wᵀ·dout, added to where they were taken from, image by image.
func convolveInput[T kernel.Float](c *kernel.Context, n convolution, weights, dout, dx []T) {
	if dx, ok := any(dx).([]float32); ok && n.staged(c) {
		if g := n.geometry(); g.ConvolvesInput() {
			kernel.ConvolveInput(c, g, any(weights).([]float32), any(dout).([]float32), dx)
			return
		}
	}
	if n.depthwise() {
		depthwiseInput(c, n, weights, dout, dx)
		return
	}
	columnInput(c, n, weights, dout, dx)
}

func columnInput[T kernel.Float](c *kernel.Context, n convolution, weights, dout, dx []T) {
	channels, filters, size := n.group()
	area, plane, tile := volume(n.out), volume(n.in), n.tile()
	c.Parallel(n.images*n.groups, 1, func(task, _ int) {
		columns := kernel.Scratch[T](c, size*tile)
		defer kernel.Release(c, columns)
		dx, dout := dx[task*channels*plane:(task+1)*channels*plane], dout[task*filters*area:]
		clear(dx)
		for first := 0; first < area; first += tile {
			last := min(first+tile, area)
			kernel.Gemm(c.Serial(), true, false, size, last-first, filters, 1, weights[task%n.groups*filters*size:], size, dout[first:], area, 0, columns, last-first)
			scatterColumns(&n.window, columns, dx, channels, first, last)
		}
	})
}

// depthwise convolves each channel with its own filters.
func depthwise[T kernel.Float](c *kernel.Context, n convolution, x, weights, bias, y []T) {
	area, plane, taps, each := volume(n.out), volume(n.in), volume(n.kernel), n.filters/n.groups
	step := n.stride[spatialDims-1]
	c.Parallel(n.images*n.filters, kernel.Grain(area*taps), func(lo, hi int) {
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
	c.Parallel(n.images*n.channels, kernel.Grain(area*taps), func(lo, hi int) {
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
