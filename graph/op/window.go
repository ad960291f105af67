package op

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// spatialDims is the number of spatial dimensions that windows have; images and
// signals have leading dimensions of size 1.
const spatialDims = 3

// window is the geometry of a kernel that slides over the spatial dimensions of
// an input: tap t of output position o reads input position
// o·stride − before + t·dilation, where that lies within the input.
type window struct {
	in, out, kernel, stride, dilation, before, after [spatialDims]int
}

// newWindow checks the geometry for an input [N, C, spatial...]. pads are those
// before each dimension, then those after. ceil rounds the number of positions
// up, less those that would begin in the padding after the input.
func newWindow(shape, size, strides, dilations, pads []int, ceil bool) (window, error) {
	rank := len(shape) - 2
	if rank < 1 || rank > spatialDims {
		return window{}, fmt.Errorf("expected an input [N, C, ...] with 1 to %d spatial dimensions, found %v", spatialDims, shape)
	}
	if len(size) != rank || len(strides) != rank || len(dilations) != rank || len(pads) != 2*rank {
		return window{}, fmt.Errorf("expected %d kernel sizes, strides and dilations and %d pads, found %v, %v, %v and %v", rank, 2*rank, size, strides, dilations, pads)
	}
	w := window{}
	for i := range spatialDims {
		w.in[i], w.out[i], w.kernel[i], w.stride[i], w.dilation[i] = 1, 1, 1, 1, 1
	}
	for i := range rank {
		j := spatialDims - rank + i
		w.in[j], w.kernel[j], w.stride[j], w.dilation[j] = shape[2+i], size[i], strides[i], dilations[i]
		w.before[j], w.after[j] = pads[i], pads[rank+i]
		if size[i] < 1 || strides[i] < 1 || dilations[i] < 1 || pads[i] < 0 || pads[rank+i] < 0 {
			return window{}, fmt.Errorf("expected positive kernel sizes, strides and dilations and no negative pads, found %v, %v, %v and %v", size, strides, dilations, pads)
		}
		room := w.in[j] + w.before[j] + w.after[j] - w.extent(j)
		if room < 0 {
			return window{}, fmt.Errorf("a kernel of %v with dilations %v is larger than the input %v with pads %v", size, dilations, shape[2:], pads)
		}
		w.out[j] = room/strides[i] + 1
		if ceil && room%strides[i] != 0 && w.out[j]*strides[i] < w.in[j]+w.before[j] {
			w.out[j]++
		}
	}
	return w, nil
}

// extent is the distance from the first to one past the last tap.
func (w *window) extent(dim int) int { return (w.kernel[dim]-1)*w.dilation[dim] + 1 }

// outShape is the spatial shape of the result for an input of the given rank.
func (w *window) outShape(rank int) []int { return w.out[spatialDims-(rank-2):] }

func volume(size [spatialDims]int) int { return size[0] * size[1] * size[2] }

// span returns the positions [lo, hi) along a dimension at which a tap lies
// within the input, and the input position that it reads at the first.
func (w *window) span(dim, tap int) (lo, hi, at int) {
	shift := tap*w.dilation[dim] - w.before[dim]
	if shift < 0 {
		lo = (-shift + w.stride[dim] - 1) / w.stride[dim]
	}
	hi = min(w.out[dim], (w.in[dim]-1-shift)/w.stride[dim]+1)
	if shift >= w.in[dim] || hi < lo {
		hi = lo
	}
	return lo, hi, lo*w.stride[dim] + shift
}

// stretch is a part of one output row as one tap of the kernel sees it.
type stretch struct {
	tap    int
	out, n int // first output position of its plane, number of positions
	// Of the n positions, those from lo to hi read input elements in,
	// in+stride, … of their plane; the others read outside the input.
	lo, hi, in int
}

// stretches calls f for each tap and each row of the output positions [first,
// last) of a plane, tap by tap.
func (w *window) stretches(first, last int, f func(s stretch)) {
	if first == last {
		return
	}
	width, height := w.out[2], w.out[1]
	s := stretch{}
	for kz := range w.kernel[0] {
		z0, z1, iz := w.span(0, kz)
		for ky := range w.kernel[1] {
			y0, y1, iy := w.span(1, ky)
			for kx := range w.kernel[2] {
				x0, x1, ix := w.span(2, kx)
				for row := first / width; row <= (last-1)/width; row++ {
					from, to := max(first-row*width, 0), min(last-row*width, width)
					s.out, s.n, s.lo, s.hi = row*width+from, to-from, 0, 0
					if z, y := row/height, row%height; z >= z0 && z < z1 && y >= y0 && y < y1 {
						lo, hi := max(x0, from), min(x1, to)
						if lo < hi {
							s.lo, s.hi = lo-from, hi-from
							s.in = ((iz+(z-z0)*w.stride[0])*w.in[1]+iy+(y-y0)*w.stride[1])*w.in[2] + ix + (lo-x0)*w.stride[2]
						}
					}
					f(s)
				}
				s.tap++
			}
		}
	}
}

// runs calls f for each tap and row of the output: output elements out to
// out+n-1 of a plane read input elements in, in+step, … of its plane, step being
// the stride of the last dimension.
func (w *window) runs(f func(tap, out, in, n int)) {
	w.stretches(0, volume(w.out), func(s stretch) {
		if s.lo < s.hi {
			f(s.tap, s.out+s.lo, s.in, s.hi-s.lo)
		}
	})
}

// planar reports whether the window slides over rows and columns only.
func (w *window) planar() bool { return w.in[0] == 1 && w.out[0] == 1 && w.kernel[0] == 1 }

// planes is the geometry of a planar window.
func (w *window) planes() kernel.Convolution {
	last2 := func(v [spatialDims]int) [2]int { return [2]int(v[1:]) }
	return kernel.Convolution{
		In: last2(w.in), Out: last2(w.out), Taps: last2(w.kernel), Stride: last2(w.stride), Dilation: last2(w.dilation), Before: last2(w.before),
	}
}
