package main

import (
	"github.com/mmcloughlin/avo/operand"
)

// pack writes the kernels that copy operands into the order in which the micro-kernels
// read them.
func (g *generator) pack() {
	g.packRows("packNarrow", 1)
	g.packRows("packWide", 2)
	if g.lanes == 8 { // its 8x8 blocks do not depend on the tile
		g.packTransposed()
	}
}

// packAheadLog is the binary logarithm of the number of rows that packRows asks for in advance.
const packAheadLog = 4

// packRows writes a kernel that copies n rows of a matrix. It stores whole vectors, each row
// over what the one before stored too much.
func (g *generator) packRows(name string, vectors int) {
	g.function(name, "(n int, src *float32, srcRow int, dst *float32, dstRow, cols int)",
		"copies n rows of cols elements, the rest of the last vector filled with zeros; it writes up to one vector beyond the last row.")
	n, src, srcRow := g.int("n"), g.pointer("src"), g.bytes("srcRow")
	dst, dstRow, cols := g.pointer("dst"), g.bytes("dstRow"), g.int("cols")
	if vectors == 2 {
		g.SUBQ(operand.Imm(uint64(g.lanes)), cols)
	}
	last := g.mask(g.partition(cols, 1), 0)
	// Rows lie too far apart for the CPU to foresee.
	ahead := g.copyOf(srcRow)
	g.SHLQ(operand.Imm(packAheadLog), ahead)
	g.ADDQ(src, ahead)
	g.eachRow(n, srcRow, []scalar{src, ahead}, func() {
		for v := 0; v < vectors*g.bytesPerVector(); v += cacheLine {
			g.PREFETCHT0(memory{Base: ahead, Disp: v})
		}
		for i := range vectors {
			v := g.vector()
			var m mask
			if i == vectors-1 {
				m = last
			}
			g.load(memory{Base: src, Disp: i * g.bytesPerVector()}, m, v)
			g.store(v, nil, memory{Base: dst, Disp: i * g.bytesPerVector()})
		}
		g.ADDQ(dstRow, dst)
	})
	g.return_()
}

// packTransposed writes a kernel that transposes 8 rows of a matrix, in blocks of 8x8.
func (g *generator) packTransposed() {
	g.function("packTransposed", "(n int, src *float32, srcRow int, dst *float32, dstRow, rows int)",
		"writes element p of src's row q to element q of dst's row p, for p < n, n a multiple of 8, and q < 8. src has rows rows, at most 8; the elements of missing ones are those of the last.")
	n := g.bytes("n")
	dst, dstRow := g.pointer("dst"), g.bytes("dstRow")
	row := g.pointer("src")
	srcRow, rows := g.bytes("srcRow"), g.int("rows")
	zero := g.GP64()
	g.XORQ(zero, zero)
	var src [8]scalar
	for q := range src {
		src[q] = g.copyOf(row)
		if q == len(src)-1 {
			break
		}
		// Stay in the last row once there.
		g.DECQ(rows)
		g.CMOVQLE(zero, srcRow)
		g.ADDQ(srcRow, row)
	}
	p, next := g.GP64(), g.bytes("srcRow")
	g.XORQ(p, p)
	g.SHLQ(operand.Imm(3), next) // to the rows that are likely taken next, which are too short for the CPU to foresee
	loop, end := g.label("block"), g.label("end")
	g.Label(loop)
	g.CMPQ(p, n)
	g.JGE(operand.LabelRef(end))
	v := g.vectors(8)
	for q := range v {
		g.PREFETCHT0(memory{Base: src[q], Index: next, Scale: 1})
		g.VMOVUPS(memory{Base: src[q], Index: p, Scale: 1}, v[q])
	}
	for _, column := range g.transpose8(v) {
		g.VMOVUPS(column, memory{Base: dst})
		g.ADDQ(dstRow, dst)
	}
	g.ADDQ(operand.Imm(32), p)
	g.ADDQ(operand.Imm(32), next)
	g.JMP(operand.LabelRef(loop))
	g.Label(end)
	g.return_()
}

// transpose8 returns the columns of the 8x8 matrix whose rows are v.
func (g *generator) transpose8(v []vector) []vector {
	pairs := g.vectors(8) // pairs of rows interleaved, by half lanes
	for i := 0; i < 8; i += 2 {
		g.VUNPCKLPS(v[i+1], v[i], pairs[i])
		g.VUNPCKHPS(v[i+1], v[i], pairs[i+1])
	}
	quads := g.vectors(8) // four rows interleaved: column c of rows 0-3 and, in the high half, column c+4
	for i := 0; i < 8; i += 4 {
		for j := range 2 {
			g.VUNPCKLPD(pairs[i+2+j], pairs[i+j], quads[i+2*j])
			g.VUNPCKHPD(pairs[i+2+j], pairs[i+j], quads[i+2*j+1])
		}
	}
	columns := g.vectors(8)
	for c := range 4 {
		g.VPERM2F128(operand.Imm(0x20), quads[c+4], quads[c], columns[c])
		g.VPERM2F128(operand.Imm(0x31), quads[c+4], quads[c], columns[c+4])
	}
	return columns
}
