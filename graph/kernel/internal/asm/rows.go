package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
)

// rows writes the kernels that treat each row, or each column, of a matrix as a whole, and the sums.
func (g *generator) rows() {
	g.rowBroadcast("addRow", "computes y[r,:] = x[r,:] + row.", g.VADDPS)
	g.rowBroadcast("mulRow", "computes y[r,:] = x[r,:]·row.", g.VMULPS)
	g.softmax()
	g.softmaxGrad()
	g.columns()
	g.linear()
	g.moments()
	g.normalize()
	g.normalizeGrad()
	g.sumColumns()
	g.sumScaledColumns()
	g.dot()
	g.sum()
}

func (g *generator) rowBroadcast(name, doc string, op func(...operand.Op)) {
	g.function(name, "(rows, d int, x, row, y *float32)", doc)
	rows, d := g.int("rows"), g.int("d")
	x, row, y := g.pointer("x"), g.pointer("row"), g.pointer("y")
	s := g.sweep(d, g.blockOf32())
	g.SHLQ(operand.Imm(2), d)
	g.eachRow(rows, d, []scalar{x, y}, func() {
		s.do(1, func(p place, i int) {
			v := p.load(x)
			op(p.load(row), v, v)
			p.store(v, y)
		})
	})
	g.return_()
}

func (g *generator) softmax() {
	g.function("softmax", "(rows, d int, x, y *float32)", "computes y[r,:] = exp(x[r,:]-max)/Σ.")
	rows, d := g.int("rows"), g.int("d")
	x, y := g.pointer("x"), g.pointer("y")
	s := g.sweep(d, g.blockOf32())
	g.SHLQ(operand.Imm(2), d)
	g.eachRow(rows, d, []scalar{x, y}, func() {
		lanes := g.vectors(g.blockOf32())
		for _, v := range lanes {
			g.VBROADCASTSS(g.bits(minusInf), v)
		}
		s.do(1, func(p place, i int) {
			v := p.load(x)
			if p.mask != nil {
				g.fillOutside(p.mask, g.constantBits(minusInf), v)
			}
			g.VMAXPS(v, lanes[i], lanes[i])
		})
		top := g.fold(lanes, g.VMAXPS)
		lanes = g.zeros(g.blockOf32())
		s.do(woven, func(p place, i int) {
			v := p.load(x)
			g.VSUBPS(top, v, v)
			e := g.expSmall(v)
			g.clearOutside(p.mask, e)
			p.store(e, y)
			g.VADDPS(e, lanes[i], lanes[i])
		})
		sum := g.fold(lanes, g.VADDPS)
		g.VDIVPS(sum, g.constant(1), sum)
		s.do(1, func(p place, i int) {
			v := p.load(y)
			g.VMULPS(sum, v, v)
			p.store(v, y)
		})
	})
	g.return_()
}

func (g *generator) softmaxGrad() {
	g.function("softmaxGrad", "(rows, d int, y, dy, dx *float32)", "computes dx[r,:] = y[r,:]·(dy[r,:] - ⟨y[r,:],dy[r,:]⟩).")
	rows, d := g.int("rows"), g.int("d")
	y, dy, dx := g.pointer("y"), g.pointer("dy"), g.pointer("dx")
	s := g.sweep(d, g.blockOf32())
	g.SHLQ(operand.Imm(2), d)
	g.eachRow(rows, d, []scalar{y, dy, dx}, func() {
		lanes := g.zeros(g.blockOf32())
		s.do(1, func(p place, i int) {
			g.VFMADD231PS(p.load(y), p.load(dy), lanes[i])
		})
		dot := g.fold(lanes, g.VADDPS)
		s.do(1, func(p place, i int) {
			v := p.load(dy)
			g.VSUBPS(dot, v, v)
			g.VMULPS(p.load(y), v, v)
			p.store(v, dx)
		})
	})
	g.return_()
}

// moments writes the first half of the normalisations. Sums of x minus a mean that float32
// rounded would be off by that rounding; so the deviations from it are summed as well, and the
// mean corrected by theirs.
func (g *generator) moments() {
	g.function("moments", "(rows, d int, x *float32, weight, inverse, eps float32, stats *float32)",
		"writes for each row four numbers: m = weight·Σx, c = weight·Σ(x-m), 1/√(inverse·Σ(x-m-c)² + eps), and one that is left as it is. inverse is 1/d, and so is weight, or 0 for moments about zero.")
	rows, d := g.int("rows"), g.int("d")
	x, stats := g.pointer("x"), g.pointer("stats")
	weight, inverse, eps := g.broadcast("weight"), g.broadcast("inverse"), g.broadcast("eps")
	one := g.constant(1)
	s := g.sweep(d, g.blockOf32())
	g.SHLQ(operand.Imm(2), d)
	together := 1
	if g.lanes == 16 {
		together = 2 // the sums of a row are long chains, and there are registers for two rows'
	}
	g.eachRows(together, rows, d, []scalar{x}, func(n int) {
		row := make([]rowMoments, n)
		for r := range row {
			row[r] = rowMoments{x: x, sums: g.zeros(g.blockOf32())}
			if r > 0 {
				row[r].x = g.GP64()
				g.LEAQ(memory{Base: row[r-1].x, Index: d, Scale: 1}, row[r].x)
			}
		}
		s.do(1, func(p place, i int) {
			for _, m := range row {
				g.VADDPS(p.load(m.x), m.sums[i], m.sums[i])
			}
		})
		g.weave(n, func(r int) {
			m := &row[r]
			m.mean = g.fold(m.sums, g.VADDPS)
			g.VMULPS(weight, m.mean, m.mean)
			m.sums, m.squares = g.zeros(g.blockOf32()), g.zeros(g.blockOf32())
		})
		s.do(1, func(p place, i int) {
			for _, m := range row {
				v := p.load(m.x)
				g.VSUBPS(m.mean, v, v)
				g.clearOutside(p.mask, v)
				g.VADDPS(v, m.sums[i], m.sums[i])
				g.VFMADD231PS(v, v, m.squares[i])
			}
		})
		g.weave(n, func(r int) {
			m := row[r]
			sum, square := g.fold(m.sums, g.VADDPS), g.fold(m.squares, g.VADDPS)
			correction := g.vector()
			g.VMULPS(weight, sum, correction)
			g.VFNMADD231PS(correction, sum, square)
			g.clamp(0, math.Inf(1), square)
			g.VFMADD213PS(eps, inverse, square)
			root := square.AsX() // the wider, the slower
			g.VSQRTPS(root, root)
			g.VDIVPS(root, one.AsX(), root)
			for i, v := range []vector{m.mean, correction, square} {
				g.VMOVSS(v.AsX(), memory{Base: stats, Disp: 4 * (statsPerRow*r + i)})
			}
		})
		g.ADDQ(operand.Imm(uint64(4*statsPerRow*n)), stats)
	})
	g.return_()
}

// statsPerRow is how many numbers moments writes for a row.
const statsPerRow = 4

// rowMoments are the vectors that a row's moments are summed in.
type rowMoments struct {
	x             scalar // where the row begins
	sums, squares []vector
	mean          vector
}

// normalizer is the normalisation (x - mean - correction)·rs of a row, its numbers spread
// over vectors.
type normalizer struct{ mean, correction, rs vector }

func (g *generator) normalizer(stats scalar) normalizer {
	n := normalizer{g.vector(), g.vector(), g.vector()}
	for i, v := range []vector{n.mean, n.correction, n.rs} {
		g.VBROADCASTSS(memory{Base: stats, Disp: 4 * i}, v)
	}
	return n
}

func (g *generator) apply(n normalizer, v vector) {
	g.VSUBPS(n.mean, v, v)
	g.VSUBPS(n.correction, v, v)
	g.VMULPS(n.rs, v, v)
}

func (g *generator) normalize() {
	g.function("normalize", "(rows, d int, x, stats, scale, bias, y *float32)",
		"computes y = (x - mean - correction)·rs·scale + bias, the first three numbers in four per row of stats; bias may be nil.")
	rows, d := g.int("rows"), g.int("d")
	x, stats, scale, bias, y := g.pointer("x"), g.pointer("stats"), g.pointer("scale"), g.pointer("bias"), g.pointer("y")
	s := g.sweep(d, g.blockOf32())
	g.SHLQ(operand.Imm(2), d)
	g.eachRow(rows, d, []scalar{x, y}, func() {
		n := g.normalizer(stats)
		biased, done := g.label("biased"), g.label("normalized")
		g.TESTQ(bias, bias)
		g.JNZ(operand.LabelRef(biased))
		s.do(1, func(p place, i int) {
			v := p.load(x)
			g.apply(n, v)
			g.VMULPS(p.load(scale), v, v)
			p.store(v, y)
		})
		g.JMP(operand.LabelRef(done))
		g.Label(biased)
		s.do(1, func(p place, i int) {
			v := p.load(x)
			g.apply(n, v)
			g.VFMADD213PS(p.load(bias), p.load(scale), v)
			p.store(v, y)
		})
		g.Label(done)
		g.ADDQ(operand.Imm(16), stats)
	})
	g.return_()
}

func (g *generator) normalizeGrad() {
	g.function("normalizeGrad", "(rows, d int, x, stats, scale, dy, dx *float32, meanWeight, dotWeight float32)",
		"computes dx = rs·(g - meanWeight·Σg - h·dotWeight·Σg·h) with g = dy·scale and h the normalised x; stats as for normalize.")
	rows, d := g.int("rows"), g.int("d")
	x, stats, scale, dy, dx := g.pointer("x"), g.pointer("stats"), g.pointer("scale"), g.pointer("dy"), g.pointer("dx")
	s := g.sweep(d, g.blockOf32())
	g.SHLQ(operand.Imm(2), d)
	g.eachRow(rows, d, []scalar{x, dy, dx}, func() {
		n := g.normalizer(stats)
		sum, dot := g.zeros(g.blockOf32()), g.zeros(g.blockOf32())
		s.do(1, func(p place, i int) {
			h, gr := p.load(x), p.load(dy)
			g.apply(n, h)
			g.VMULPS(p.load(scale), gr, gr)
			g.VADDPS(gr, sum[i], sum[i])
			g.VFMADD231PS(h, gr, dot[i])
		})
		meanG, meanGH := g.fold(sum, g.VADDPS), g.fold(dot, g.VADDPS)
		g.VMULPS(g.broadcast("meanWeight"), meanG, meanG)
		g.VMULPS(g.broadcast("dotWeight"), meanGH, meanGH)
		s.do(1, func(p place, i int) {
			h, gr := p.load(x), p.load(dy)
			g.apply(n, h)
			g.VMULPS(p.load(scale), gr, gr)
			g.VSUBPS(meanG, gr, gr)
			g.VFNMADD231PS(meanGH, h, gr)
			g.VMULPS(n.rs, gr, gr)
			p.store(gr, dx)
		})
		g.ADDQ(operand.Imm(16), stats)
	})
	g.return_()
}

// Sums over rows take 16 columns at a time, in float64.
const columnGroup = 16

// columnSums emits the loop over the rows; term returns the float32 vector to be added for
// vector i of a row.
func (g *generator) columnSums(pointers []scalar, perRow func(), term func(i int, m mask) vector) {
	n := columnGroup / g.lanes
	cols := g.int("cols")
	masks := g.partition(cols, n)
	sums := g.zeros(2 * n)
	rows, stride := g.int("rows"), g.bytes("stride")
	g.eachRow(rows, stride, pointers, func() {
		perRow()
		for i := range n {
			for j, wide := range g.widen(term(i, g.mask(masks, i))) {
				g.VADDPD(wide, sums[2*i+j], sums[2*i+j])
			}
		}
	})
	out := g.pointer("sum")
	for i, v := range sums {
		g.VMOVUPD(v, memory{Base: out, Disp: i * g.bytesPerVector()})
	}
	g.return_()
}

func (g *generator) sumColumns() {
	g.function("sumColumns", "(rows, stride, cols int, x *float32, sum *float64)",
		"writes the sums over rows of cols columns, at most 16, and zeros up to 16.")
	x := g.pointer("x")
	g.columnSums([]scalar{x}, func() {}, func(i int, m mask) vector {
		v := g.vector()
		g.load(memory{Base: x, Disp: i * g.bytesPerVector()}, m, v)
		return v
	})
}

func (g *generator) sumScaledColumns() {
	g.function("sumScaledColumns", "(rows, stride, cols int, x, stats, dy *float32, sum *float64)",
		"writes the sums over rows of dy times the normalised x; stats as for normalize.")
	x, stats, dy := g.pointer("x"), g.pointer("stats"), g.pointer("dy")
	var n normalizer
	g.columnSums([]scalar{x, dy}, func() {
		n = g.normalizer(stats)
		g.ADDQ(operand.Imm(16), stats)
	}, func(i int, m mask) vector {
		h, gr := g.vector(), g.vector()
		g.load(memory{Base: x, Disp: i * g.bytesPerVector()}, m, h)
		g.apply(n, h)
		g.load(memory{Base: dy, Disp: i * g.bytesPerVector()}, m, gr)
		g.VMULPS(h, gr, gr)
		return gr
	})
}

func (g *generator) dot() {
	g.function("dot", "(n int, x, y *float32) float64", "returns Σ x·y, summed in float64 in 16 lanes.")
	n := 16 / g.lanes
	s := g.sweep(g.int("n"), n)
	x, y := g.pointer("x"), g.pointer("y")
	sums := g.zeros(2 * n)
	s.do(1, func(p place, i int) {
		wx, wy := g.widen(p.load(x)), g.widen(p.load(y))
		for j := range wx {
			g.VFMADD231PD(wx[j], wy[j], sums[2*i+j])
		}
	})
	g.returnSum(sums)
}

// sum writes the kernel of Sum.
func (g *generator) sum() {
	g.function("sum", "(n int, x *float32) float64", "returns Σ x, summed in float64 in 32 lanes.")
	n := g.blockOf32()
	s := g.sweep(g.int("n"), n)
	x := g.pointer("x")
	sums := g.zeros(2 * n)
	s.do(1, func(p place, i int) {
		for j, wide := range g.widen(p.load(x)) {
			g.VADDPD(wide, sums[2*i+j], sums[2*i+j])
		}
	})
	g.returnSum(sums)
}

// returnSum folds lanes of float64 in halves and returns their sum.
func (g *generator) returnSum(lanes []vector) {
	for half := len(lanes) / 2; half > 0; half /= 2 {
		for i := range half {
			g.VADDPD(lanes[i+half], lanes[i], lanes[i])
		}
	}
	low := lanes[0].AsY()
	if g.lanes == 16 {
		high := g.YMM()
		g.VEXTRACTF64X4(operand.Imm(1), lanes[0], high)
		g.VADDPD(high, low, low)
	}
	sum, high := lanes[0].AsX(), g.XMM()
	if g.lanes > 4 {
		g.VEXTRACTF128(operand.Imm(1), low, high)
		g.VADDPD(high, sum, sum)
	}
	g.VUNPCKHPD(sum, sum, high)
	g.VADDSD(high, sum, sum)
	g.Store(sum, g.ReturnIndex(0))
	g.return_()
}
