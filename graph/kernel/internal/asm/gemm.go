package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
)

// tileRows is the height of the micro-kernel's tile, whose width is two vectors: 6x16
// accumulators fill 12 of the 16 registers of AVX2, 12x32 fill 24 of the 32 of AVX-512, as
// 12x8 do of NEON.
func (g *generator) tileRows() int {
	if g.lanes == 8 {
		return 6
	}
	return 12
}

// gemm writes the micro-kernels: for full tiles, and for each height of tiles whose width
// is between one and two vectors (wide) or at most one (narrow).
func (g *generator) gemm() {
	g.microKernel("gemmFull", g.tileRows(), 2, false)
	for rows := 1; rows <= g.tileRows(); rows++ {
		g.microKernel(fmt.Sprint("gemmWide", rows), rows, 2, true)
		g.microKernel(fmt.Sprint("gemmNarrow", rows), rows, 1, true)
	}
}

const cacheLine = 64 // bytes

func (g *generator) microKernel(name string, rows, vectors int, partial bool) {
	columns := fmt.Sprint(vectors * g.lanes)
	if partial {
		columns = "cols"
	}
	g.function(name, "(tiles, k int, a *float32, aRow, aCol, aTile int, b *float32, bRow int, c *float32, cRow int, alpha, beta float32, cols int)",
		fmt.Sprintf("computes c = alpha·a·b + beta·c for that many tiles of height %d and width %s, one below the other.", rows, columns))
	tiles, aTile, cTile := g.int("tiles"), g.pointer("a"), g.pointer("c")
	aRow, aCol := g.bytes("aRow"), g.bytes("aCol")
	var last mask
	if partial {
		cols := g.int("cols")
		if vectors == 2 {
			g.SUBQ(operand.Imm(uint64(g.lanes)), cols)
		}
		last = g.mask(g.partition(cols, 1), 0)
	}
	maskOf := func(v int) mask {
		if v < vectors-1 {
			return nil
		}
		return last
	}
	aRow3 := g.threeTimes(aRow, rows)
	tile, next := g.label("tile"), g.label("next")
	g.Label(tile)
	askForRow := func() {}
	if !partial { // other tiles are few, and their masks take a register
		askForRow = g.askForRows(cTile, rows, vectors)
	}
	acc := g.zeros(rows * vectors)
	base := g.everyFourth(aTile, aRow, rows)
	b, bRow := g.pointer("b"), g.bytes("bRow")
	step := func() {
		bs := g.vectors(vectors)
		for v := range bs {
			g.load(memory{Base: b, Disp: v * g.bytesPerVector()}, maskOf(v), bs[v])
		}
		for r := range rows {
			x := g.multiplier(rowFrom(base, r, aRow, aRow3))
			for v := range bs {
				g.addProduct(bs[v], x, acc[r*vectors+v])
			}
		}
		g.ADDQ(bRow, b)
		for _, p := range base {
			g.ADDQ(aCol, p)
		}
	}
	const unroll = 4
	k := g.int("k")
	loop, rest, restLoop, write := g.label("steps"), g.label("rest"), g.label("step"), g.label("write")
	g.SUBQ(operand.Imm(unroll), k)
	g.JL(operand.LabelRef(rest))
	g.Label(loop)
	askForRow()
	for range unroll {
		step()
	}
	g.SUBQ(operand.Imm(unroll), k)
	g.JGE(operand.LabelRef(loop))
	g.Label(rest)
	g.ADDQ(operand.Imm(unroll), k)
	g.JZ(operand.LabelRef(write))
	g.Label(restLoop)
	step()
	g.DECQ(k)
	g.JNZ(operand.LabelRef(restLoop))

	g.Label(write)
	cRow := g.bytes("cRow")
	c := g.copyOf(cTile)
	alpha, beta := g.broadcast("alpha"), g.broadcast("beta")
	accumulate, written := g.label("accumulate"), g.label("written")
	// beta is +0 or -0 if all its bits but the sign are: c may then hold anything.
	betaBits := g.GP32()
	g.VMOVD(beta.AsX(), betaBits)
	g.ADDL(betaBits, betaBits)
	g.JNZ(operand.LabelRef(accumulate))
	for r := range rows {
		for v := range vectors {
			x := acc[r*vectors+v]
			g.VMULPS(alpha, x, x)
			g.store(x, maskOf(v), memory{Base: c, Disp: v * g.bytesPerVector()})
		}
		g.ADDQ(cRow, c)
	}
	g.JMP(operand.LabelRef(written))
	g.Label(accumulate)
	for r := range rows {
		for v := range vectors {
			at := memory{Base: c, Disp: v * g.bytesPerVector()}
			x := g.vector()
			g.load(at, maskOf(v), x)
			g.VMULPS(beta, x, x)
			g.VFMADD231PS(alpha, acc[r*vectors+v], x)
			g.store(x, maskOf(v), at)
		}
		g.ADDQ(cRow, c)
	}
	g.Label(written)
	g.MOVQ(c, cTile)
	g.ADDQ(g.bytes("aTile"), aTile)
	g.DECQ(tiles)
	g.JZ(operand.LabelRef(next))
	g.JMP(operand.LabelRef(tile))
	g.Label(next)
	g.return_()
}

// askForRows returns what asks for a tile's rows of c, the next at each call and the last ever after.
// The loop over k, which has time for them to arrive, asks for one at a time: all at once they
// would keep the operands waiting. They are to come to the second-level cache, since the
// operands would drive them out of the first.
func (g *generator) askForRows(c scalar, rows, vectors int) func() {
	row, step, left := g.copyOf(c), g.bytes("cRow"), g.GP64()
	g.MOVQ(operand.I64(int64(rows)), left)
	return func() {
		for v := 0; v < vectors*g.bytesPerVector(); v += cacheLine {
			g.PREFETCHT1(memory{Base: row, Disp: v})
		}
		g.DECQ(left)
		g.CMOVQEQ(left, step)
		g.ADDQ(step, row)
	}
}

// Rows are addressed from every fourth: x86 multiplies an index by 1, 2 and 4, and three
// times their distance is kept.

// threeTimes returns three times a distance, for more than three rows.
func (g *generator) threeTimes(row scalar, rows int) scalar {
	row3 := g.GP64()
	if rows > 3 {
		g.LEAQ(memory{Base: row, Index: row, Scale: 2}, row3)
	}
	return row3
}

// everyFourth returns the addresses of the rows 0, 4, 8 ...
func (g *generator) everyFourth(first, row scalar, rows int) []scalar {
	base := []scalar{g.copyOf(first)}
	for r := 4; r < rows; r += 4 {
		p := g.GP64()
		g.LEAQ(memory{Base: base[len(base)-1], Index: row, Scale: 4}, p)
		base = append(base, p)
	}
	return base
}

// rowFrom is the beginning of row r, which base, row and row3 lead to.
func rowFrom(base []scalar, r int, row, row3 scalar) memory {
	m := memory{Base: base[r/4]}
	switch r % 4 {
	case 1:
		m.Index, m.Scale = row, 1
	case 2:
		m.Index, m.Scale = row, 2
	case 3:
		m.Index, m.Scale = row3, 1
	}
	return m
}
