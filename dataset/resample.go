package dataset

import "math"

// A filter weighs the samples around a point: weight(x) is that of a sample at
// distance x, 0 from support on.
type filter struct {
	support float64
	weight  func(x float64) float64
}

// filters are Pillow's convolution filters (Resample.c); [Nearest] is none.
func (i Interpolation) filter() filter {
	switch i {
	case Box:
		return filter{0.5, func(x float64) float64 {
			if x > -0.5 && x <= 0.5 {
				return 1
			}
			return 0
		}}
	case Bilinear:
		return filter{1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }}
	case Hamming:
		return filter{1, func(x float64) float64 {
			x = math.Abs(x)
			switch {
			case x == 0:
				return 1
			case x >= 1:
				return 0
			}
			x *= math.Pi
			return math.Sin(x) / x * (0.54 + 0.46*math.Cos(x))
		}}
	case Bicubic:
		const a = -0.5
		return filter{2, func(x float64) float64 {
			x = math.Abs(x)
			switch {
			case x < 1:
				return ((a+2)*x-(a+3))*x*x + 1
			case x < 2:
				return (((x-5)*x+8)*x - 4) * a
			}
			return 0
		}}
	case Lanczos:
		sinc := func(x float64) float64 {
			if x == 0 {
				return 1
			}
			return math.Sin(math.Pi*x) / (math.Pi * x)
		}
		return filter{3, func(x float64) float64 {
			if x >= -3 && x < 3 {
				return sinc(x) * sinc(x/3)
			}
			return 0
		}}
	}
	panic("dataset: no filter for interpolation " + string(i))
}

// taps are the weights of the input samples that make up one output sample.
type taps struct {
	first   int     // index of the first input sample
	weights []int32 // fixed point, precisionBits after the point
}

// precisionBits is what an int32 leaves for weights of 8-bit samples, with one
// bit for the sign and one for overshoot, in Pillow's fixed-point arithmetic.
const precisionBits = 32 - 8 - 2

// kernel returns the taps for resampling a line of in samples to out. When the
// line shrinks, the filter widens with it: that is the antialiasing.
func kernel(in, out int, f filter) []taps {
	scale := float64(in) / float64(out)
	stretch := max(scale, 1)
	support := f.support * stretch
	result := make([]taps, out)
	for i := range result {
		// The conversions forbid fused multiply-adds, which round differently.
		centre := float64((float64(i) + 0.5) * scale)
		first := max(int(centre-support+0.5), 0)
		last := min(int(centre+support+0.5), in)
		weights := make([]float64, last-first)
		var sum float64
		for j := range weights {
			weights[j] = f.weight(float64((float64(j+first) - centre + 0.5) * (1 / stretch)))
			sum += weights[j]
		}
		result[i] = taps{first: first, weights: make([]int32, len(weights))}
		for j, w := range weights {
			if sum != 0 {
				w /= sum
			}
			result[i].weights[j] = int32(math.Round(w * (1 << precisionBits)))
		}
	}
	return result
}

// resize returns p at w×h pixels, bit for bit as Pillow's Image.resize does up
// to version 12: a pass along the rows, then one along the columns, each rounded
// to bytes. Pillow 13 swaps the passes where the height shrinks much more than
// the width (python-pillow/Pillow#9549), which moves some samples by a level or
// two; today's models were trained before that.
func resize(p *pixels, w, h int, interpolation Interpolation) *pixels {
	if interpolation == Nearest {
		return resizeNearest(p, w, h)
	}
	if w != p.w {
		p = resizeRows(p, kernel(p.w, w, interpolation.filter()))
	}
	if h != p.h {
		p = resizeColumns(p, kernel(p.h, h, interpolation.filter()))
	}
	return p
}

const rounding = 1 << (precisionBits - 1)

func resizeRows(p *pixels, kernel []taps) *pixels {
	out := newPixels(len(kernel), p.h)
	for y := range p.h {
		src, dst := p.row(y), out.row(y)
		for x, t := range kernel {
			r, g, b := int32(rounding), int32(rounding), int32(rounding)
			s := src[3*t.first:]
			for j, w := range t.weights {
				r += int32(s[3*j]) * w
				g += int32(s[3*j+1]) * w
				b += int32(s[3*j+2]) * w
			}
			dst[3*x] = clamp(r >> precisionBits)
			dst[3*x+1] = clamp(g >> precisionBits)
			dst[3*x+2] = clamp(b >> precisionBits)
		}
	}
	return out
}

func resizeColumns(p *pixels, kernel []taps) *pixels {
	out := newPixels(p.w, len(kernel))
	sums := make([]int32, 3*p.w)
	for y, t := range kernel {
		if len(t.weights) == 2 { // small images enlarged: without the sums it takes half the time
			mixRows(out.row(y), p.row(t.first), p.row(t.first+1), t.weights[0], t.weights[1])
			continue
		}
		for i := range sums {
			sums[i] = rounding
		}
		for j, w := range t.weights {
			for i, v := range p.row(t.first + j) {
				sums[i] += int32(v) * w
			}
		}
		dst := out.row(y)
		for i, s := range sums {
			dst[i] = clamp(s >> precisionBits)
		}
	}
	return out
}

// mixRows writes the weighted sum of two rows.
func mixRows(dst, a, b []byte, wa, wb int32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = clamp((rounding + int32(a[i])*wa + int32(b[i])*wb) >> precisionBits)
	}
}

// resizeNearest takes the pixel below each output pixel's centre. The position
// is accumulated, not multiplied, as Pillow does (Geometry.c).
func resizeNearest(p *pixels, w, h int) *pixels {
	positions := func(in, out int) []int {
		step := float64(in) / float64(out)
		at := step * 0.5
		index := make([]int, out)
		for i := range index {
			index[i] = min(int(at), in-1)
			at += step
		}
		return index
	}
	columns := positions(p.w, w)
	out := newPixels(w, h)
	for y, sy := range positions(p.h, h) {
		src, dst := p.row(sy), out.row(y)
		for x, sx := range columns {
			copy(dst[3*x:3*x+3], src[3*sx:3*sx+3])
		}
	}
	return out
}

// crop returns the w×h part of p whose top left corner is at (left, top), which
// may be negative: what lies outside p is black.
func crop(p *pixels, left, top, w, h int) *pixels {
	if left == 0 && top == 0 && w == p.w && h == p.h {
		return p
	}
	out := newPixels(w, h)
	x0, x1 := max(0, -left), min(w, p.w-left)
	for y := max(0, -top); y < min(h, p.h-top); y++ {
		copy(out.row(y)[3*x0:3*x1], p.row(y + top)[3*(x0+left):])
	}
	return out
}
