package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
)

// convolution writes the kernels of convolutions: of staging images, of multiplying, and of
// what is done with the results.
func (g *generator) convolution() {
	g.stage()
	g.stageEven()
	for rows := 1; rows <= g.tileRows(); rows++ {
		g.convolve(fmt.Sprint("convolveWide", rows), rows, 2, false)
		g.convolve(fmt.Sprint("convolveNarrow", rows), rows, 1, false)
		if g.lanes == 16 {
			g.convolve(fmt.Sprint("convolveHalves", rows), rows, 2, true)
		}
	}
	g.depthwise()
	g.depthwiseRows(3)
	if g.lanes == 16 { // others have no room for the weights
		g.depthwiseRows(5)
	}
	g.maxPool()
	g.finish()
}

// repeat emits a loop that runs body n times; n is overwritten.
func (g *generator) repeat(n scalar, body func()) {
	loop, end := g.label("repeat"), g.label("enough")
	g.Label(loop)
	g.TESTQ(n, n)
	g.JZ(operand.LabelRef(end))
	body()
	g.DECQ(n)
	g.JMP(operand.LabelRef(loop))
	g.Label(end)
}

const stageSignature = "(planes, rows, n int, src *float32, srcPlane, srcRow int, dst *float32, dstPlane, dstRow int)"

// stagedRows emits the loops over planes and rows of the parameters of stageSignature; row
// emits the code for one.
func (g *generator) stagedRows(row func(src, dst scalar)) {
	src, dst := g.pointer("src"), g.pointer("dst")
	g.repeat(g.int("planes"), func() {
		from, to := g.copyOf(src), g.copyOf(dst)
		g.repeat(g.int("rows"), func() {
			row(from, to)
			g.ADDQ(g.bytes("srcRow"), from)
			g.ADDQ(g.bytes("dstRow"), to)
		})
		g.ADDQ(g.bytes("srcPlane"), src)
		g.ADDQ(g.bytes("dstPlane"), dst)
	})
	g.return_()
}

func (g *generator) stage() {
	g.function("stage", stageSignature, "copies n elements of each of the rows of each of the planes.")
	s := g.sweep(g.int("n"), g.blockOf32())
	g.stagedRows(func(src, dst scalar) {
		s.do(1, func(p place, _ int) { p.store(p.load(src), dst) })
	})
}

// evens is the indices of the even elements of two vectors.
func (g *generator) evens() memory {
	if g.evenIndices == nil {
		g.maskTable() // complete: avo adds data to the symbol begun last
		m := g.StaticGlobal("evens")
		g.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range 16 {
			g.AddDatum(4*i, operand.U32(2*i))
		}
		g.evenIndices = &m
	}
	return *g.evenIndices
}

// deinterleave returns the even elements of low, then those of high, which are overwritten.
func (g *generator) deinterleave(low, high, indices vector) vector {
	if g.lanes == 16 {
		v := g.vector()
		g.VMOVAPS(indices, v)
		g.VPERMI2PS(high, low, v)
		return v
	}
	g.VSHUFPS(operand.Imm(0x88), high, low, low)
	if g.lanes == 8 {
		g.VPERMPD(operand.Imm(0xd8), low, low)
	}
	return low
}

func (g *generator) stageEven() {
	g.function("stageEven", stageSignature, "copies n elements, every other one of a row of 2n-1, of each of the rows of each of the planes.")
	var indices vector
	if g.lanes == 16 {
		indices = g.vector()
		g.VMOVUPS(g.evens(), indices)
	}
	// The last vector, full or not, is read under a mask: an element after it may not be there.
	full := g.int("n")
	g.DECQ(full)
	last := g.copyOf(full)
	g.ANDQ(operand.Imm(uint64(g.lanes-1)), last)
	g.SUBQ(last, full)
	g.SHLQ(operand.Imm(2), full)
	g.INCQ(last)
	stored := g.partition(last, 1)
	g.ADDQ(last, last)
	g.DECQ(last)
	read := g.partition(last, 2)
	g.stagedRows(func(src, dst scalar) {
		index := g.GP64()
		g.XORQ(index, index)
		loop, tail := g.label("vector"), g.label("tail")
		vector := func(masks [2]mask, to mask) {
			var v [2]vector
			for i := range v {
				v[i] = g.vector()
				g.load(memory{Base: src, Index: index, Scale: 2, Disp: i * g.bytesPerVector()}, masks[i], v[i])
			}
			g.store(g.deinterleave(v[0], v[1], indices), to, memory{Base: dst, Index: index, Scale: 1})
		}
		g.Label(loop)
		g.CMPQ(index, full)
		g.JGE(operand.LabelRef(tail))
		vector([2]mask{}, nil)
		g.ADDQ(operand.Imm(uint64(g.bytesPerVector())), index)
		g.JMP(operand.LabelRef(loop))
		g.Label(tail)
		vector([2]mask{g.mask(read, 0), g.mask(read, 1)}, g.mask(stored, 0))
	})
}

// convolve is a micro-kernel of the matrix product whose second operand's rows lie anywhere. The
// vectors of a tile lie anywhere, too; with halves, so do the halves of each.
func (g *generator) convolve(name string, rows, vectors int, halves bool) {
	where := "x, or x2 for the second vector,"
	if halves {
		where = "x, or x2 for the second vector, and half further for the second half of either"
	}
	g.function(name, "(tiles, k int, w *float32, wRow int, x, x2 *float32, half int, at *int32, y *float32, yRow int, add int, affine, added *float32, lo, hi float32)",
		fmt.Sprintf("computes y[r,j] = Σ w[r,k]·x[at[k]/4+j], or, if add is not 0, adds it to y, for that many tiles of height %d and width %d, one below the other. A tile reads %s. If affine is not nil, the result s is min(hi, max(lo, (s+a)·b + c + added)) for the three numbers a, b and c of each row; added lies as y does, and may be nil.", rows, vectors*g.lanes, where))
	tiles, wTile, yTile := g.int("tiles"), g.pointer("w"), g.pointer("y")
	wRow, affine := g.bytes("wRow"), g.pointer("affine")
	from := []scalar{g.pointer("x"), g.pointer("x2")}[:vectors]
	wRow3 := g.threeTimes(wRow, rows)
	tile, next := g.label("tile"), g.label("next")
	g.Label(tile)
	acc := g.zeros(rows * vectors)
	base := g.everyFourth(wTile, wRow, rows)
	at := g.pointer("at")
	step := func(k int) {
		offset := g.GP64()
		g.MOVLQSX(memory{Base: at, Disp: 4 * k}, offset)
		xs := g.vectors(vectors)
		for v := range xs {
			first := memory{Base: from[v], Index: offset, Scale: 1}
			if halves {
				g.VBROADCASTF64X4(first, xs[v])
			} else {
				g.VMOVUPS(first, xs[v])
			}
		}
		if halves {
			g.ADDQ(g.address("half"), offset)
			for v := range xs {
				g.VINSERTF64X4(operand.Imm(1), memory{Base: from[v], Index: offset, Scale: 1}, xs[v], xs[v])
			}
		}
		for r := range rows {
			w := g.multiplier(rowFrom(base, r, wRow, wRow3).Offset(4 * k))
			for v := range xs {
				g.addProduct(xs[v], w, acc[r*vectors+v])
			}
		}
	}
	advance := func(n int) {
		for _, p := range append(base, at) {
			g.ADDQ(operand.Imm(uint64(4*n)), p)
		}
	}
	const unroll = 4
	k := g.int("k")
	loop, rest, restLoop, write := g.label("steps"), g.label("rest"), g.label("step"), g.label("write")
	g.SUBQ(operand.Imm(unroll), k)
	g.JL(operand.LabelRef(rest))
	g.Label(loop)
	for i := range unroll {
		step(i)
	}
	advance(unroll)
	g.SUBQ(operand.Imm(unroll), k)
	g.JGE(operand.LabelRef(loop))
	g.Label(rest)
	g.ADDQ(operand.Imm(unroll), k)
	g.JZ(operand.LabelRef(write))
	g.Label(restLoop)
	step(0)
	advance(1)
	g.DECQ(k)
	g.JNZ(operand.LabelRef(restLoop))

	g.Label(write)
	g.MOVQ(base[0], wTile) // which so needs no register in the loop
	g.SUBQ(g.bytes("k"), wTile)
	yRow := g.bytes("yRow")
	each := func(p scalar, f func(x vector, at memory)) { // of the tile that lies at p as it does in y
		for r := range rows {
			for v := range vectors {
				f(acc[r*vectors+v], memory{Base: p, Disp: v * g.bytesPerVector()})
			}
			g.ADDQ(yRow, p)
		}
	}
	plus := func(x vector, at memory) { g.VADDPS(at, x, x) }
	g.unless(g.int("add"), func() { each(g.copyOf(yTile), plus) })
	g.unless(affine, func() {
		for r := range rows {
			numbers := g.vectors(3)
			for i, n := range numbers {
				g.VBROADCASTSS(memory{Base: affine, Disp: 4 * (3*r + i)}, n)
			}
			for v := range vectors {
				x := acc[r*vectors+v]
				g.VADDPS(numbers[0], x, x)
				g.VFMADD213PS(numbers[2], numbers[1], x)
			}
		}
		g.ADDQ(operand.Imm(uint64(4*3*rows)), affine)
		added := g.pointer("added")
		g.unless(added, func() {
			g.ADDQ(yTile, added)
			g.SUBQ(g.pointer("y"), added)
			each(added, plus)
		})
		lo, hi := g.broadcast("lo"), g.broadcast("hi")
		for _, x := range acc {
			g.VMAXPS(x, lo, x) // in this order NaN stays NaN
			g.VMINPS(x, hi, x)
		}
	})
	each(yTile, func(x vector, at memory) { g.VMOVUPS(x, at) })
	for range rows {
		g.ADDQ(wRow, wTile)
	}
	g.DECQ(tiles)
	g.JZ(operand.LabelRef(next))
	g.JMP(operand.LabelRef(tile))
	g.Label(next)
	g.return_()
}

// unless emits code that is jumped over if a number is 0, or a pointer nil.
func (g *generator) unless(zero scalar, code func()) {
	over := g.label("over")
	g.TESTQ(zero, zero)
	g.JZ(operand.LabelRef(over))
	code()
	g.Label(over)
}

// depthwiseBlock is the number of elements that depthwise and maxPool compute at a time.
const depthwiseBlock = 64

func (g *generator) depthwise() {
	g.function("depthwise", "(planes, blocks, taps int, w, x *float32, xPlane int, at *int32, y *float32, yPlane int)",
		fmt.Sprintf("computes y[j] = Σ w[k]·x[at[k]/4+j] for that many blocks of %d elements of each of the planes, each with the next taps elements of w.", depthwiseBlock))
	w := g.pointer("w")
	weight := g.GP64()
	g.blocksOfPlanes(func(acc []vector) {
		g.MOVQ(w, weight)
		for _, a := range acc {
			g.zero(a)
		}
	}, func(at func(i int) memory, acc []vector) {
		v := g.vector()
		g.VBROADCASTSS(memory{Base: weight}, v)
		for i, a := range acc {
			g.VFMADD231PS(at(i), v, a)
		}
		g.ADDQ(operand.Imm(4), weight)
	}, func() { g.ADDQ(g.bytes("taps"), w) })
}

func (g *generator) maxPool() {
	g.function("maxPool", "(planes, blocks, taps int, x *float32, xPlane int, at *int32, y *float32, yPlane int)",
		fmt.Sprintf("computes the largest x[at[k]/4+j], NaN if there is one, for that many blocks of %d elements of each of the planes.", depthwiseBlock))
	g.blocksOfPlanes(func(acc []vector) {
		for _, a := range acc {
			g.VBROADCASTSS(g.bits(minusInf), a)
		}
	}, func(at func(i int) memory, acc []vector) {
		for i, a := range acc {
			// Of a number and NaN each order of the operands gives one; all bits of both are NaN.
			v, w := g.vector(), g.vector()
			g.VMOVUPS(at(i), v)
			g.VMAXPS(v, a, w)
			g.VMAXPS(a, v, a)
			g.or(w, a, a)
		}
	}, func() {})
}

// blocksOfPlanes emits the loops over planes, blocks and taps, of kernels with these parameters.
func (g *generator) blocksOfPlanes(start func(acc []vector), tap func(at func(i int) memory, acc []vector), next func()) {
	xPlane, yPlane := g.pointer("x"), g.pointer("y")
	acc := g.vectors(depthwiseBlock / g.lanes)
	g.repeat(g.int("planes"), func() {
		x, y := g.copyOf(xPlane), g.copyOf(yPlane)
		g.repeat(g.int("blocks"), func() {
			start(acc)
			at := g.pointer("at")
			g.repeat(g.int("taps"), func() {
				from := g.GP64()
				g.MOVLQSX(memory{Base: at}, from)
				tap(func(i int) memory {
					return memory{Base: x, Index: from, Scale: 1, Disp: i * g.bytesPerVector()}
				}, acc)
				g.ADDQ(operand.Imm(4), at)
			})
			for i, a := range acc {
				g.VMOVUPS(a, memory{Base: y, Disp: i * g.bytesPerVector()})
			}
			g.ADDQ(operand.U32(4*depthwiseBlock), x)
			g.ADDQ(operand.U32(4*depthwiseBlock), y)
		})
		next()
		g.ADDQ(g.bytes("xPlane"), xPlane)
		g.ADDQ(g.bytes("yPlane"), yPlane)
	})
	g.return_()
}

func (g *generator) finish() {
	g.function("finish", "(planes, rows, n int, x *float32, xPlane, xRow int, y *float32, yPlane, yRow int, bias *float32, biasStep int, scale, shift *float32, affineStep int, added *float32, lo, hi float32)",
		"computes y = min(hi, max(lo, (x+bias)·scale + shift + added)) for n elements of each of the rows of each of the planes. bias, scale and shift are one number a plane, the next being a step further; added lies as y does, and may be nil.")
	s := g.sweep(g.int("n"), g.blockOf32())
	lo, hi := g.broadcast("lo"), g.broadcast("hi")
	xPlane := g.pointer("x")
	at, plane := g.GP64(), g.GP64() // in y and in added, bytes
	g.XORQ(plane, plane)
	bias, affine := g.GP64(), g.GP64() // in bias, and in scale and shift, bytes
	g.XORQ(bias, bias)
	g.XORQ(affine, affine)
	g.repeat(g.int("planes"), func() {
		number := func(param string, offset scalar) vector {
			v := g.vector()
			g.VBROADCASTSS(memory{Base: g.pointer(param), Index: offset, Scale: 1}, v)
			return v
		}
		b, scale, shift := number("bias", bias), number("scale", affine), number("shift", affine)
		x := g.copyOf(xPlane)
		g.MOVQ(plane, at)
		g.repeat(g.int("rows"), func() {
			y, added := g.pointer("y"), g.pointer("added")
			row := func(more func(p place, v vector)) {
				s.do(1, func(p place, _ int) {
					v := p.load(x)
					g.VADDPS(b, v, v)
					g.VFMADD213PS(shift, scale, v)
					more(p, v)
					g.VMAXPS(v, lo, v) // in this order NaN stays NaN
					g.VMINPS(v, hi, v)
					p.store(v, y)
				})
			}
			plain, done := g.label("plain"), g.label("finished")
			g.ADDQ(at, y)
			g.TESTQ(added, added)
			g.JZ(operand.LabelRef(plain))
			g.ADDQ(at, added)
			row(func(p place, v vector) { g.VADDPS(p.load(added), v, v) })
			g.JMP(operand.LabelRef(done))
			g.Label(plain)
			row(func(place, vector) {})
			g.Label(done)
			g.ADDQ(g.bytes("xRow"), x)
			g.ADDQ(g.bytes("yRow"), at)
		})
		g.ADDQ(g.bytes("xPlane"), xPlane)
		g.ADDQ(g.bytes("yPlane"), plane)
		g.ADDQ(g.bytes("biasStep"), bias)
		g.ADDQ(g.bytes("affineStep"), affine)
	})
	g.return_()
}
