package main

import "github.com/mmcloughlin/avo/operand"

// A place is one vector of a slice that a sweep goes over: it lies offset bytes from index on,
// and is read and written under a mask that may be nil.
type place struct {
	g      *generator
	index  scalar
	offset int
	mask   mask
}

func (p place) at(base scalar) memory {
	return memory{Base: base, Index: p.index, Scale: 1, Disp: p.offset}
}

func (p place) load(base scalar) vector {
	v := p.g.vector()
	p.g.load(p.at(base), p.mask, v)
	return v
}

func (p place) store(v vector, base scalar) { p.g.store(v, p.mask, p.at(base)) }

// A sweep goes over the elements of a slice in blocks of n vectors.
type sweep struct {
	g       *generator
	n       int
	full    scalar // bytes in full blocks
	rest    scalar // elements after them
	partial partition
}

// sweep prepares to go over count elements, in blocks of n vectors.
func (g *generator) sweep(count scalar, n int) sweep {
	rest := g.copyOf(count)
	g.ANDQ(operand.Imm(uint64(n*g.lanes-1)), rest)
	full := g.copyOf(count)
	g.SUBQ(rest, full)
	g.SHLQ(operand.Imm(2), full)
	beyond := g.copyOf(count)
	g.ANDQ(operand.Imm(uint64(g.lanes-1)), beyond)
	return sweep{g, n, full, rest, g.partition(beyond, 1)}
}

// do emits a loop over the full blocks, and then what handles the rest: some full vectors and
// a partial one. body emits the code for vector i of a block; it must be free of jumps. That of
// chains vectors is woven together in the loop.
func (s sweep) do(chains int, body func(p place, i int)) {
	g := s.g
	index := g.GP64()
	g.XORQ(index, index)
	loop, tail, end := g.label("block"), g.label("tail"), g.label("end")
	vector := func(i int, m mask) { body(place{g, index, i * g.bytesPerVector(), m}, i) }
	g.Label(loop)
	g.CMPQ(index, s.full)
	g.JGE(operand.LabelRef(tail))
	for i := 0; i < s.n; i += chains {
		g.weave(min(chains, s.n-i), func(j int) { vector(i+j, nil) })
	}
	g.ADDQ(operand.Imm(uint64(s.n*g.bytesPerVector())), index)
	g.JMP(operand.LabelRef(loop))
	g.Label(tail)
	for i := range s.n {
		partial, next := g.label("partial"), g.label("next")
		if i < s.n-1 { // else the rest would be a block
			g.CMPQ(s.rest, operand.Imm(uint64((i+1)*g.lanes)))
			g.JL(operand.LabelRef(partial))
			vector(i, nil)
			g.JMP(operand.LabelRef(next))
		}
		g.Label(partial)
		g.CMPQ(s.rest, operand.Imm(uint64(i*g.lanes)))
		g.JLE(operand.LabelRef(end))
		vector(i, g.mask(s.partial, 0))
		g.JMP(operand.LabelRef(end))
		g.Label(next)
	}
	g.Label(end)
}

// eachRow runs body once for each row, advancing the pointers by one row after it. Those
// that are nil pointers at run time are not to be passed.
func (g *generator) eachRow(rows, rowBytes scalar, pointers []scalar, body func()) {
	loop, end := g.label("row"), g.label("done")
	g.Label(loop)
	g.TESTQ(rows, rows)
	g.JZ(operand.LabelRef(end))
	body()
	for _, p := range pointers {
		g.ADDQ(rowBytes, p)
	}
	g.DECQ(rows)
	g.JMP(operand.LabelRef(loop))
	g.Label(end)
}

// eachRows is eachRow for n rows at a time, and then one at a time: body is emitted for either.
func (g *generator) eachRows(n int, rows, rowBytes scalar, pointers []scalar, body func(n int)) {
	if n > 1 {
		loop, rest := g.label("rows"), g.label("rest")
		g.Label(loop)
		g.CMPQ(rows, operand.Imm(uint64(n)))
		g.JL(operand.LabelRef(rest))
		body(n)
		for _, p := range pointers {
			for range n {
				g.ADDQ(rowBytes, p)
			}
		}
		g.SUBQ(operand.Imm(uint64(n)), rows)
		g.JMP(operand.LabelRef(loop))
		g.Label(rest)
	}
	g.eachRow(rows, rowBytes, pointers, func() { body(1) })
}

// fold combines 32 float32 lanes into one, in halves, and spreads it over a vector. op
// computes its last operand from the first two.
func (g *generator) fold(lanes []vector, op func(...operand.Op)) vector {
	for n := len(lanes) / 2; n > 0; n /= 2 {
		for i := range n {
			op(lanes[i+n], lanes[i], lanes[i])
		}
	}
	low := lanes[0].AsY()
	if g.lanes == 16 {
		high := g.YMM()
		g.VEXTRACTF64X4(operand.Imm(1), lanes[0], high)
		op(high, low, low)
	}
	x, h := lanes[0].AsX(), g.XMM()
	switch g.lanes {
	case 16:
		g.VEXTRACTF32X4(operand.Imm(1), low, h) // of any of the 32 registers
		op(h, x, x)
	case 8:
		g.VEXTRACTF128(operand.Imm(1), low, h)
		op(h, x, x)
	}
	g.VMOVHLPS(x, x, h)
	op(h, x, x)
	g.VMOVSHDUP(x, h)
	op(h, x, x)
	v := g.vector()
	g.VBROADCASTSS(x, v)
	return v
}

// blockOf32 is the number of vectors that hold the 32 lanes of a sum.
func (g *generator) blockOf32() int { return 32 / g.lanes }

// widen converts a vector of float32 to two of float64, the low lanes first.
func (g *generator) widen(v vector) [2]vector {
	low, high := g.vector(), g.vector()
	switch g.lanes {
	case 16:
		y := g.YMM()
		g.VCVTPS2PD(v.AsY(), low)
		g.VEXTRACTF64X4(operand.Imm(1), v, y)
		g.VCVTPS2PD(y, high)
	case 4:
		g.VCVTPS2PD(v, low)
		g.VMOVHLPS(v, v, high)
		g.VCVTPS2PD(high, high)
	default:
		x := g.XMM()
		g.VCVTPS2PD(v.AsX(), low)
		g.VEXTRACTF128(operand.Imm(1), v, x)
		g.VCVTPS2PD(x, high)
	}
	return [2]vector{low, high}
}
