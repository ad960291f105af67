package kernel

import (
	"math"
	"unsafe"
)

// Convolution is the geometry of a convolution (cross-correlation) of x [Images, Channels,
// In...] with filters w [Filters, Channels/Groups, Taps...] to y [Images, Filters, Out...]:
// tap t of position o reads x at o·Stride − Before + t·Dilation, or zero outside x. The two
// spatial dimensions are rows and columns.
type Convolution struct {
	Images, Channels, Filters, Groups       int
	In, Out, Taps, Stride, Dilation, Before [2]int
}

// Ending is what [Convolve] does with each element s of a convolution, of filter f:
//
//	y = min(High, max(Low, (s + Bias[f])·Scale[f] + Shift[f] + Added))
//
// and then what Gate says. Each of the four slices may be nil and is left out then; Scale and
// Shift go together. Added has the shape of y, which it must not overlap.
type Ending struct {
	Bias, Scale, Shift, Added []float32
	Low, High                 float32 // -Inf and +Inf for none
	Gate                      Gating
}

// Gating is a function g of an element y that it is then multiplied by: y·g(y).
type Gating struct {
	By   GateFunction
	A, B float32 // of HardSigmoidGate
}

// GateFunction names a function.
type GateFunction uint8

// The functions of a Gating.
const (
	NoGate          GateFunction = iota
	SigmoidGate                  // 1/(1+exp(-y))
	HardSigmoidGate              // A·y + B, held between 0 and 1
)

// apply multiplies n elements; gates has room for as many.
func (g Gating) apply(v *vectorKernels, n int, y, gates *float32) {
	switch g.By {
	case NoGate:
		return
	case SigmoidGate:
		v.unary[opSigmoid](n, y, gates)
	case HardSigmoidGate:
		v.clamp(n, g.A, g.B, 0, 1, y, gates)
	}
	v.binary[opMul](n, y, gates, y)
}

// Unbounded is an Ending that changes nothing.
func Unbounded() Ending { return Ending{Low: float32(math.Inf(-1)), High: float32(math.Inf(1))} }

// Convolves reports whether Convolve, and what goes with it, can compute a geometry: whether the
// Context has the micro-kernels, and what is staged at least can be addressed.
func (c *Context) Convolves(g Convolution) bool {
	const largest = 1 << 28 // elements
	width := g.In[1] + g.Out[1] + g.Taps[1]*g.Dilation[1]
	row := float64(g.Channels/g.Groups*g.Stride[0]) * float64(max(g.Stride[1], g.Taps[1])) * float64(width)
	return c.piecewise() && c.vector.conv.stage != nil && g.Channels > 0 && row*float64(2+g.Taps[0]*g.Dilation[0]) <= largest
}

// convolutionKernels are the parts of a convolution.
type convolutionKernels struct {
	stage, stageEven func(planes, rows, n int, src *float32, srcPlane, srcRow int, dst *float32, dstPlane, dstRow int)
	wide, narrow     []convolveKernel // for tiles of index+1 rows and two vectors, or one
	halves           []convolveKernel // for vectors whose halves lie apart; nil where there are none
	// For that many taps along both dimensions, moving by one; nil where there is none.
	depthwiseRows3, depthwiseRows5 depthwiseKernel

	depthwise func(planes, blocks, taps int, w, x *float32, xPlane int, at *int32, y *float32, yPlane int)
	maxPool   func(planes, blocks, taps int, x *float32, xPlane int, at *int32, y *float32, yPlane int)
	finish    func(planes, rows, n int, x *float32, xPlane, xRow int, y *float32, yPlane, yRow int, bias *float32, biasStep int, scale, shift *float32, affineStep int, added *float32, lo, hi float32)
}

type depthwiseKernel func(planes, rows, n int, w, x *float32, xPlane, xRow int, y *float32, yPlane, yRow int, affine, added *float32, lo, hi float32)

type convolveKernel func(tiles, k int, w *float32, wRow int, x, x2 *float32, half int, at *int32, y *float32, yRow int, add int, affine, added *float32, lo, hi float32)

// Convolve computes y, the convolution of x with filters w, in the Context's micro-kernels.
// An element is a sum of fused multiply-adds in ascending order of the channels and taps, in
// blocks as those of [Gemm]. y must not overlap x or w.
//
// A task stages some rows of an image (see [staging]) and multiplies them with the filters.
func Convolve(c *Context, g Convolution, x, w []float32, e Ending, y []float32) {
	plane, area := g.In[0]*g.In[1], g.Out[0]*g.Out[1]
	need("Convolve", "x", len(x), g.Images*g.Channels*plane)
	need("Convolve", "the filters", len(w), g.Filters*g.Channels/g.Groups*g.Taps[0]*g.Taps[1])
	need("Convolve", "y", len(y), g.Images*g.Filters*area)
	e.check(g.Filters, len(y))
	if len(y) == 0 {
		return
	}
	s := newStaging(c, g)
	defer giveBack(c, s)
	s.find = s.found(c.vector)
	switch {
	case s.find == byRow:
		s.divide(c, channelElements, false)
	case s.depthwise:
		s.divide(c, channelElements, true)
	case s.find == acrossGaps:
		s.divide(c, stagedElements, true)
	default:
		s.divide(c, stagedElements, false)
	}
	var affine []float32
	if s.find != acrossGaps {
		affine = Scratch[float32](c, affineNumbers*g.Filters)
		defer Release(c, affine)
		e.affine(affine)
	}
	Run(c, s.parts()*s.chunks(), 1, convolving{s, x, w, e, affine, y})
}

type convolving struct {
	*staging
	x, w   []float32
	ending Ending
	affine []float32 // see Ending.affine
	y      []float32
}

func (t *convolving) Chunk(c *Context, task, _ int) {
	p, first, count := t.task(task)
	if t.find == byRow {
		t.byRow(c, p, first, count, t.x, t.w, t.ending, t.affine, t.y)
		return
	}
	if !t.depthwise {
		t.convolveGroups(c, p, first, count, t.x, t.w, t.ending, t.affine, t.y)
		return
	}
	t.byChannel(c, p, first, count, t.x, t.ending, t.y, func(first, planes, blocks int, staged *float32, stagedPlane int, at *int32, sums *float32, pitch int) {
		c.vector.conv.depthwise(planes, blocks, t.size, &t.w[first*t.size], staged, stagedPlane, at, sums, pitch)
	})
}

// MaxPool computes the largest element of x [Images, Channels, In...] among the taps of each
// position of y [Images, Channels, Out...], NaN if there is one, in the Context's micro-kernels
// (see Convolves). Filters and Groups are the number of channels.
func MaxPool(c *Context, g Convolution, x, y []float32) {
	need("MaxPool", "x", len(x), g.Images*g.Channels*g.In[0]*g.In[1])
	need("MaxPool", "y", len(y), g.Images*g.Channels*g.Out[0]*g.Out[1])
	if len(y) == 0 {
		return
	}
	s := newStaging(c, g)
	defer giveBack(c, s)
	s.divide(c, channelElements, true)
	s.padding = float32(math.Inf(-1))
	Run(c, s.parts()*s.chunks(), 1, maxPooling{s, x, y})
}

type maxPooling struct {
	*staging
	x, y []float32
}

func (t *maxPooling) Chunk(c *Context, task, _ int) {
	p, first, count := t.task(task)
	t.byChannel(c, p, first, count, t.x, Unbounded(), t.y, func(_, planes, blocks int, staged *float32, stagedPlane int, at *int32, sums *float32, pitch int) {
		c.vector.conv.maxPool(planes, blocks, t.size, staged, stagedPlane, at, sums, pitch)
	})
}

func (e *Ending) check(filters, elements int) {
	for _, v := range [...][]float32{e.Bias, e.Scale, e.Shift} {
		if v != nil {
			need("Convolve", "a number for each filter", len(v), filters)
		}
	}
	if e.Added != nil {
		need("Convolve", "what is added", len(e.Added), elements)
	}
}

// byChannel computes channels [first, first+count) of a part, each from itself, by kernel: a few at a
// time, which stay in the first-level cache.
func (s *staging) byChannel(c *Context, p part, first, count int, x []float32, e Ending, y []float32,
	kernel func(first, planes, blocks int, staged *float32, stagedPlane int, at *int32, sums *float32, pitch int)) {
	rows, length := s.extent(p)
	blocks := (length + depthwiseBlock - 1) / depthwiseBlock
	size, pitch := s.channelSize(rows), oddLines(blocks*depthwiseBlock)
	few := max(1, min(count, channelElements/(size+pitch)))
	staged := Scratch[float32](c, few*size)
	defer Release(c, staged)
	sums := Scratch[float32](c, few*pitch)
	defer Release(c, sums)
	at := Scratch[int32](c, s.size)
	defer Release(c, at)
	s.offsets(rows, at)
	s.pad(staged)
	for last := first + count; first < last; first += few {
		n := min(few, last-first)
		s.fill(c.vector, p, rows, first, n, x, staged)
		kernel(first, n, blocks, &staged[0], size, &at[0], &sums[0], pitch)
		s.finish(c.vector, p, first, n, sums, pitch, e, y)
	}
}

// convolveGroups computes filters [first, first+count) of every group of a part.
func (s *staging) convolveGroups(c *Context, p part, first, count int, x, w []float32, e Ending, affine, y []float32) {
	rows, length := s.extent(p)
	channels, filters := s.Channels/s.Groups, s.Filters/s.Groups
	staged := Scratch[float32](c, channels*s.channelSize(rows))
	defer Release(c, staged)
	at := Scratch[int32](c, s.size)
	defer Release(c, at)
	s.offsets(rows, at)
	s.pad(staged)
	pitch := oddLines(length + 2*c.vector.gemm.lanes)
	room := count * pitch
	if s.find != acrossGaps {
		room = 2 * blockElements
	}
	sums := Scratch[float32](c, room)
	defer Release(c, sums)
	direct := s.placedPart(c.vector, p, w, staged, at, e, affine, y)
	for g := range s.Groups {
		s.fill(c.vector, p, rows, g*channels, channels, x, staged)
		f := g*filters + first
		if s.find != acrossGaps {
			direct.multiply(f, count, sums)
			s.gate(c.vector, p, f, count, e.Gate, sums, y)
			continue
		}
		multiplyStaged(c.vector, count, s.size, length, w[f*s.size:], staged, at, sums, pitch)
		s.finish(c.vector, p, f, count, sums, pitch, e, y)
	}
}

// multiplyStaged computes sums[f,j] = Σ w[f,k]·staged[at[k]/4+j], j < n, for a number of filters.
func multiplyStaged(v *vectorKernels, filters, size, n int, w, staged []float32, at []int32, sums []float32, pitch int) {
	lanes, height := v.gemm.lanes, tileHeight(filters, len(v.conv.wide))
	block := max(1, filtersMax/height) * height
	deep := depth(size)
	for from := 0; from < size; from += deep {
		k, add := min(deep, size-from), min(from, 1)
		for f := 0; f < filters; f += block {
			tiles, rest := min(block, filters-f)/height, min(block, filters-f)%height
			for j := 0; j < n; j += 2 * lanes {
				kernels := v.conv.wide
				if n-j <= lanes {
					kernels = v.conv.narrow
				}
				if tiles > 0 {
					kernels[height-1](tiles, k, &w[f*size+from], size, &staged[j], &staged[j+lanes], 0, &at[from], &sums[f*pitch+j], pitch, add, nil, nil, 0, 0)
				}
				if rest > 0 {
					f := f + tiles*height
					kernels[rest-1](1, k, &w[f*size+from], size, &staged[j], &staged[j+lanes], 0, &at[from], &sums[f*pitch+j], pitch, add, nil, nil, 0, 0)
				}
			}
		}
	}
}

// tileHeight is the height of the tiles that so many filters are computed in: the largest
// that leaves no low tile over, if there is one of at least two thirds of the largest.
func tileHeight(filters, largest int) int {
	for h := largest; 3*h >= 2*largest; h-- {
		if filters%h == 0 {
			return h
		}
	}
	tiles := (filters + largest - 1) / largest
	return (filters + tiles - 1) / tiles
}

var (
	noBias, noShift = [1]float32{0}, [1]float32{0}
	noScale         = [1]float32{1}
)

// finish writes the elements of filters [first, first+count) of a part to y.
func (s *staging) finish(v *vectorKernels, p part, first, count int, sums []float32, pitch int, e Ending, y []float32) {
	bias, biasStep := &noBias[0], 0
	if e.Bias != nil {
		bias, biasStep = &e.Bias[first], 1
	}
	scale, shift, affineStep := &noScale[0], &noShift[0], 0
	if e.Scale != nil {
		scale, shift, affineStep = &e.Scale[first], &e.Shift[first], 1
	}
	area := s.Out[0] * s.Out[1]
	rows, width := p.last-p.first, s.Out[1]
	if s.pitch == width { // the rows have no gaps
		rows, width = 1, rows*width
	}
	for i := range p.images {
		to := ((p.image+i)*s.Filters+first)*area + p.first*s.Out[1]
		var added *float32
		if e.Added != nil {
			added = &e.Added[to]
		}
		v.conv.finish(count, rows, width, &sums[i*s.height*s.pitch], pitch, s.pitch, &y[to], area, s.Out[1],
			bias, biasStep, scale, shift, affineStep, added, e.Low, e.High)
	}
	s.gate(v, p, first, count, e.Gate, sums, y) // no sum is needed any more
}

// gate multiplies the elements of filters [first, first+count) of a part by their gates, for which
// there is room.
func (s *staging) gate(v *vectorKernels, p part, first, count int, g Gating, room, y []float32) {
	if g.By == NoGate {
		return
	}
	area := s.Out[0] * s.Out[1]
	planes, length := count, (p.last-p.first)*s.Out[1]
	if length == area {
		planes, length = 1, count*area
	}
	for i := range p.images * planes {
		from := ((p.image+i/planes)*s.Filters+first+i%planes)*area + p.first*s.Out[1]
		for y := y[from : from+length]; len(y) > 0; {
			n := min(len(y), len(room))
			g.apply(v, n, &y[0], &room[0])
			y = y[n:]
		}
	}
}

// oddLines rounds a length up to an odd number of cache lines, so that rows that long do not
// all fall into the same few sets of a cache.
func oddLines(n int) int { return ((n+15)/16 | 1) * 16 }

// bytesOf is an index of float32 as an offset in bytes.
func bytesOf(i int) int32 { return int32(i * int(unsafe.Sizeof(float32(0)))) }
