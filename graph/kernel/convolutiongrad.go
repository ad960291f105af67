package kernel

// ConvolveFilters computes dw, the cotangent of the filters of [Convolve], from x and the result's
// cotangent dy: for each tap a product of what it reads with dy, added up over parts of the images
// in order. An element of a depthwise convolution is summed in float64.
func ConvolveFilters(c *Context, g Convolution, x, dy, dw []float32) {
	g.checkGrad("ConvolveFilters", len(x), len(dw), len(dy))
	if len(dy) == 0 {
		clear(dw)
		return
	}
	s := newStaging(c, g)
	defer giveBack(c, s)
	s.divide(c.Serial(), stagedElements, true) // how a sum is divided must not depend on the threads
	if s.depthwise {
		Run(c, s.Channels, s.chunk, depthwiseFiltersTask{s, x, dy, dw})
		return
	}
	if s.gapless && s.taps() == 1 && s.Stride == [2]int{1, 1} {
		s.pointwiseFilters(c, x, dy, dw)
		return
	}
	channels, filters, taps := s.Channels/s.Groups, s.Filters/s.Groups, s.taps()
	products := Scratch[float32](c, taps*channels*filters) // [taps, channels, filters]
	defer Release(c, products)
	for group := range s.Groups {
		clear(products)
		for i := range s.parts() {
			s.partOfFilters(c, s.part(i), group, x, dy, products)
		}
		Run(c, filters, Grain(s.size), filterOrder{s, products, dw[group*filters*s.size:]})
	}
}

// filterOrder brings [taps, channels, filters] in the order of filters, [filters, channels, taps].
type filterOrder struct {
	*staging
	products, dw []float32
}

func (t *filterOrder) Chunk(_ *Context, lo, hi int) {
	channels, filters, taps := t.Channels/t.Groups, t.Filters/t.Groups, t.taps()
	for f := lo; f < hi; f++ {
		for k := range t.size {
			t.dw[f*t.size+k] = t.products[(k%taps*channels+k/taps)*filters+f]
		}
	}
}

// pointwiseFilters computes the filters of a convolution that reads x as it lies.
func (s *staging) pointwiseFilters(c *Context, x, dy, dw []float32) {
	channels, filters, area := s.Channels/s.Groups, s.Filters/s.Groups, s.Out[0]*s.Out[1]
	for group := range s.Groups {
		for n := range s.Images {
			x, dy := x[(n*s.Channels+group*channels)*area:], dy[(n*s.Filters+group*filters)*area:]
			Gemm(c, false, true, filters, channels, area, 1, dy, area, x, area, float32(min(n, 1)), dw[group*filters*channels:], channels)
		}
	}
}

func (g *Convolution) checkGrad(kernel string, x, w, y int) {
	need(kernel, "x", x, g.Images*g.Channels*g.In[0]*g.In[1])
	need(kernel, "the filters", w, g.Filters*g.Channels/g.Groups*g.Taps[0]*g.Taps[1])
	need(kernel, "y", y, g.Images*g.Filters*g.Out[0]*g.Out[1])
}

// partOfFilters adds a part's share to the products.
func (s *staging) partOfFilters(c *Context, p part, group int, x, dy, products []float32) {
	t := filterPart{staging: s, part: p, group: group, x: x, dy: dy, products: products}
	channels, filters := s.Channels/s.Groups, s.Filters/s.Groups
	t.rows, t.length = s.extent(p)
	t.padded = (t.length + transposedRows - 1) / transposedRows * transposedRows
	t.staged = Scratch[float32](c, channels*s.channelSize(t.rows))
	defer Release(c, t.staged)
	t.flat = Scratch[float32](c, filters*t.padded)
	defer Release(c, t.flat)
	t.pitch = (filters + transposedRows - 1) / transposedRows * transposedRows
	t.transposed = Scratch[float32](c, t.padded*t.pitch)
	defer Release(c, t.transposed)
	t.at = Scratch[int32](c, s.taps())
	defer Release(c, t.at)
	s.offsets(t.rows, t.at)
	Run(c, channels, Grain(s.channelSize(t.rows)), filterPartInput{t})
	Run(c, t.pitch/transposedRows, Grain(transposedRows*t.padded), filterPartCotangent{t})
	if len(t.at) == 1 {
		t.multiply(c, 0)
		return
	}
	Run(c, len(t.at), 1, filterPartTap{t})
}

// transposedRows is the number of rows that packAcross transposes at a time.
const transposedRows = 8

// filterPart is what a part of a group adds to the products of the taps.
type filterPart struct {
	*staging
	part
	group           int
	x, dy, products []float32

	rows, length, padded int       // of what is staged
	staged               []float32 // x
	flat                 []float32 // dy with zeros where the rows have gaps
	transposed           []float32 // flat, in rows of pitch filters
	pitch                int
	at                   []int32 // where each tap begins to read, in bytes
}

func (t *filterPart) multiply(c *Context, tap int) {
	channels, filters, size := t.Channels/t.Groups, t.Filters/t.Groups, t.channelSize(t.rows)
	Gemm(c, false, false, channels, filters, t.length, 1, t.staged[t.at[tap]/bytesOf(1):], size, t.transposed, t.pitch, 1, t.products[tap*channels*filters:], filters)
}

// The tasks of a filterPart: it is staged by channels, and by filters, and multiplied by taps.
type (
	filterPartInput     struct{ filterPart }
	filterPartCotangent struct{ filterPart }
	filterPartTap       struct{ filterPart }
)

func (t *filterPartInput) Chunk(c *Context, lo, hi int) {
	size := t.channelSize(t.rows)
	staged := t.staged[lo*size : hi*size]
	t.pad(staged)
	t.fill(c.vector, t.part, t.rows, t.group*t.Channels/t.Groups+lo, hi-lo, t.x, staged)
}

func (t *filterPartCotangent) Chunk(c *Context, lo, hi int) {
	filters := t.Filters / t.Groups
	lo, hi = lo*transposedRows, min(hi*transposedRows, filters)
	t.spread(c.vector, t.part, t.group*filters+lo, hi-lo, t.dy, t.flat[lo*t.padded:hi*t.padded], t.padded)
	for f := lo; f < hi; f += transposedRows {
		c.vector.gemm.packAcross(t.padded, &t.flat[f*t.padded], t.padded, &t.transposed[f], t.pitch, min(transposedRows, filters-f))
	}
}

func (t *filterPartTap) Chunk(c *Context, tap, _ int) { t.multiply(c, tap) }

// spread lays out a part of planes [first, first+count) of y as sums are, with zeros between.
func (s *staging) spread(v *vectorKernels, p part, first, count int, y, flat []float32, pitch int) {
	clear(flat)
	area := s.Out[0] * s.Out[1]
	for i := range p.images {
		from := ((p.image+i)*s.Filters+first)*area + p.first*s.Out[1]
		v.conv.stage(count, p.last-p.first, s.Out[1], &y[from], area, s.Out[1], &flat[i*s.height*s.pitch], pitch, s.pitch)
	}
}

type depthwiseFiltersTask struct {
	*staging
	x, dy, dw []float32
}

func (t *depthwiseFiltersTask) Chunk(c *Context, lo, hi int) {
	t.depthwiseFilters(c, lo, hi-lo, t.x, t.dy, t.dw)
}

// depthwiseFilters computes the filters of channels [first, first+count).
func (s *staging) depthwiseFilters(c *Context, first, count int, x, dy, dw []float32) {
	taps := s.taps()
	sums := Scratch[float64](c, count*taps)
	defer Release(c, sums)
	clear(sums)
	at := Scratch[int32](c, taps)
	defer Release(c, at)
	for i := range s.parts() {
		p := s.part(i)
		rows, length := s.extent(p)
		size := s.channelSize(rows)
		staged, flat := Scratch[float32](c, count*size), Scratch[float32](c, count*length)
		s.pad(staged)
		s.fill(c.vector, p, rows, first, count, x, staged)
		s.spread(c.vector, p, first, count, dy, flat, length)
		s.offsets(rows, at)
		for channel := range count {
			for tap, at := range at {
				sums[channel*taps+tap] += c.vector.dot(length, &flat[channel*length], &staged[channel*size+int(at/bytesOf(1))])
			}
		}
		Release(c, staged)
		Release(c, flat)
	}
	for i, sum := range sums {
		dw[first*taps+i] = float32(sum)
	}
}

// ConvolvesInput reports whether ConvolveInput serves a geometry: it does but for dilated filters
// that move in steps.
func (g *Convolution) ConvolvesInput() bool {
	return g.Stride == [2]int{1, 1} || g.Dilation == [2]int{1, 1}
}

// ConvolveInput computes dx, the cotangent of the input of [Convolve], from the filters and the
// result's cotangent dy, for geometries that ConvolvesInput says yes to: each phase of dx (see
// [staging]) is the convolution of dy with those taps, in reverse, that read the phase.
func ConvolveInput(c *Context, g Convolution, w, dy, dx []float32) {
	g.checkGrad("ConvolveInput", len(dx), len(w), len(dy))
	plane, area := g.In[0]*g.In[1], g.Out[0]*g.Out[1]
	if g.Stride == [2]int{1, 1} {
		g.phaseOfInput(c, 0, 0, w, dy, dx)
		return
	}
	const atOnce = 1 << 18 // about the number of elements of dx whose phases are kept apart
	step := max(1, min(g.Images, atOnce/max(1, g.Channels*plane)))
	apart := Scratch[float32](c, step*g.Channels*g.phaseRows(0, 0)*g.phaseRows(1, 0))
	defer Release(c, apart)
	part := g
	for n := 0; n < g.Images; n += step {
		part.Images = min(step, g.Images-n)
		dy, dx := dy[n*g.Filters*area:], dx[n*g.Channels*plane:]
		for y := range g.Stride[0] {
			for x := range g.Stride[1] {
				rows, columns := g.phaseRows(0, y), g.phaseRows(1, x)
				if rows == 0 || columns == 0 {
					continue
				}
				part.phaseOfInput(c, y, x, w, dy, apart)
				Run(c, part.Images*g.Channels, Grain(rows*columns), joining{g, y, x, apart, dx})
			}
		}
	}
}

// joining puts the elements of a phase to their places in dx.
type joining struct {
	Convolution
	y, x      int // the phase
	apart, dx []float32
}

func (t *joining) Chunk(_ *Context, lo, hi int) {
	rows, columns, plane := t.phaseRows(0, t.y), t.phaseRows(1, t.x), t.In[0]*t.In[1]
	for i := lo; i < hi; i++ {
		for row := range rows {
			to := t.dx[i*plane+(t.y+row*t.Stride[0])*t.In[1]+t.x : (i+1)*plane]
			for j, v := range t.apart[(i*rows+row)*columns : (i*rows+row+1)*columns] {
				to[j*t.Stride[1]] = v
			}
		}
	}
}

// phaseRows is the number of rows, or of columns, of a phase of the input.
func (g *Convolution) phaseRows(d, phase int) int {
	return max(0, (g.In[d]-phase+g.Stride[d]-1)/g.Stride[d])
}

// phaseOfInput computes a phase of dx.
func (g Convolution) phaseOfInput(c *Context, y, x int, w, dy, dx []float32) {
	back := Convolution{
		Images: g.Images, Channels: g.Filters, Filters: g.Channels, Groups: g.Groups,
		In: g.Out, Out: [2]int{g.phaseRows(0, y), g.phaseRows(1, x)}, Stride: [2]int{1, 1}, Dilation: g.Dilation,
	}
	var first [2]int // the first tap that reads the phase; the others are a stride apart
	for d, phase := range [2]int{y, x} {
		first[d] = (g.Before[d] + phase) % g.Stride[d]
		back.Taps[d] = max(0, (g.Taps[d]-first[d]+g.Stride[d]-1)/g.Stride[d])
		last := first[d] + (back.Taps[d]-1)*g.Stride[d]
		back.Before[d] = (last*g.Dilation[d] - g.Before[d] - phase) / g.Stride[d]
	}
	taps := back.Taps[0] * back.Taps[1]
	if taps == 0 {
		clear(dx[:back.Images*back.Filters*back.Out[0]*back.Out[1]])
		return
	}
	size := g.Filters / g.Groups * taps // of the filters of back
	reversed := Scratch[float32](c, g.Channels*size)
	defer Release(c, reversed)
	Run(c, g.Channels, Grain(size), reversing{g, back.Taps, first, w, reversed})
	Convolve(c, back, dy, reversed, Unbounded(), dx)
}

// reversing writes some taps of the filters, in reverse, by channels.
type reversing struct {
	Convolution
	taps, first [2]int // how many, from which one on, a stride apart
	w, reversed []float32
}

func (t *reversing) Chunk(_ *Context, lo, hi int) {
	channels, filters := t.Channels/t.Groups, t.Filters/t.Groups
	taps, all := t.taps[0]*t.taps[1], t.Taps[0]*t.Taps[1]
	for i := lo; i < hi; i++ {
		group, channel := i/channels, i%channels
		to := t.reversed[i*filters*taps : (i+1)*filters*taps]
		for f := range filters {
			from := t.w[((group*filters+f)*channels+channel)*all:]
			for tap := range taps {
				a, b := t.first[0]+(t.taps[0]-1-tap/t.taps[1])*t.Stride[0], t.first[1]+(t.taps[1]-1-tap%t.taps[1])*t.Stride[1]
				to[f*taps+tap] = from[a*t.Taps[1]+b]
			}
		}
	}
}
