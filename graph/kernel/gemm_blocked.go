package kernel

// Blocking of the matrix product. The micro-kernels sum an element of the result over at most
// depthMax values of k, add that to the result, and so on: the depth of the blocks decides
// how the sum is rounded, and so depends on k alone.
const (
	depthMax = 384 // a panel of b, depth x one tile's width, is to stay in the first-level cache
	depthOf  = 8   // depths are multiples of this, but for the last
	rowsMax  = 192 // a block of a, rows x depth, is to stay in the second-level cache

	// Below these sizes an operand is read where it lies: packing would not pay.
	packRowsMin    = 48  // rows of the result, for b
	packColumnsMin = 128 // columns of the result, for a transposed a

	// flopsParallel is the number of multiplications below which waking other threads takes
	// longer than they save.
	flopsParallel = 1 << 19

	// tasksPerThread is how many tasks a thread gets at least, where there are as many tiles: so
	// that none waits long for another to end its last.
	tasksPerThread = 16
)

// depth returns the depth of the k blocks of a product.
func depth(k int) int {
	d := ceilDiv(k, max(1, ceilDiv(k, depthMax)))
	return max(1, ceilDiv(d, depthOf)*depthOf)
}

// product is one matrix product on the way: first its operands, then the state of the
// current block of k.
type product struct {
	*gemmKernels
	transA, transB bool
	m, n, k        int
	alpha          float32
	a              []float32
	lda            int
	b              []float32
	ldb            int
	beta           float32
	out            []float32
	ldc            int
	ending         tileEnding

	packedA, packedB []float32 // buffers; nil where the operand is read in place
	fromA            int       // the tile that packedA begins with
	from, depth      int       // the block of k
	betaNow          float32   // beta, then 1 from the second block on
}

func (p *product) tileRows() int    { return len(p.wide) }
func (p *product) tileColumns() int { return 2 * p.lanes }
func (p *product) tilesDown() int   { return ceilDiv(p.m, p.tileRows()) }
func (p *product) tilesAcross() int { return ceilDiv(p.n, p.tileColumns()) }

// blockTiles is the height of a block of a, in tiles.
func (p *product) blockTiles() int { return rowsMax / p.tileRows() }

// panelA is the size of a packed panel of a: the elements of one tile's rows, and what the
// last row's vector writes beyond.
func (p *product) panelA() int { return p.depth*p.tileRows() + p.lanes - p.tileRows()%p.lanes }

func (p *product) panelB() int { return p.depth * p.tileColumns() }

// begin takes the buffers that the product needs, with room for a so many tiles high.
func (p *product) begin(c *Context, tiles int) {
	p.depth = depth(p.k)
	if p.transA && p.n >= packColumnsMin {
		p.packedA = Scratch[float32](c, min(tiles, p.tilesDown())*p.panelA())
	}
	if p.transB || p.m >= packRowsMin {
		p.packedB = Scratch[float32](c, p.tilesAcross()*p.panelB())
	}
}

func (p *product) end(c *Context) {
	if p.packedA != nil {
		Release(c, p.packedA)
	}
	if p.packedB != nil {
		Release(c, p.packedB)
	}
}

// blocks calls f with the product set to each block of k in turn: once, with depth 0, for an
// empty k.
func (p *product) blocks(f func()) {
	full := p.depth
	p.from, p.betaNow = 0, p.beta
	for {
		p.depth = min(full, p.k-p.from)
		f()
		p.from += p.depth
		if p.from >= p.k {
			break
		}
		p.betaNow = 1
	}
	p.depth = full
}

// compute computes the product on the threads of the Context, or on this goroutine if it is small.
func (p *product) compute(c *Context) {
	if c.threads == 1 || p.m*p.n*p.k < flopsParallel {
		p.begin(c, p.blockTiles())
		defer p.end(c)
		p.serial(c)
	} else {
		p.begin(c, p.tilesDown())
		defer p.end(c)
		gemmParallel(c, *p)
	}
}

// serial computes the product on this goroutine. It packs a block of a just before its use, over
// the one before: what is packed stays in the cache.
func (p *product) serial(c *Context) {
	p.blocks(func() {
		if c.cancelled() {
			return
		}
		p.packB(0, p.tilesAcross())
		for i := 0; i < p.tilesDown(); i += p.blockTiles() {
			end := min(i+p.blockTiles(), p.tilesDown())
			p.fromA = i
			p.packA(i, end)
			p.multiply(i, end, 0, p.tilesAcross())
		}
	})
}

// gemmParallel computes a product on the threads of the Context. The threads share a copy of it,
// from the pool: p itself, on the stack of the caller, is not for others.
func gemmParallel(c *Context, p product) {
	// As many blocks of rows for each thread: what it computes of this product is what it reads of the next.
	rows := ceilDiv(p.tilesDown(), c.threads*ceilDiv(p.tilesDown(), c.threads*p.blockTiles()))
	tasksDown := ceilDiv(p.tilesDown(), rows)
	tasksAcross := min(p.tilesAcross(), ceilDiv(tasksPerThread*c.threads, tasksDown))
	columns := ceilDiv(p.tilesAcross(), tasksAcross)
	shared := borrow(c, p)
	defer giveBack(c, shared)
	shared.blocks(func() {
		if c.cancelled() {
			return
		}
		if p.packedA != nil {
			Run(c, p.tilesDown(), rows, packingA{shared})
		}
		if p.packedB != nil {
			Run(c, p.tilesAcross(), 4, packingB{shared})
		}
		Run(c, tasksDown*tasksAcross, 1, multiplying{shared, rows, columns, tasksAcross})
	})
}

type packingA struct{ *product }

func (t *packingA) Chunk(_ *Context, lo, hi int) { t.packA(lo, hi) }

type packingB struct{ *product }

func (t *packingB) Chunk(_ *Context, lo, hi int) { t.packB(lo, hi) }

// multiplying computes blocks of tiles of the result, tasksAcross of them side by side.
type multiplying struct {
	*product
	rows, columns, tasksAcross int
}

func (t *multiplying) Chunk(_ *Context, task, _ int) {
	i, j := task/t.tasksAcross*t.rows, task%t.tasksAcross*t.columns
	t.multiply(i, min(i+t.rows, t.tilesDown()), j, min(j+t.columns, t.tilesAcross()))
}

// packA copies the panels lo to hi of a transposed a: each holds, for every k of the block,
// the elements of one tile's rows.
func (p *product) packA(lo, hi int) {
	if p.packedA == nil {
		return
	}
	// A few k for all panels, then the next few: reads run along the rows of a.
	const step = 16
	mr, size := p.tileRows(), p.panelA()
	for k := 0; k < p.depth; k += step {
		for t := lo; t < hi; t++ {
			i := t * mr
			p.packNarrow(min(step, p.depth-k), &p.a[(p.from+k)*p.lda+i], p.lda, &p.packedA[(t-p.fromA)*size+k*mr], mr, min(mr, p.m-i))
		}
	}
}

// packB copies the panels lo to hi of b: each holds, for every k of the block, the elements of
// one tile's columns.
func (p *product) packB(lo, hi int) {
	if p.packedB == nil || p.depth == 0 {
		return
	}
	nr, size := p.tileColumns(), p.panelB()
	for t := lo; t < hi; t++ {
		j := t * nr
		width := min(nr, p.n-j)
		panel := p.packedB[t*size : (t+1)*size]
		switch {
		case p.transB:
			p.packAcrossB(j, width, panel)
		case width > p.lanes:
			p.packWide(p.depth, &p.b[p.from*p.ldb+j], p.ldb, &panel[0], nr, width)
		default:
			p.packNarrow(p.depth, &p.b[p.from*p.ldb+j], p.ldb, &panel[0], nr, width)
		}
	}
}

// packAcrossB copies a panel of a transposed b.
func (p *product) packAcrossB(j, width int, panel []float32) {
	const (
		group = 8 // rows that packAcross takes
		few   = 2 // rows that are copied as fast one by one
	)
	nr := p.tileColumns()
	even := p.depth / depthOf * depthOf
	for q := 0; q < width; q += group {
		from := 0
		if rows := min(group, width-q); even > 0 && rows > few {
			p.packAcross(even, &p.b[(j+q)*p.ldb+p.from], p.ldb, &panel[q], nr, rows)
			from = even
		}
		if from == p.depth {
			continue
		}
		for r := q; r < min(q+group, width); r++ {
			for k, x := range p.b[(j+r)*p.ldb+p.from+from:][:p.depth-from] {
				panel[(from+k)*nr+r] = x
			}
		}
	}
}

// multiply adds the current block of k to the tiles [i0,i1) x [j0,j1) of the result, and ends them
// after the last block.
func (p *product) multiply(i0, i1, j0, j1 int) {
	mr, nr := p.tileRows(), p.tileColumns()
	a, aRow, aCol, aTile := p.a, p.lda, 1, mr*p.lda
	at := i0*aTile + p.from
	switch {
	case p.packedA != nil:
		a, aRow, aCol, aTile = p.packedA, 1, mr, p.panelA()
		at = (i0 - p.fromA) * aTile
	case p.transA:
		aRow, aCol, aTile = 1, p.lda, mr
		at = i0*aTile + p.from*p.lda
	}
	full := min(i1, p.m/mr) - i0 // tiles of full height
	rest := min(i1*mr, p.m) - (i0+full)*mr
	for t := j0; t < j1; t++ {
		j := t * nr
		width := min(nr, p.n-j)
		kernels, whole := p.narrow, p.narrow[mr-1]
		if width > p.lanes {
			kernels, whole = p.wide, p.wide[mr-1]
		}
		if width == nr {
			whole = p.full
		}
		b, bRow, bAt := p.b, p.ldb, p.from*p.ldb+j
		if p.packedB != nil {
			b, bRow, bAt = p.packedB, nr, t*p.panelB()
		}
		var pa, pb *float32 // nil for an empty k
		if p.depth > 0 {
			pa, pb = &a[at], &b[bAt]
		}
		if full > 0 {
			whole(full, p.depth, pa, aRow, aCol, aTile, pb, bRow, &p.out[i0*mr*p.ldc+j], p.ldc, p.alpha, p.betaNow, width)
		}
		if rest > 0 {
			if p.depth > 0 {
				pa = &a[at+full*aTile]
			}
			kernels[rest-1](1, p.depth, pa, aRow, aCol, aTile, pb, bRow, &p.out[(i0+full)*mr*p.ldc+j], p.ldc, p.alpha, p.betaNow, width)
		}
		if p.from+p.depth >= p.k {
			p.ending.apply(p.out, i0*mr, j, full*mr+rest, width, p.ldc)
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
