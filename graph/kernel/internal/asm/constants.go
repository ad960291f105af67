package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
)

// data holds the read-only symbols of a file.
type data struct {
	constants *memory
	offsets   map[uint32]int // of the constants, by their bits
	masks     *memory

	evenIndices *memory
}

func (g *generator) readOnly(name string) *memory {
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	return &m
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
