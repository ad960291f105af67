package op

import (
	"fmt"

	"modeldoctor/graph/kernel"
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

// runs calls f for each tap and row of the output: output elements out to
// out+n-1 of a plane read input elements in, in+step, … of its plane, step being
// the stride of the last dimension.
func (w *window) runs(f func(tap, out, in, n int)) {
	tap := 0
	for kz := range w.kernel[0] {
		z0, z1, iz := w.span(0, kz)
		for ky := range w.kernel[1] {
			y0, y1, iy := w.span(1, ky)
			for kx := range w.kernel[2] {
				x0, x1, ix := w.span(2, kx)
				for z := z0; z < z1 && x0 < x1; z++ {
					for y := y0; y < y1; y++ {
						f(tap, (z*w.out[1]+y)*w.out[2]+x0,
							((iz+(z-z0)*w.stride[0])*w.in[1]+iy+(y-y0)*w.stride[1])*w.in[2]+ix, x1-x0)
					}
				}
				tap++
			}
		}
	}
}

// patch visits the taps of one output position in all channels of an input, row
// by row of the kernel: inside is called where taps [lo, hi) of a row lie within
// the input, the first of them at element in; the row begins at element at of the
// patch, [channels, kernel...].
func (w *window) patch(position, channels int, inside func(at, lo, hi, in int)) {
	first := [spatialDims]int{}
	for i := spatialDims - 1; i >= 0; i-- {
		first[i] = position%w.out[i]*w.stride[i] - w.before[i]
		position /= w.out[i]
	}
	lo, hi := 0, w.kernel[2]
	for lo < hi && first[2]+lo*w.dilation[2] < 0 {
		lo++
	}
	for lo < hi && first[2]+(hi-1)*w.dilation[2] >= w.in[2] {
		hi--
	}
	if lo == hi {
		return
	}
	at := 0
	for c := range channels {
		for kz := range w.kernel[0] {
			z := first[0] + kz*w.dilation[0]
			for ky := range w.kernel[1] {
				y := first[1] + ky*w.dilation[1]
				if z >= 0 && z < w.in[0] && y >= 0 && y < w.in[1] {
					inside(at, lo, hi, ((c*w.in[0]+z)*w.in[1]+y)*w.in[2]+first[2]+lo*w.dilation[2])
				}
				at += w.kernel[2]
			}
		}
	}
}

// gatherPatch copies what one output position reads, zeros outside the input.
func gatherPatch[T kernel.Float](w *window, position, channels int, x, patch []T) {
	if w.before != [spatialDims]int{} || w.after != [spatialDims]int{} {
		clear(patch)
	}
	w.patch(position, channels, func(at, lo, hi, in int) {
		if w.dilation[2] == 1 {
			copy(patch[at+lo:at+hi], x[in:])
			return
		}
		for i := lo; i < hi; i++ {
			patch[at+i] = x[in+(i-lo)*w.dilation[2]]
		}
	})
}

// scatterPatch adds a patch to where gatherPatch took it from.
func scatterPatch[T kernel.Float](w *window, position, channels int, patch, x []T) {
	w.patch(position, channels, func(at, lo, hi, in int) {
		for i, v := range patch[at+lo : at+hi] {
			x[in+i*w.dilation[2]] += v
		}
	})
}
