package kernel

// Where no vector of a result's elements lies across a gap between staged rows, a micro-kernel ends
// what it has computed (see [Ending]) and writes it where it belongs: nothing is computed for the
// gaps, and sums need no second pass.

const (
	filtersMax    = 96                        // of a block, whose weights are to stay in the second-level cache
	affineNumbers = 3                         // of Ending for each filter: Bias, Scale and Shift
	halvesRows    = 4                         // of a tile of two vectors, if a row is half of one
	maxLanes      = 16                        // of a vector
	blockElements = filtersMax * 2 * maxLanes // of a result's block: some filters and two vectors
)

// finding is how vectors of a result find what they read.
type finding uint8

const (
	acrossGaps finding = iota // as if there were none: sums are computed for the gaps, too
	byVector                  // each vector for itself
	byHalf                    // each half of a vector
	byRow                     // row by row, of a depthwise convolution
)

// found returns how vectors of so many lanes do.
func (s *staging) found(v *vectorKernels) finding {
	lanes, width := v.gemm.lanes, s.Out[1]
	switch {
	case s.depthwise:
		if s.rowKernel(v) != nil {
			return byRow
		}
		return acrossGaps
	case s.gapless, width%lanes == 0:
		return byVector
	case v.conv.halves != nil && 2*width == lanes && s.Out[0]%halvesRows == 0:
		return byHalf
	}
	return acrossGaps
}

// rowKernel returns the kernel of a depthwise convolution row by row, nil if there is none.
func (s *staging) rowKernel(v *vectorKernels) depthwiseKernel {
	if one := [2]int{1, 1}; s.Stride != one || s.Dilation != one {
		return nil
	}
	switch s.Taps {
	case [2]int{3, 3}:
		return v.conv.depthwiseRows3
	case [2]int{5, 5}:
		return v.conv.depthwiseRows5
	}
	return nil
}

// affine fills in the numbers that a micro-kernel takes for each filter.
func (e *Ending) affine(numbers []float32) {
	for f := range len(numbers) / affineNumbers {
		n := numbers[affineNumbers*f:][:affineNumbers]
		n[0], n[1], n[2] = 0, 1, 0
		if e.Bias != nil {
			n[0] = e.Bias[f]
		}
		if e.Scale != nil {
			n[1], n[2] = e.Scale[f], e.Shift[f]
		}
	}
}

// byRow computes channels [first, first+count) of a part of a depthwise convolution, a few at a time,
// which stay in the first-level cache.
func (s *staging) byRow(c *Context, p part, first, count int, x, w []float32, e Ending, affine, y []float32) {
	rows, _ := s.extent(p)
	size := s.channelSize(rows)
	few := max(1, min(count, channelElements/size))
	staged := Scratch[float32](c, few*size)
	defer Release(c, staged)
	s.pad(staged)
	at := Scratch[int32](c, s.size)
	defer Release(c, at)
	s.offsets(rows, at)
	gates := Scratch[float32](c, blockElements)
	defer Release(c, gates)
	area, begin, kernel := s.Out[0]*s.Out[1], int(at[0]/bytesOf(1)), s.rowKernel(c.vector)
	for last := first + count; first < last; first += few {
		n := min(few, last-first)
		s.fill(c.vector, p, rows, first, n, x, staged)
		for i := range p.images {
			to := ((p.image+i)*s.Filters+first)*area + p.first*s.Out[1]
			var added *float32
			if e.Added != nil {
				added = &e.Added[to]
			}
			kernel(n, p.last-p.first, s.Out[1], &w[first*s.size], &staged[begin+i*s.height*s.pitch], size, s.pitch, &y[to], area, s.Out[1], &affine[affineNumbers*first], added, e.Low, e.High)
		}
		s.gate(c.vector, p, first, n, e.Gate, gates, y)
	}
}

// A placed is a part of a convolution whose elements are known by their positions, row by row and
// image by image.
type placed struct {
	*staging
	part
	v            *vectorKernels
	w, staged    []float32
	at           []int32
	e            Ending
	affine, y    []float32
	inImage, all int // positions
}

func (s *staging) placedPart(v *vectorKernels, p part, w, staged []float32, at []int32, e Ending, affine, y []float32) placed {
	inImage := (p.last - p.first) * s.Out[1]
	return placed{s, p, v, w, staged, at, e, affine, y, inImage, p.images * inImage}
}

// from is where what is staged for a position begins.
func (p *placed) from(position int) *float32 {
	image, in := position/p.inImage, position%p.inImage
	return &p.staged[(image*p.height+in/p.Out[1])*p.pitch+in%p.Out[1]]
}

// to is where the element of a filter and a position lies in the result.
func (p *placed) to(filter, position int) int {
	image, in := p.image+position/p.inImage, position%p.inImage
	return ((image*p.Filters+filter)*p.Out[0]+p.first)*p.Out[1] + in
}

// multiply computes filters [first, first+count), block by block: those of some filters and one or
// two vectors. There is room for two blocks.
func (p *placed) multiply(first, count int, room []float32) {
	lanes, area := p.v.gemm.lanes, p.Out[0]*p.Out[1]
	height := tileHeight(count, len(p.v.conv.wide))
	block, addends := room[:blockElements], room[blockElements:]
	for rows, last := 0, first+count; first < last; first += rows {
		rows = min(max(1, filtersMax/height)*height, last-first)
		for j := 0; j < p.all; j += 2 * lanes {
			b := tiles{first, rows, height, j, 2 * lanes}
			if p.all-j <= lanes {
				b.width = lanes
			}
			var added []float32
			if j%p.inImage+b.width <= p.inImage {
				to := p.to(first, j)
				if p.e.Added != nil {
					added = p.e.Added[to:]
				}
				p.block(b, added, p.y[to:], area)
				continue
			}
			// The elements of the next image lie elsewhere, and after the last there are none.
			if p.e.Added != nil {
				added = addends
				p.stretches(b, func(q, n int) {
					p.v.conv.stage(rows, 1, n, &p.e.Added[p.to(first, q)], area, 0, &addends[q-j], b.width, 0)
				})
			}
			p.block(b, added, block, b.width)
			p.stretches(b, func(q, n int) {
				p.v.conv.stage(rows, 1, n, &block[q-j], b.width, 0, &p.y[p.to(first, q)], area, 0)
			})
		}
	}
}

// tiles are those of a block: rows of filters from first on, tile by tile of a height, and
// positions from j on.
type tiles struct{ first, rows, height, j, width int }

// stretches calls f for the positions of a block, image by image.
func (p *placed) stretches(b tiles, f func(position, n int)) {
	for q, end := b.j, min(b.j+b.width, p.all); q < end; {
		n := min(end-q, p.inImage-q%p.inImage)
		f(q, n)
		q += n
	}
}

// block computes one: y and what is added have rows that lie pitch apart.
func (p *placed) block(b tiles, added, y []float32, pitch int) {
	kernels, x, half := p.v.conv.wide, p.from(b.j), 0
	x2 := x
	if b.width > p.v.gemm.lanes {
		x2 = p.from(b.j + p.v.gemm.lanes)
	} else {
		kernels = p.v.conv.narrow
	}
	if p.find == byHalf {
		kernels, half = p.v.conv.halves, int(bytesOf(p.pitch))
	}
	deep := depth(p.size)
	for from := 0; from < p.size; from += deep {
		k := min(deep, p.size-from)
		for f := 0; f < b.rows; {
			count, height := (b.rows-f)/b.height, b.height
			if count == 0 {
				count, height = 1, b.rows-f
			}
			var numbers, addends *float32 // for the last block of k
			if from+k == p.size {
				numbers = &p.affine[affineNumbers*(b.first+f)]
				if added != nil {
					addends = &added[f*pitch]
				}
			}
			kernels[height-1](count, k, &p.w[(b.first+f)*p.size+from], p.size, x, x2, half, &p.at[from], &y[f*pitch], pitch, min(from, 1), numbers, addends, p.e.Low, p.e.High)
			f += count * height
		}
	}
}
