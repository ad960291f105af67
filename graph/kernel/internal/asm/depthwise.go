package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
)

// depthwiseRows is a depthwise convolution of taps × taps neighbours, whose weights all are in
// registers: what is read once serves all the rows of a tile that it belongs to.
func (g *generator) depthwiseRows(taps int) {
	g.function(fmt.Sprint("depthwiseRows", taps), "(planes, rows, n int, w, x *float32, xPlane, xRow int, y *float32, yPlane, yRow int, affine, added *float32, lo, hi float32)",
		fmt.Sprintf("computes s[i,j] = Σ w[k,l]·x[i+k,j+l], k and l < %d, for n elements of each of the rows of each of the planes, each with the next %d elements of w, and y = min(hi, max(lo, (s+a)·b + c + added)) for the next three numbers of affine; added lies as y does, and may be nil.", taps, taps*taps))
	together := 4 // rows of a tile
	if taps > 3 {
		together = 2 // weights take the registers
	}
	w, affine := g.pointer("w"), g.pointer("affine")
	xPlane, yPlane := g.pointer("x"), g.pointer("y")
	rest := g.int("n")
	g.ANDQ(operand.Imm(uint64(g.lanes-1)), rest)
	last := g.mask(g.partition(rest, 1), 0)
	weights := g.vectors(taps * taps)
	tile := func(rows int, x, y scalar, m mask) {
		acc := g.zeros(rows)
		from, xRow := g.copyOf(x), g.bytes("xRow")
		for i := range rows + taps - 1 {
			for l := range taps {
				v := g.vector()
				g.VMOVUPS(memory{Base: from, Disp: 4 * l}, v)
				for r := max(0, i-taps+1); r <= min(i, rows-1); r++ {
					g.VFMADD231PS(v, weights[(i-r)*taps+l], acc[r])
				}
			}
			g.ADDQ(xRow, from)
		}
		number := func(i int) vector {
			v := g.vector()
			g.VBROADCASTSS(memory{Base: affine, Disp: 4 * i}, v)
			return v
		}
		a := number(0)
		for _, v := range acc {
			g.VADDPS(a, v, v)
		}
		b := number(1)
		if g.lanes == 16 {
			for _, v := range acc {
				g.VFMADD213PS_BCST(memory{Base: affine, Disp: 8}, b, v)
			}
		} else {
			c := number(2)
			for _, v := range acc {
				g.VFMADD213PS(c, b, v)
			}
		}
		added := g.pointer("added")
		g.unless(added, func() {
			g.ADDQ(y, added)
			g.SUBQ(g.pointer("y"), added)
			yRow := g.bytes("yRow")
			for _, v := range acc {
				z := g.vector()
				g.load(memory{Base: added}, m, z)
				g.VADDPS(z, v, v)
				g.ADDQ(yRow, added)
			}
		})
		lo := g.broadcast("lo")
		for _, v := range acc {
			g.VMAXPS(v, lo, v) // in this order NaN stays NaN
		}
		hi := g.broadcast("hi")
		to, yRow := g.copyOf(y), g.bytes("yRow")
		for _, v := range acc {
			g.VMINPS(v, hi, v)
			g.store(v, m, memory{Base: to})
			g.ADDQ(yRow, to)
		}
	}
	// across computes rows that lie one below the other, tile by tile.
	across := func(rows int, xRows, yRows scalar) {
		x, y, n := g.copyOf(xRows), g.copyOf(yRows), g.int("n")
		loop, partial, done := g.label("columns"), g.label("partial"), g.label("done")
		g.SUBQ(operand.Imm(uint64(g.lanes)), n)
		g.JL(operand.LabelRef(partial))
		g.Label(loop)
		tile(rows, x, y, nil)
		for _, p := range []scalar{x, y} {
			g.ADDQ(operand.Imm(uint64(g.bytesPerVector())), p)
		}
		g.SUBQ(operand.Imm(uint64(g.lanes)), n)
		g.JGE(operand.LabelRef(loop))
		g.Label(partial)
		g.ADDQ(operand.Imm(uint64(g.lanes)), n)
		g.JZ(operand.LabelRef(done))
		tile(rows, x, y, last)
		g.Label(done)
		xRow := g.bytes("xRow")
		for range rows {
			g.ADDQ(xRow, xRows)
		}
		yRow := g.bytes("yRow")
		for range rows {
			g.ADDQ(yRow, yRows)
		}
	}
	g.repeat(g.int("planes"), func() {
		for i, v := range weights {
			g.VBROADCASTSS(memory{Base: w, Disp: 4 * i}, v)
		}
		g.ADDQ(operand.Imm(uint64(4*taps*taps)), w)
		x, y, rows := g.copyOf(xPlane), g.copyOf(yPlane), g.int("rows")
		several, few, single, done := g.label("several"), g.label("few"), g.label("single"), g.label("done")
		g.SUBQ(operand.Imm(uint64(together)), rows)
		g.JL(operand.LabelRef(few))
		g.Label(several)
		across(together, x, y)
		g.SUBQ(operand.Imm(uint64(together)), rows)
		g.JGE(operand.LabelRef(several))
		g.Label(few)
		g.ADDQ(operand.Imm(uint64(together)), rows)
		g.Label(single)
		g.TESTQ(rows, rows)
		g.JZ(operand.LabelRef(done))
		across(1, x, y)
		g.DECQ(rows)
		g.JMP(operand.LabelRef(single))
		g.Label(done)
		g.ADDQ(g.bytes("xPlane"), xPlane)
		g.ADDQ(g.bytes("yPlane"), yPlane)
		g.ADDQ(operand.Imm(4*3), affine)
	})
	g.return_()
}
