package kernel

// A staging is how [Convolve] lays the rows of images out so that what a tap reads for
// consecutive positions lies one after the other, for any tap, with the zeros of the padding
// in place: a convolution then is a product of the filters with rows that begin anywhere, and
// nothing is copied for each tap.
//
// For a stride s an image is split in s·s phases, the elements whose row and column leave the
// same remainders by s; in each of them a tap's elements are neighbours. A row of a phase and
// the next lie pitch elements apart, with zeros between, which serve as the padding to the
// right of one and to the left of the other; so do the rows of zeros between two images. A
// result is computed for every element of a row, those between rows too, which finish drops.
type staging struct {
	Convolution
	depthwise   bool
	least, most [2]int  // the least and the greatest distance of a tap in its phase, or 0
	pitch       int     // elements from a row to the next
	height      int     // rows from an image to the next
	images      int     // in a part
	rows        int     // of the result in a part, of one image if there are fewer than all
	all, chunk  int     // filters of a group, or channels if depthwise, and those of a task
	size        int     // channels of a group times taps
	gapless     bool    // there is nothing between rows, or after them
	padding     float32 // what else there is
	find        finding // how a convolution's vectors find what they read
}

// stagedElements is about the number of elements of an image, and of sums, that a task has: they
// are to stay in the second-level cache, unless there are so many filters that reading them for
// each task takes longer. channelElements is that of what is computed channel by channel, in the
// first-level cache. shortest is the number of positions that images are put together for, and
// fewest that of rows that another thread may have.
const (
	stagedElements  = 112 << 10
	channelElements = 10 << 10
	fewest          = 128
	depthwiseBlock  = 64 // elements that its kernel computes at a time
	shortest        = 512
)

// newStaging returns a staging to be given back.
func newStaging(c *Context, g Convolution) *staging {
	s := borrow(c, staging{Convolution: g, depthwise: g.Groups == g.Channels && g.Groups == g.Filters})
	for d := range s.least {
		least, _ := s.distance(d, 0)
		most, _ := s.distance(d, g.Taps[d]-1)
		s.least[d], s.most[d] = min(least, 0), max(most, 0)
	}
	s.pitch, s.height = s.room(1), s.room(0)
	s.gapless = s.dense(0) && s.dense(1)
	s.size = g.Channels / g.Groups * s.taps()
	return s
}

// divide divides the work into parts that have about so many elements, with sums or, if none are
// kept, without.
func (s *staging) divide(c *Context, elements int, sums bool) {
	g := &s.Convolution
	filters := g.Filters / g.Groups
	s.all = filters
	perRow := g.Channels / g.Groups * g.Stride[0] * g.Stride[1] * s.pitch
	if sums {
		perRow += filters * s.pitch
	}
	budget := max(elements, min(4*elements, filters*s.size/4))
	s.rows = min(g.Out[0], max(1, budget/perRow))
	s.images = 1
	if s.rows == g.Out[0] {
		fit := budget / (perRow * s.height)
		useful := (shortest + s.height*s.pitch - 1) / (s.height * s.pitch)
		shared := (g.Images + c.threads - 1) / c.threads
		s.images = max(1, min(fit, useful, shared))
		parts := (g.Images + s.images - 1) / s.images
		s.images = (g.Images + parts - 1) / parts
	}
	s.chunk = s.all
	if s.depthwise {
		s.all = g.Channels
		s.chunk = max(1, min(s.all, stagedElements/(perRow*s.rows*s.images)))
	}
	// Few parts are divided further, so that every thread has something to do: rows, as far as there
	// are enough for what goes with each part, then filters, for each of which an image is staged anew.
	few := 2 * c.threads
	tasks := func() int { return s.parts() * s.chunks() }
	if c.threads > 1 && tasks() < few && s.images == 1 && !s.depthwise {
		least := (fewest + g.Out[1] - 1) / g.Out[1]
		s.rows = min(s.rows, max(least, s.rows*tasks()/few))
	}
	s.rows = (g.Out[0] + s.bands() - 1) / s.bands()
	if s.find == byHalf {
		s.rows = (s.rows + halvesRows - 1) / halvesRows * halvesRows
	}
	if n := tasks(); c.threads > 1 && n < few {
		s.chunk = max(1, min(s.chunk, s.all*n/few))
	}
}

// distance returns how far a tap reads from a position in the phase that it reads, and that.
func (s *staging) distance(d, tap int) (distance, phase int) {
	shift := tap*s.Dilation[d] - s.Before[d]
	phase = (shift%s.Stride[d] + s.Stride[d]) % s.Stride[d]
	return (shift - phase) / s.Stride[d], phase
}

// inPhase is the number of elements of a phase along a dimension that taps read.
func (s *staging) inPhase(d, phase int) int {
	return max(0, min((s.In[d]-phase+s.Stride[d]-1)/s.Stride[d], s.Out[d]+s.most[d]))
}

// room is the least distance of rows, or images, at which no tap reads from the next what it is
// to read as padding.
func (s *staging) room(d int) int {
	return max(s.Out[d]+s.most[d], s.inPhase(d, 0)-s.least[d])
}

// dense reports whether taps read only elements that there are.
func (s *staging) dense(d int) bool {
	for phase := range s.Stride[d] {
		if s.reads(d, phase) && s.inPhase(d, phase) != s.Out[d] {
			return false
		}
	}
	return s.room(d) == s.Out[d]
}

func (s *staging) taps() int { return s.Taps[0] * s.Taps[1] }

// part is rows [first, last) of the result, of some images; of all rows, if there are several.
type part struct{ image, images, first, last int }

// chunks is the number of tasks for each part, of some of the filters each.
func (s *staging) chunks() int { return (s.all + s.chunk - 1) / s.chunk }

// task is one of the chunks of all parts, numbered: which part, and which filters.
func (s *staging) task(i int) (p part, first, count int) {
	first = i % s.chunks() * s.chunk
	return s.part(i / s.chunks()), first, min(s.chunk, s.all-first)
}

func (s *staging) bands() int { return (s.Out[0] + s.rows - 1) / s.rows }

func (s *staging) parts() int {
	return (s.Images + s.images - 1) / s.images * s.bands()
}

func (s *staging) part(i int) part {
	image, first := i/s.bands()*s.images, i%s.bands()*s.rows
	return part{image, min(s.images, s.Images-image), first, min(first+s.rows, s.Out[0])}
}

// extent returns the rows that are staged of each phase for a part, and the number of elements
// that are computed for it.
func (s *staging) extent(p part) (rows, length int) {
	rows = (p.images-1)*s.height + p.last - p.first
	return rows + s.most[0] - s.least[0], (rows-1)*s.pitch + s.Out[1]
}

// phaseSize is the number of elements of a staged phase: its rows, what taps read before the
// first, and what kernels read beyond the last.
func (s *staging) phaseSize(rows int) int {
	return oddLines(s.most[1] - s.least[1] + rows*s.pitch + depthwiseBlock)
}

func (s *staging) channelSize(rows int) int {
	return s.Stride[0] * s.Stride[1] * s.phaseSize(rows)
}

// offsets fills in where a channel and a tap find the first element, in bytes.
func (s *staging) offsets(rows int, at []int32) {
	taps := s.taps()
	for tap := range taps {
		y, phaseY := s.distance(0, tap/s.Taps[1])
		x, phaseX := s.distance(1, tap%s.Taps[1])
		phase := phaseY*s.Stride[1] + phaseX
		at[tap] = bytesOf(phase*s.phaseSize(rows) + (y-s.least[0])*s.pitch + x - s.least[1])
	}
	channel := bytesOf(s.channelSize(rows))
	for i := taps; i < len(at); i++ {
		at[i] = at[i-taps] + channel
	}
}

// pad makes a buffer ready for fill, once for all that is staged in it for a part.
func (s *staging) pad(staged []float32) {
	switch {
	case s.gapless:
	case s.padding == 0:
		clear(staged)
	default:
		for i := range staged {
			staged[i] = s.padding
		}
	}
}

// fill stages channels [first, first+count) of a part, in a buffer that pad has prepared.
func (s *staging) fill(v *vectorKernels, p part, rows, first, count int, x, staged []float32) {
	plane, size := s.In[0]*s.In[1], s.channelSize(rows)
	for phaseY := range s.Stride[0] {
		if !s.reads(0, phaseY) {
			continue
		}
		// Rows of the phase that there are.
		lo, hi := max(0, p.first+s.least[0]), min(p.last+s.most[0], s.inPhase(0, phaseY))
		for phaseX := range s.Stride[1] {
			width := s.inPhase(1, phaseX)
			if !s.reads(1, phaseX) || lo >= hi || width == 0 {
				continue
			}
			to := (phaseY*s.Stride[1]+phaseX)*s.phaseSize(rows) + (lo-p.first-s.least[0])*s.pitch - s.least[1]
			for i := range p.images {
				from := ((p.image+i)*s.Channels+first)*plane + (lo*s.Stride[0]+phaseY)*s.In[1] + phaseX
				s.stage(v, count, hi-lo, width, x[from:], plane, staged[to+i*s.height*s.pitch:], size)
			}
		}
	}
}

// reads reports whether some tap reads a phase.
func (s *staging) reads(d, phase int) bool {
	for tap := range s.Taps[d] {
		if _, p := s.distance(d, tap); p == phase {
			return true
		}
	}
	return false
}

// stage copies rows of width elements of planes, taking steps of the stride.
func (s *staging) stage(v *vectorKernels, planes, rows, width int, src []float32, srcPlane int, dst []float32, dstPlane int) {
	srcRow := s.Stride[0] * s.In[1]
	switch {
	case s.Stride[1] == 1 && width == s.pitch && width == srcRow: // no gaps
		v.conv.stage(planes, 1, rows*width, &src[0], srcPlane, 0, &dst[0], dstPlane, 0)
	case s.Stride[1] == 1:
		v.conv.stage(planes, rows, width, &src[0], srcPlane, srcRow, &dst[0], dstPlane, s.pitch)
	case s.Stride[1] == 2:
		v.conv.stageEven(planes, rows, width, &src[0], srcPlane, srcRow, &dst[0], dstPlane, s.pitch)
	default:
		for i := range planes * rows {
			src, dst := src[i/rows*srcPlane+i%rows*srcRow:], dst[i/rows*dstPlane+i%rows*s.pitch:]
			for j := range width {
				dst[j] = src[j*s.Stride[1]]
			}
		}
	}
}
