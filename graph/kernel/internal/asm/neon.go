package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels for NEON are those of AVX with 128-bit vectors, translated instruction by
// instruction once their registers are allocated: X0 to X29 become V0 to V29, and the 16
// general registers R0 to R15. What AVX has and NEON lacks, masks, are instructions of their
// own, which the generator emits where vectors have four lanes.

// What the translation itself computes with: vectors, an address and a number.
const (
	neonOperand   = 30 // what an instruction of AVX reads from memory
	neonScratch   = 31
	neonRegisters = 30 // that kernels may use
	addressGP     = 19
	numberGP      = 20
)

// The instructions that stand for a few of NEON. A count is a scalar register.
const (
	loadPart   = "LOADPART"   // memory, count, dst: the first count lanes, 0 to 4, and zeros
	storePart  = "STOREPART"  // src, count, memory
	laneMask   = "LANEMASK"   // table, count, dst: ones in the first count lanes
	laneCount  = "LANECOUNT"  // lane, count, dst: how many of count are among the four from lane on
	addProduct = "ADDPRODUCT" // b, a, dst: dst += b·a[0]
)

func (g *generator) emitNEON(opcode string, inputs []operand.Op, output operand.Op) {
	g.Instruction(&ir.Instruction{
		Opcode: opcode, Operands: append(inputs[:len(inputs):len(inputs)], output),
		Inputs: inputs, Outputs: []operand.Op{output},
	})
}

// neonPrinter prints the assembly for arm64 of a compiled file.
type neonPrinter struct{ printer.Config }

func newNEONPrinter(c printer.Config) printer.Printer { return neonPrinter{c} }

func (p neonPrinter) Print(file *ir.File) ([]byte, error) {
	t := &neonTranslator{}
	fmt.Fprintf(&t.out, "// %s\n\n//go:build arm64\n\n#include \"textflag.h\"\n", p.GeneratedWarning())
	for _, section := range file.Sections {
		switch s := section.(type) {
		case *ir.Function:
			if err := t.function(s); err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
		case *ir.Global:
			t.out.WriteByte('\n')
			for _, d := range s.Data {
				fmt.Fprintf(&t.out, "DATA %s+%d(SB)/%d, %s\n", s.Symbol, d.Offset, d.Value.Bytes(), d.Value.Asm())
			}
			fmt.Fprintf(&t.out, "GLOBL %s(SB), %s, $%d\n", s.Symbol, s.Attributes.Asm(), s.Size)
		}
	}
	return []byte(t.out.String()), nil
}

type neonTranslator struct {
	out    strings.Builder
	labels int
}

func (t *neonTranslator) emit(format string, args ...any) {
	fmt.Fprintf(&t.out, "\t"+format+"\n", args...)
}

func (t *neonTranslator) function(f *ir.Function) error {
	fmt.Fprintf(&t.out, "\n// %s\nTEXT ·%s(SB), %s, $0-%d\n", f.Stub(), f.Name, f.Attributes.Asm(), f.ArgumentBytes())
	for _, node := range f.Nodes {
		switch n := node.(type) {
		case ir.Label:
			fmt.Fprintf(&t.out, "\n%s:\n", n)
		case *ir.Instruction:
			if err := checkNEONRegisters(n); err != nil {
				return err
			}
			if !t.scalar(n) && !t.vector(n) {
				return fmt.Errorf("no translation to NEON of %s %v", n.Opcode, n.Operands)
			}
		}
	}
	return nil
}

func checkNEONRegisters(i *ir.Instruction) error {
	for _, r := range i.Registers() {
		if p, ok := r.(reg.Physical); ok && r.Kind() == reg.KindVector && (p.PhysicalIndex() >= neonRegisters || r.Size() > 16) {
			return fmt.Errorf("%s uses register %s", i.Opcode, r.Asm())
		}
	}
	return nil
}

var neonBranches = map[string]string{"JMP": "B", "JL": "BLT", "JLE": "BLE", "JGE": "BGE", "JZ": "BEQ", "JEQ": "BEQ", "JNZ": "BNE", "JNE": "BNE"}

// scalar translates what has to do with addresses, counts and jumps.
func (t *neonTranslator) scalar(i *ir.Instruction) bool {
	if branch, ok := neonBranches[i.Opcode]; ok {
		t.emit("%s %s", branch, i.Operands[0].Asm())
		return true
	}
	if i.Opcode == "RET" {
		t.emit("RET")
		return true
	}
	if len(i.Operands) == 0 {
		return false
	}
	last := i.Operands[len(i.Operands)-1]
	_, toScalar := last.(reg.GP)
	mem, fromMemory := i.Operands[0].(operand.Mem)
	switch i.Opcode {
	case "PREFETCHT0":
		t.emit("PRFM %s, PLDL1KEEP", t.place(mem, false))
	case "PREFETCHT1":
		t.emit("PRFM %s, PLDL2KEEP", t.place(mem, false))
	case "CMPQ": // the flags of the first operand minus the second, in either syntax
		t.emit("CMP %s, %s", scalarOperand(last), scalarOperand(i.Operands[0]))
	case "TESTQ": // a register with itself
		t.emit("CMP $0, %s", scalarOperand(last))
	case "DECQ":
		t.emit("SUBS $1, %s", scalarOperand(last))
	case "CMOVQEQ":
		t.emit("CSEL EQ, %s, %s, %s", scalarOperand(i.Operands[0]), scalarOperand(last), scalarOperand(last))
	case "INCQ":
		t.emit("ADDS $1, %s", scalarOperand(last))
	case "XORQ": // a register with itself
		if i.Operands[0] != last {
			return false
		}
		t.emit("MOVD $0, %s", scalarOperand(last))
	case "MOVQ":
		switch {
		case fromMemory && toScalar:
			t.emit("MOVD %s, %s", t.place(mem, false), scalarOperand(last))
		case toScalar:
			t.emit("MOVD %s, %s", scalarOperand(i.Operands[0]), scalarOperand(last))
		default:
			return false
		}
	case "MOVLQSX":
		if !fromMemory {
			return false
		}
		t.emit("MOVW %s, %s", t.place(mem, false), scalarOperand(last))
	case "LEAQ":
		t.address(mem, number(last))
	case "ADDL":
		t.emit("ADDSW %s, %s", scalarOperand(i.Operands[0]), scalarOperand(last))
	case "ADDQ", "SUBQ", "ANDQ", "SHLQ":
		op := map[string]string{"ADDQ": "ADDS", "SUBQ": "SUBS", "ANDQ": "AND", "SHLQ": "LSL"}[i.Opcode]
		t.emit("%s %s, %s, %s", op, scalarOperand(i.Operands[0]), scalarOperand(last), scalarOperand(last))
	case laneCount:
		lane, count := i.Operands[0].(operand.Constant), scalarOperand(i.Operands[1])
		to := scalarOperand(last)
		t.emit("SUBS %s, %s, %s", lane.Asm(), count, to)
		t.emit("CSEL LT, ZR, %s, %s", to, to)
		t.emit("MOVD $4, R%d", numberGP)
		t.emit("CMP R%d, %s", numberGP, to)
		t.emit("CSEL GT, R%d, %s, %s", numberGP, to, to)
	default:
		return false
	}
	return true
}

// neonArithmetic is what AVX's instructions of three operands are in NEON.
var neonArithmetic = map[string]neonOp{
	"VADDPS": neonFADD, "VSUBPS": neonFSUB, "VMULPS": neonFMUL, "VDIVPS": neonFDIV,
	"VFMADD231PS": neonFMLA, "VFNMADD231PS": neonFMLS, "VADDPD": neonFADDD, "VFMADD231PD": neonFMLAD,
	"VPADDD": neonADD, "VPSUBD": neonSUB,
	"VPAND": neonAND, "VANDPS": neonAND, "VPOR": neonORR, "VORPS": neonORR, "VXORPS": neonEOR, "VPXOR": neonEOR,
	// Only the lanes that these leave to the lower half of the result are ever used.
	"VADDSD": neonFADDD,
}

// vector translates what computes with vectors.
func (t *neonTranslator) vector(i *ir.Instruction) bool {
	ops := i.Operands
	last := ops[len(ops)-1]
	source := func(k int) int { return t.source(ops[k]) }
	if op, ok := neonArithmetic[i.Opcode]; ok {
		m := source(0)
		t.emit("%s", op.three(number(last), source(1), m))
		return true
	}
	if to, ok := last.(operand.Mem); ok {
		switch i.Opcode {
		case "VMOVUPS":
			t.store(number(ops[0]), to)
		case "VMOVUPD":
			t.store(number(ops[0]), to)
		case "VMOVSS":
			t.emit("FMOVS F%d, %s", number(ops[0]), t.place(to, true))
		case "MOVSD", "VMOVSD":
			t.emit("FMOVD F%d, %s", number(ops[0]), t.place(to, true))
		case storePart:
			t.part(to, ops[1], number(ops[0]), true)
		default:
			return false
		}
		return true
	}
	d := number(last)
	from, fromMemory := ops[0].(operand.Mem)
	switch i.Opcode {
	case "VMOVUPS", "VMOVAPS":
		if fromMemory {
			t.load(from, d)
		} else {
			t.move(number(ops[0]), d)
		}
	case "VMOVSS":
		t.emit("FMOVS %s, F%d", t.place(from, true), d)
	case "VMOVD":
		t.emit("FMOVS F%d, R%d", number(ops[0]), d)
	case "VBROADCASTSS":
		switch {
		case fromMemory && from.Symbol.Static: // constants are stored several times over
			t.load(from, d)
		case fromMemory:
			t.emit("FMOVS %s, F%d", t.place(from, true), d)
			t.emit("%s", neonSpread(d, d))
		default:
			t.emit("%s", neonSpread(d, number(ops[0])))
		}
	case "VFMADD213PS": // d = d·a + x
		x := source(0)
		t.move(x, neonScratch)
		t.emit("%s", neonFMLA.three(neonScratch, number(ops[1]), d))
		t.move(neonScratch, d)
	case "VCMPPS":
		return t.compare(ops[0], source(1), number(ops[2]), d)
	case "VMAXPS": // unlike FMAX this is the first operand if one is NaN or both are zeros
		first, second := source(0), number(ops[1])
		t.emit("%s", neonFCMGT.three(neonScratch, second, first))
		t.choose(neonScratch, second, first, d)
	case "VMINPS":
		first, second := source(0), number(ops[1])
		t.emit("%s", neonFCMGT.three(neonScratch, first, second))
		t.choose(neonScratch, second, first, d)
	case "VBLENDVPS":
		t.choose(number(ops[0]), number(ops[1]), number(ops[2]), d)
	case "VSHUFPS": // the even elements of two vectors
		if ops[0] != operand.U8(0x88) {
			return false
		}
		high := source(1)
		t.emit("%s", neonUZP1.three(d, number(ops[2]), high))
	case "VPSLLD":
		t.emit("%s", neonShiftLeft(d, number(ops[1]), bits(ops[0])))
	case "VPSRAD":
		t.emit("%s", neonShiftRight(d, number(ops[1]), bits(ops[0])))
	case "VMOVHLPS", "VUNPCKHPD": // of a vector with itself
		if ops[0] != ops[1] {
			return false
		}
		t.emit("%s", neonUpper(d, number(ops[0])))
	case "VMOVSHDUP":
		t.emit("%s", neonTRN2.three(d, number(ops[0]), number(ops[0])))
	case "VSQRTPS":
		t.emit("%s", neonRoot(d, source(0)))
	case "VCVTPS2PD":
		t.emit("%s", neonWiden(d, source(0)))
	case addProduct:
		t.emit("%s", neonMultiple(d, number(ops[0]), number(ops[1])))
	case loadPart:
		t.part(from, ops[1], d, false)
	case laneMask:
		t.address(from, addressGP)
		t.emit("SUB %s<<2, R%d, R%[2]d", scalarOperand(ops[1]), addressGP)
		t.emit("FMOVQ (R%d), F%d", addressGP, d)
	default:
		return false
	}
	return true
}

// compare sets d to ones where a and limit are as the predicate says.
func (t *neonTranslator) compare(predicate operand.Op, limit, a, d int) bool {
	switch predicate {
	case operand.U8(1): // a < limit
		t.emit("%s", neonFCMGT.three(d, limit, a))
	case operand.U8(6): // not a <= limit
		t.emit("%s", neonFCMGE.three(d, limit, a))
		t.emit("%s", neonNot(d, d))
	case operand.U8(9): // not a >= limit
		t.emit("%s", neonFCMGE.three(d, a, limit))
		t.emit("%s", neonNot(d, d))
	default:
		return false
	}
	return true
}

// choose computes d = yes where the mask is ones, else no.
func (t *neonTranslator) choose(mask, yes, no, d int) {
	switch d {
	case no:
		t.emit("%s", neonBIT.three(d, yes, mask))
	case yes:
		t.emit("%s", neonBIF.three(d, no, mask))
	default:
		t.move(mask, d)
		t.emit("%s", neonBSL.three(d, yes, no))
	}
}

// part loads or stores the first lanes of a vector.
func (t *neonTranslator) part(m operand.Mem, count operand.Op, v int, store bool) {
	t.labels++
	few, one, done := fmt.Sprint("few", t.labels), fmt.Sprint("one", t.labels), fmt.Sprint("loaded", t.labels)
	at, n := addressGP, scalarOperand(count)
	move := func(opcode string) {
		if store {
			t.emit("%s F%d, (R%d)", opcode, v, at)
		} else {
			t.emit("%s (R%d), F%d", opcode, at, v)
		}
	}
	t.address(m, at)
	t.emit("TBZ $2, %s, %s", n, few)
	move("FMOVQ")
	t.emit("B %s", done)
	fmt.Fprintf(&t.out, "%s:\n", few)
	if !store {
		t.emit("%s", neonEOR.three(v, v, v))
	}
	t.emit("TBZ $1, %s, %s", n, one)
	move("FMOVD")
	t.emit("TBZ $0, %s, %s", n, done)
	t.emit("ADD $8, R%d", at)
	if store {
		t.emit("VST1 V%d.S[2], (R%d)", v, at)
	} else {
		t.emit("VLD1 (R%d), V%d.S[2]", at, v)
	}
	t.emit("B %s", done)
	fmt.Fprintf(&t.out, "%s:\n", one)
	t.emit("TBZ $0, %s, %s", n, done)
	move("FMOVS")
	fmt.Fprintf(&t.out, "%s:\n", done)
}

// source returns the register of an operand, into which it loads it if it lies in memory.
func (t *neonTranslator) source(op operand.Op) int {
	if m, ok := op.(operand.Mem); ok {
		t.load(m, neonOperand)
		return neonOperand
	}
	return number(op)
}

func (t *neonTranslator) move(from, to int) {
	if from != to {
		t.emit("%s", neonORR.three(to, from, from))
	}
}

func (t *neonTranslator) load(m operand.Mem, d int) {
	if byRegisters(m) {
		t.emit("%s", neonLoad(d, number(m.Base), number(m.Index)))
		return
	}
	t.emit("FMOVQ %s, F%d", t.place(m, false), d)
}

func (t *neonTranslator) store(d int, m operand.Mem) {
	if byRegisters(m) {
		t.emit("%s", neonStore(d, number(m.Base), number(m.Index)))
		return
	}
	t.emit("FMOVQ F%d, %s", d, t.place(m, false))
}

// byRegisters reports whether an address is the sum of two registers.
func byRegisters(m operand.Mem) bool {
	return m.Symbol.Name == "" && m.Index != nil && m.Scale == 1 && m.Disp == 0
}

// place returns the operand for memory, whose address it computes where none of NEON's forms
// of address fits. byRegisters says that the sum of two registers is one of them.
func (t *neonTranslator) place(m operand.Mem, sumFits bool) string {
	switch {
	case m.Base == reg.FramePointer:
		return fmt.Sprintf("%s+%d(FP)", m.Symbol, m.Disp)
	case m.Symbol.Name != "":
		t.address(m, addressGP)
		return fmt.Sprintf("(R%d)", addressGP)
	case sumFits && byRegisters(m):
		return fmt.Sprintf("(R%d)(R%d)", number(m.Base), number(m.Index))
	case m.Index != nil:
		t.address(operand.Mem{Base: m.Base, Index: m.Index, Scale: m.Scale}, addressGP)
		return fmt.Sprintf("%d(R%d)", m.Disp, addressGP)
	}
	return fmt.Sprintf("%d(R%d)", m.Disp, number(m.Base))
}

// address computes the address of m.
func (t *neonTranslator) address(m operand.Mem, dst int) {
	if m.Symbol.Name != "" {
		t.emit("MOVD $%s+%d(SB), R%d", m.Symbol, m.Disp, dst)
		return
	}
	base := number(m.Base)
	if m.Index != nil {
		shift := map[uint8]int{1: 0, 2: 1, 4: 2, 8: 3}[m.Scale]
		t.emit("ADD R%d<<%d, R%d, R%d", number(m.Index), shift, base, dst)
		base = dst
	}
	if m.Disp != 0 || base != dst {
		t.emit("ADD $%d, R%d, R%d", m.Disp, base, dst)
	}
}

// number returns the number of an allocated register.
func number(op operand.Op) int { return int(op.(reg.Physical).PhysicalIndex()) }

func scalarOperand(op operand.Op) string {
	if r, ok := op.(reg.Physical); ok {
		return fmt.Sprintf("R%d", r.PhysicalIndex())
	}
	return op.Asm() // a constant
}

func bits(op operand.Op) int { return int(op.(operand.U8)) }
