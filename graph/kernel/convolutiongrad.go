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
	s := newStaging(g)
	s.divide(c.Serial(), stagedElements, true) // how a sum is divided must not depend on the threads
	if s.depthwise {
		c.Parallel(s.Channels, s.chunk, func(lo, hi int) { s.depthwiseFilters(c, lo, hi-lo, x, dy, dw) })
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
		dw := dw[group*filters*s.size:]
		c.Parallel(filters, max(1, itemGrain/s.size), func(lo, hi int) {
			for f := lo; f < hi; f++ {
				for k := range s.size {
					dw[f*s.size+k] = products[(k%taps*channels+k/taps)*filters+f]
				}
			}
		})
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
	const across = 8 // rows that packAcross transposes at a time
	channels, filters := s.Channels/s.Groups, s.Filters/s.Groups
	rows, length := s.extent(p)
	padded := (length + across - 1) / across * across
	size := s.channelSize(rows)
	staged := Scratch[float32](c, channels*size)
	defer Release(c, staged)
	c.Parallel(channels, max(1, itemGrain/size), func(lo, hi int) {
		staged := staged[lo*size : hi*size]
		s.pad(staged)
		s.fill(c.vector, p, rows, group*channels+lo, hi-lo, x, staged)
	})
	flat := Scratch[float32](c, filters*padded) // dy with zeros where the rows have gaps
	defer Release(c, flat)
	pitch := (filters + across - 1) / across * across
	transposed := Scratch[float32](c, padded*pitch)
	defer Release(c, transposed)
	c.Parallel((filters+across-1)/across, max(1, itemGrain/(across*padded)), func(lo, hi int) {
		lo, hi = lo*across, min(hi*across, filters)
		s.spread(c.vector, p, group*filters+lo, hi-lo, dy, flat[lo*padded:hi*padded], padded)
		for f := lo; f < hi; f += across {
			c.vector.gemm.packAcross(padded, &flat[f*padded], padded, &transposed[f], pitch, min(across, filters-f))
		}
	})
	at := Scratch[int32](c, s.taps())
	defer Release(c, at)
	s.offsets(rows, at)
	product := func(c *Context, tap int) {
		Gemm(c, false, false, channels, filters, length, 1, staged[at[tap]/bytesOf(1):], size, transposed, pitch, 1, products[tap*channels*filters:], filters)
	}
	if len(at) == 1 {
		product(c, 0)
		return
	}
	c.Parallel(len(at), 1, func(tap, _ int) { product(c.Serial(), tap) })
}

// spread lays out a part of planes [first, first+count) of y as sums are, with zeros between.
func (s *staging) spread(v *vectorKernels, p part, first, count int, y, flat []float32, pitch int) {
	clear(flat)
	area := s.Out[0] * s.Out[1]
	for i := range p.images {
		from := ((p.image+i)*s.Filters+first)*area + p.first*s.Out[1]
		v.conv.stage(count, p.last-p.first, s.Out[1], &y[from], area, s.Out[1], &flat[i*s.height*s.pitch], pitch, s.pitch)
	}
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
				c.Items(part.Images*g.Channels, rows*columns, func(lo, hi int) {
					for i := lo; i < hi; i++ {
						for row := range rows {
							to := dx[i*plane+(y+row*g.Stride[0])*g.In[1]+x : (i+1)*plane]
							for j, v := range apart[(i*rows+row)*columns : (i*rows+row+1)*columns] {
								to[j*g.Stride[1]] = v
							}
						}
					}
				})
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
	channels, filters := g.Channels/g.Groups, g.Filters/g.Groups
	size := filters * taps // of the filters of back
	reversed := Scratch[float32](c, g.Channels*size)
	defer Release(c, reversed)
	all := g.Taps[0] * g.Taps[1]
	c.Items(g.Channels, size, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			group, channel := i/channels, i%channels
			to := reversed[i*size : (i+1)*size]
			for f := range filters {
				from := w[((group*filters+f)*channels+channel)*all:]
				for tap := range taps {
					a, b := first[0]+(back.Taps[0]-1-tap/back.Taps[1])*g.Stride[0], first[1]+(back.Taps[1]-1-tap%back.Taps[1])*g.Stride[1]
					to[f*taps+tap] = from[a*g.Taps[1]+b]
				}
			}
		}
	})
	Convolve(c, back, dy, reversed, Unbounded(), dx)
}
