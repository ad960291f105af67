package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// width is a vector width and the instruction set that has it.
type width struct {
	suffix string // of the function names
	lanes  int    // float32 per vector
}

var (
	avx2   = width{"AVX2", 8}
	avx512 = width{"AVX512", 16}
)

// generator emits instructions for one width. Its methods carry the names of what they
// compute, and take their operands in the order of Go assembly: sources, destination.
type generator struct {
	*build.Context
	width
	*data
	labels int
	held   map[uint32]vector // constants in registers, by their bits
}

type (
	vector = reg.VecVirtual
	scalar = reg.GPVirtual
	memory = operand.Mem
)

// function begins an assembly function, its name completed by the width.
func (g *generator) function(name, signature, doc string) {
	g.held = map[uint32]vector{}
	name += g.suffix
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	g.SignatureExpr("func" + signature)
	g.Doc(name + " " + doc)
}

// label returns a label that is new in the function.
func (g *generator) label(name string) string {
	g.labels++
	return fmt.Sprintf("%s%d", name, g.labels)
}

func (g *generator) int(param string) scalar {
	return g.Load(g.Param(param), g.GP64()).(scalar)
}

// bytes loads a parameter that counts float32 and converts it to bytes.
func (g *generator) bytes(param string) scalar {
	r := g.int(param)
	g.SHLQ(operand.Imm(2), r)
	return r
}

func (g *generator) pointer(param string) scalar { return g.int(param) }

func (g *generator) copyOf(r scalar) scalar {
	c := g.GP64()
	g.MOVQ(r, c)
	return c
}

func (g *generator) return_() {
	g.VZEROUPPER()
	g.RET()
}

func (g *generator) vector() vector {
	if g.lanes == 16 {
		return g.ZMM()
	}
	return g.YMM()
}

func (g *generator) vectors(n int) []vector {
	vs := make([]vector, n)
	for i := range vs {
		vs[i] = g.vector()
	}
	return vs
}

// bytesPerVector is the distance between two vectors in memory.
func (g *generator) bytesPerVector() int { return 4 * g.lanes }

func (g *generator) zero(v vector) {
	if g.lanes == 16 {
		g.VPXORD(v, v, v)
	} else {
		g.VXORPS(v, v, v)
	}
}

func (g *generator) zeros(n int) []vector {
	vs := g.vectors(n)
	for _, v := range vs {
		g.zero(v)
	}
	return vs
}

// broadcast returns a vector of copies of a float32 parameter.
func (g *generator) broadcast(param string) vector {
	v := g.vector()
	addr, err := g.Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	g.VBROADCASTSS(addr.Addr, v)
	return v
}

// Constants

// data holds the read-only symbols of a file.
type data struct {
	constants *memory
	offsets   map[uint32]int // of the constants, by their bits
	masks     *memory
}

func (g *generator) readOnly(name string) *memory {
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	return &m
}

// bits returns the place of a 32-bit constant. It is stored eight times over: a 256-bit
// operand reads all of them, a 512-bit one broadcasts the first.
func (g *generator) bits(b uint32) memory {
	if g.constants == nil {
		g.maskTable() // complete: avo adds data to the symbol begun last
		g.constants, g.offsets = g.readOnly("constants"), map[uint32]int{}
	}
	at, ok := g.offsets[b]
	if !ok {
		at = 32 * len(g.offsets)
		g.offsets[b] = at
		for i := range 8 {
			g.AddDatum(at+4*i, operand.U32(b))
		}
	}
	return g.constants.Offset(at)
}

func (g *generator) float(x float64) memory { return g.bits(math.Float32bits(float32(x))) }

// hold keeps constants in registers for the rest of the function: reading them from memory for
// each vector is what bounds the longer kernels.
func (g *generator) hold(xs ...float64) {
	for _, x := range xs {
		b := math.Float32bits(float32(x))
		v := g.vector()
		g.VBROADCASTSS(g.bits(b), v)
		g.held[b] = v
	}
}

// constant returns a vector of copies of x, not to be written to.
func (g *generator) constant(x float64) vector { return g.constantBits(math.Float32bits(float32(x))) }

func (g *generator) constantBits(b uint32) vector {
	if v, ok := g.held[b]; ok {
		return v
	}
	return g.newConstant(b)
}

// startingAt returns a vector of copies of x to go on computing with.
func (g *generator) startingAt(x float64) vector {
	b := math.Float32bits(float32(x))
	if v, ok := g.held[b]; ok {
		return g.duplicate(v)
	}
	return g.newConstant(b)
}

func (g *generator) newConstant(b uint32) vector {
	v := g.vector()
	g.VBROADCASTSS(g.bits(b), v)
	return v
}

func (g *generator) duplicate(v vector) vector {
	d := g.vector()
	g.VMOVAPS(v, d)
	return d
}

// withConstant emits an instruction whose first source is a constant: a register where it is
// held, or memory, which a 512-bit instruction broadcasts.
func (g *generator) withConstant(b uint32, op, broadcasting func(...operand.Op), rest ...operand.Op) {
	source := func(x operand.Op) []operand.Op { return append([]operand.Op{x}, rest...) }
	if v, ok := g.held[b]; ok {
		op(source(v)...)
	} else if g.lanes == 16 {
		broadcasting(source(g.bits(b))...)
	} else {
		op(source(g.bits(b))...)
	}
}

// addConstant computes v += x.
func (g *generator) addConstant(x float64, v vector) {
	g.withConstant(math.Float32bits(float32(x)), g.VADDPS, g.VADDPS_BCST, v, v)
}

// mulConstant computes dst = a·x.
func (g *generator) mulConstant(x float64, a, dst vector) {
	g.withConstant(math.Float32bits(float32(x)), g.VMULPS, g.VMULPS_BCST, a, dst)
}

// fmaConstant computes v = v·a + x: one step of Horner's rule.
func (g *generator) fmaConstant(x float64, a, v vector) {
	g.withConstant(math.Float32bits(float32(x)), g.VFMADD213PS, g.VFMADD213PS_BCST, a, v)
}

// addProductConstant computes v += a·x.
func (g *generator) addProductConstant(x float64, a, v vector) {
	g.withConstant(math.Float32bits(float32(x)), g.VFMADD231PS, g.VFMADD231PS_BCST, a, v)
}

// addConstantBits computes v += b, as integers.
func (g *generator) addConstantBits(b uint32, v vector) {
	g.withConstant(b, g.VPADDD, g.VPADDD_BCST, v, v)
}

// and computes dst = a & bits.
func (g *generator) and(b uint32, a, dst vector) {
	if g.lanes == 16 {
		g.VPANDD_BCST(g.bits(b), a, dst)
	} else {
		g.VPAND(g.bits(b), a, dst)
	}
}

// or computes dst = a | b.
func (g *generator) or(a, b, dst vector) {
	if g.lanes == 16 {
		g.VPORD(a, b, dst)
	} else {
		g.VPOR(a, b, dst)
	}
}

const (
	signBit      = 1 << 31
	magnitude    = signBit - 1
	predicateLT  = 1 // of VCMPPS: less than, ordered, false for NaN
	minusInf     = 0xff800000
	predicateImm = operand.U8(predicateLT)
)

// clamp computes v = max(lo, min(hi, v)). NaN stays NaN: of two operands of which one is
// NaN, VMAXPS and VMINPS return the one that Go assembly names first.
func (g *generator) clamp(lo, hi float64, v vector) {
	if !math.IsInf(lo, -1) {
		g.VMAXPS(v, g.constant(lo), v)
	}
	if !math.IsInf(hi, 1) {
		g.VMINPS(v, g.constant(hi), v)
	}
}

// selectLess computes dst = yes where a < x, else no; no where a is NaN.
func (g *generator) selectLess(a vector, x float64, yes, no, dst vector) {
	limit := g.constant(x)
	if g.lanes == 16 {
		k := g.K()
		g.VCMPPS(predicateImm, limit, a, k)
		g.VBLENDMPS(yes, no, k, dst)
		return
	}
	m := g.vector()
	g.VCMPPS(predicateImm, limit, a, m)
	g.VBLENDVPS(m, yes, no, dst)
}

// Partial vectors

// A mask selects the first lanes of a vector: a vector of ones and zeros in AVX2, an
// opmask register in AVX-512. The nil mask selects all.
type mask operand.Op

// A partition is a number of elements spread over n vectors: the first vectors are full,
// one is partial, the rest are empty.
type partition struct {
	table scalar // AVX2: where in the table the masks of this partition begin
	k     []reg.OpmaskVirtual
}

// partition returns the masks for count elements, at most 32, in n vectors.
func (g *generator) partition(count scalar, n int) partition {
	if g.lanes == 8 {
		// The masks for c elements begin c ones before the middle.
		t := g.GP64()
		g.LEAQ(g.maskTable(), t)
		back := g.copyOf(count)
		g.SHLQ(operand.Imm(2), back)
		g.SUBQ(back, t)
		return partition{table: t}
	}
	all, ones := g.GP64(), g.GP64()
	g.MOVQ(operand.I64(-1), ones)
	g.BZHIQ(count, ones, all)
	p := partition{}
	for i := range n {
		if i > 0 {
			g.SHRQ(operand.Imm(16), all)
		}
		k := g.K()
		g.KMOVW(all.As32(), k)
		p.k = append(p.k, k)
	}
	return p
}

// maskTable is the middle of a table of 32 ones, then 32 zeros.
func (g *generator) maskTable() memory {
	if g.masks == nil {
		g.masks = g.readOnly("masks")
		for i := range 64 {
			v := uint32(0)
			if i < 32 {
				v = 0xffffffff
			}
			g.AddDatum(4*i, operand.U32(v))
		}
	}
	return g.masks.Offset(4 * 32)
}

// mask returns the mask of vector i of the partition.
func (g *generator) mask(p partition, i int) mask {
	if g.lanes == 16 {
		return p.k[i]
	}
	m := g.vector()
	g.VMOVUPS(operand.Mem{Base: p.table, Disp: 32 * i}, m)
	return m
}

// load reads the lanes of m, and zero in the others.
func (g *generator) load(from memory, m mask, dst vector) {
	switch {
	case m == nil:
		g.VMOVUPS(from, dst)
	case g.lanes == 16:
		g.VMOVUPS_Z(from, m, dst)
	default:
		g.VMASKMOVPS(from, m, dst)
	}
}

// store writes the lanes of m.
func (g *generator) store(v vector, m mask, to memory) {
	switch {
	case m == nil:
		g.VMOVUPS(v, to)
	case g.lanes == 16:
		g.VMOVUPS(v, m, to)
	default:
		g.VMASKMOVPS(v, m, to)
	}
}

// clearOutside sets the lanes outside m to zero.
func (g *generator) clearOutside(m mask, v vector) {
	switch {
	case m == nil:
	case g.lanes == 16:
		g.VMOVAPS_Z(v, m, v)
	default:
		g.VANDPS(m, v, v)
	}
}

// fillOutside sets the lanes outside m to those of fill.
func (g *generator) fillOutside(m mask, fill, v vector) {
	switch {
	case m == nil:
	case g.lanes == 16:
		g.VBLENDMPS(v, fill, m, v)
	default:
		g.VBLENDVPS(m, v, fill, v)
	}
}

// Loops

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

// Reductions

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
	g.VEXTRACTF128(operand.Imm(1), low, h)
	op(h, x, x)
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
	if g.lanes == 16 {
		y := g.YMM()
		g.VCVTPS2PD(v.AsY(), low)
		g.VEXTRACTF64X4(operand.Imm(1), v, y)
		g.VCVTPS2PD(y, high)
	} else {
		x := g.XMM()
		g.VCVTPS2PD(v.AsX(), low)
		g.VEXTRACTF128(operand.Imm(1), v, x)
		g.VCVTPS2PD(x, high)
	}
	return [2]vector{low, high}
}
