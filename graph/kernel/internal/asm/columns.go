package main

import (
	"github.com/mmcloughlin/avo/operand"
)

// columns writes the kernels that treat each column of a matrix as a whole. A lane has a column
// to itself, so that nothing is summed across lanes, and a column has the same bits wherever it
// lies.
func (g *generator) columns() {
	g.softmaxColumns()
	g.softmaxColumnsGrad()
}

// A columnBlock is some columns next to each other, a vector of each row, of matrices whose rows
// lie equally far apart.
type columnBlock struct {
	g         *generator
	masks     []mask // of the vectors
	rows      scalar
	rowBytes  scalar
	matrices  []scalar // the addresses of the first row
	positions []scalar // and of the current one
}

// eachColumnBlock emits a loop over the columns, two vectors at a time, and what handles the rest.
func (g *generator) eachColumnBlock(cols, rows, rowBytes scalar, matrices []scalar, body func(b columnBlock)) {
	positions := make([]scalar, len(matrices))
	for i := range positions {
		positions[i] = g.GP64()
	}
	block := func(masks ...mask) {
		body(columnBlock{g, masks, rows, rowBytes, matrices, positions})
	}
	loop, tail, narrow, end := g.label("columns"), g.label("fewer"), g.label("narrow"), g.label("end")
	g.Label(loop)
	g.CMPQ(cols, operand.Imm(uint64(2*g.lanes)))
	g.JL(operand.LabelRef(tail))
	block(nil, nil)
	for _, m := range matrices {
		g.ADDQ(operand.U32(uint32(2*g.bytesPerVector())), m)
	}
	g.SUBQ(operand.Imm(uint64(2*g.lanes)), cols)
	g.JMP(operand.LabelRef(loop))
	g.Label(tail)
	g.CMPQ(cols, operand.Imm(uint64(g.lanes)))
	g.JLE(operand.LabelRef(narrow))
	g.SUBQ(operand.Imm(uint64(g.lanes)), cols)
	block(nil, g.mask(g.partition(cols, 1), 0))
	g.JMP(operand.LabelRef(end))
	g.Label(narrow)
	g.TESTQ(cols, cols)
	g.JZ(operand.LabelRef(end))
	block(g.mask(g.partition(cols, 1), 0))
	g.Label(end)
}

// at is vector i of the current row of a matrix.
func (b columnBlock) at(matrix, i int) memory {
	return memory{Base: b.positions[matrix], Disp: i * b.g.bytesPerVector()}
}

func (b columnBlock) load(matrix, i int) vector {
	v := b.g.vector()
	b.g.load(b.at(matrix, i), b.masks[i], v)
	return v
}

func (b columnBlock) store(v vector, matrix, i int) { b.g.store(v, b.masks[i], b.at(matrix, i)) }

// each emits a loop over the rows. body emits the code for vector i of a row, free of jumps; that
// of all vectors is woven together.
func (b columnBlock) each(body func(i int)) {
	g := b.g
	for i, p := range b.positions {
		g.MOVQ(b.matrices[i], p)
	}
	n := g.copyOf(b.rows)
	g.eachRow(n, b.rowBytes, b.positions, func() { g.weave(len(b.masks), body) })
}

func (g *generator) softmaxColumns() {
	g.function("softmaxColumns", "(rows, cols, pitch int, x *float32)", "computes x[:,j] = exp(x[:,j]-max)/Σ.")
	cols, rows, pitch := g.int("cols"), g.int("rows"), g.bytes("pitch")
	g.hold(expConstants[:2]...)
	g.eachColumnBlock(cols, rows, pitch, []scalar{g.pointer("x")}, func(b columnBlock) {
		top := g.vectors(len(b.masks))
		for _, v := range top {
			g.VBROADCASTSS(g.bits(minusInf), v)
		}
		b.each(func(i int) { g.VMAXPS(b.load(0, i), top[i], top[i]) })
		sum := g.zeros(len(b.masks))
		b.each(func(i int) {
			v := b.load(0, i)
			g.VSUBPS(top[i], v, v)
			e := g.expSmall(v)
			b.store(e, 0, i)
			g.VADDPS(e, sum[i], sum[i])
		})
		for _, v := range sum {
			g.VDIVPS(v, g.constant(1), v)
		}
		b.each(func(i int) {
			v := b.load(0, i)
			g.VMULPS(sum[i], v, v)
			b.store(v, 0, i)
		})
	})
	g.return_()
}

func (g *generator) softmaxColumnsGrad() {
	g.function("softmaxColumnsGrad", "(rows, cols, pitch int, y, dx *float32)", "computes dx[:,j] = y[:,j]·(dx[:,j] - ⟨y[:,j],dx[:,j]⟩).")
	cols, rows, pitch := g.int("cols"), g.int("rows"), g.bytes("pitch")
	g.eachColumnBlock(cols, rows, pitch, []scalar{g.pointer("y"), g.pointer("dx")}, func(b columnBlock) {
		dot := g.zeros(len(b.masks))
		b.each(func(i int) { g.VFMADD231PS(b.load(0, i), b.load(1, i), dot[i]) })
		b.each(func(i int) {
			v := b.load(1, i)
			g.VSUBPS(dot[i], v, v)
			g.VMULPS(b.load(0, i), v, v)
			b.store(v, 1, i)
		})
	})
	g.return_()
}
