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
	neon   = width{"NEON", 4}
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
	if g.lanes > 4 {
		g.VZEROUPPER()
	}
	g.RET()
}

func (g *generator) vector() vector {
	switch g.lanes {
	case 16:
		return g.ZMM()
	case 8:
		return g.YMM()
	}
	return g.XMM()
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
	g.VBROADCASTSS(g.address(param), v)
	return v
}

// address is where a parameter lies.
func (g *generator) address(param string) memory {
	p, err := g.Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

const (
	signBit        = 1 << 31
	magnitude      = signBit - 1
	predicateLT    = 1 // of VCMPPS: less than, ordered, false for NaN
	predicateNotLE = 6 // not less or equal, true for NaN
	predicateNotGE = 9 // not greater or equal, true for NaN
	minusInf       = 0xff800000
	predicateImm   = operand.U8(predicateLT)
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

// clearBeyond sets the lanes of v to zero where a <= lo or a >= hi, not where a or the bound is
// NaN. a is overwritten.
func (g *generator) clearBeyond(lo, hi, a, v vector) {
	if g.lanes == 16 {
		above, below := g.K(), g.K()
		g.VCMPPS(operand.U8(predicateNotLE), lo, a, above)
		g.VCMPPS(operand.U8(predicateNotGE), hi, a, below)
		g.KANDW(above, below, below)
		g.VMOVAPS_Z(v, below, v)
		return
	}
	above := g.vector()
	g.VCMPPS(operand.U8(predicateNotLE), lo, a, above)
	g.VCMPPS(operand.U8(predicateNotGE), hi, a, a)
	g.VANDPS(above, v, v)
	g.VANDPS(a, v, v)
}

// Partial vectors

// A mask selects the first lanes of a vector: a vector of ones and zeros in AVX2, an
// opmask register in AVX-512, the number of lanes in NEON. The nil mask selects all.
type mask operand.Op

// A partition is a number of elements spread over n vectors: the first vectors are full,
// one is partial, the rest are empty.
type partition struct {
	table  scalar // AVX2: where in the table the masks of this partition begin
	k      []reg.OpmaskVirtual
	counts []scalar // NEON: lanes of each vector
}

// partition returns the masks for count elements, at most 32, in n vectors.
func (g *generator) partition(count scalar, n int) partition {
	switch g.lanes {
	case 4:
		if n == 1 {
			return partition{counts: []scalar{count}}
		}
		p := partition{}
		for i := range n {
			c := g.GP64()
			g.emitNEON(laneCount, []operand.Op{operand.Imm(uint64(4 * i)), count}, c)
			p.counts = append(p.counts, c)
		}
		return p
	case 8:
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

// mask returns the mask of vector i of the partition.
func (g *generator) mask(p partition, i int) mask {
	switch g.lanes {
	case 16:
		return p.k[i]
	case 4:
		return p.counts[i]
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
	case g.lanes == 4:
		g.emitNEON(loadPart, []operand.Op{from, m}, dst)
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
	case g.lanes == 4:
		g.emitNEON(storePart, []operand.Op{v, m}, to)
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
		g.VANDPS(g.lanesOf(m), v, v)
	}
}

// fillOutside sets the lanes outside m to those of fill.
func (g *generator) fillOutside(m mask, fill, v vector) {
	switch {
	case m == nil:
	case g.lanes == 16:
		g.VBLENDMPS(v, fill, m, v)
	default:
		g.VBLENDVPS(g.lanesOf(m), v, fill, v)
	}
}

// lanesOf returns a mask as a vector of ones and zeros, for AVX2 and NEON.
func (g *generator) lanesOf(m mask) mask {
	if g.lanes == 8 {
		return m
	}
	v := g.vector()
	g.emitNEON(laneMask, []operand.Op{g.maskTable(), m}, v)
	return v
}

// multiplier returns a number in memory as a factor of addProduct.
func (g *generator) multiplier(at memory) vector {
	x := g.vector()
	if g.lanes == 4 {
		g.VMOVSS(at, x)
	} else {
		g.VBROADCASTSS(at, x)
	}
	return x
}

// addProduct computes dst += b·x for a multiplier x.
func (g *generator) addProduct(b, x, dst vector) {
	if g.lanes == 4 {
		g.emitNEON(addProduct, []operand.Op{b, x, dst}, dst)
	} else {
		g.VFMADD231PS(b, x, dst)
	}
}
