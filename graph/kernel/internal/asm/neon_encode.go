package main

import "fmt"

// Go's assembler lacks most vector instructions on floating-point numbers, so all vector
// instructions but loads and stores are written as words, with the mnemonic as a comment. The
// encodings are those of the Arm Architecture Reference Manual (DDI 0487), section C7.2.

// A neonOp is an instruction on vector registers: its mnemonic, the arrangement of its
// operands, and its word with all register numbers 0.
type neonOp struct {
	mnemonic, arrangement string
	word                  uint32
}

// Instructions d, n, m: the registers are five bits each, from bits 0, 5 and 16 on.
var (
	neonFADD  = neonOp{"FADD", "4S", 0x4e20d400}
	neonFSUB  = neonOp{"FSUB", "4S", 0x4ea0d400}
	neonFMUL  = neonOp{"FMUL", "4S", 0x6e20dc00}
	neonFDIV  = neonOp{"FDIV", "4S", 0x6e20fc00}
	neonFMLA  = neonOp{"FMLA", "4S", 0x4e20cc00} // d += n·m, fused
	neonFMLS  = neonOp{"FMLS", "4S", 0x4ea0cc00} // d -= n·m, fused
	neonFCMGT = neonOp{"FCMGT", "4S", 0x6ea0e400}
	neonFCMGE = neonOp{"FCMGE", "4S", 0x6e20e400}
	neonFADDD = neonOp{"FADD", "2D", 0x4e60d400}
	neonFMLAD = neonOp{"FMLA", "2D", 0x4e60cc00}
	neonADD   = neonOp{"ADD", "4S", 0x4ea08400}
	neonSUB   = neonOp{"SUB", "4S", 0x6ea08400}
	neonAND   = neonOp{"AND", "16B", 0x4e201c00}
	neonORR   = neonOp{"ORR", "16B", 0x4ea01c00}
	neonEOR   = neonOp{"EOR", "16B", 0x6e201c00}
	neonBSL   = neonOp{"BSL", "16B", 0x6e601c00} // d = n where d is 1, else m
	neonBIT   = neonOp{"BIT", "16B", 0x6ea01c00} // d = n where m is 1
	neonBIF   = neonOp{"BIF", "16B", 0x6ee01c00} // d = n where m is 0
	neonUZP1  = neonOp{"UZP1", "4S", 0x4e801800}
	neonTRN2  = neonOp{"TRN2", "4S", 0x4e806800}
)

// three encodes d, n, m.
func (o neonOp) three(d, n, m int) string {
	a := o.arrangement
	return word(o.word|uint32(m)<<16|uint32(n)<<5|uint32(d), "%s V%d.%s, V%d.%s, V%d.%s", o.mnemonic, d, a, n, a, m, a)
}

// neonMultiple encodes d += n·m[0].
func neonMultiple(d, n, m int) string {
	return word(0x4f801000|uint32(m)<<16|uint32(n)<<5|uint32(d), "FMLA V%d.4S, V%d.4S, V%d.S[0]", d, n, m)
}

// neonShiftLeft and neonShiftRight encode the shifts of 32-bit integers by a number of bits
// from 1 to 31; to the right the sign is kept.
func neonShiftLeft(d, n, bits int) string {
	return word(0x4f005400|uint32(32+bits)<<16|uint32(n)<<5|uint32(d), "SHL V%d.4S, V%d.4S, #%d", d, n, bits)
}

func neonShiftRight(d, n, bits int) string {
	return word(0x4f000400|uint32(64-bits)<<16|uint32(n)<<5|uint32(d), "SSHR V%d.4S, V%d.4S, #%d", d, n, bits)
}

// neonNot encodes the complement of n.
func neonNot(d, n int) string {
	return word(0x6e205800|uint32(n)<<5|uint32(d), "NOT V%d.16B, V%d.16B", d, n)
}

// neonSpread encodes the copy of the first element of n to all of d.
func neonSpread(d, n int) string {
	return word(0x4e040400|uint32(n)<<5|uint32(d), "DUP V%d.4S, V%d.S[0]", d, n)
}

// neonUpper encodes the copy of the upper half of n to both of d.
func neonUpper(d, n int) string {
	return word(0x4e180400|uint32(n)<<5|uint32(d), "DUP V%d.2D, V%d.D[1]", d, n)
}

// neonRoot encodes the square root of n.
func neonRoot(d, n int) string {
	return word(0x6ea1f800|uint32(n)<<5|uint32(d), "FSQRT V%d.4S, V%d.4S", d, n)
}

// neonWiden encodes the conversion of the two low float32 of n to float64.
func neonWiden(d, n int) string {
	return word(0x0e617800|uint32(n)<<5|uint32(d), "FCVTL V%d.2D, V%d.2S", d, n)
}

// neonLoad and neonStore encode a vector at the sum of two registers.
func neonLoad(d, base, index int) string {
	return word(0x3ce06800|uint32(index)<<16|uint32(base)<<5|uint32(d), "LDR Q%d, [X%d, X%d]", d, base, index)
}

func neonStore(d, base, index int) string {
	return word(0x3ca06800|uint32(index)<<16|uint32(base)<<5|uint32(d), "STR Q%d, [X%d, X%d]", d, base, index)
}

func word(w uint32, mnemonic string, registers ...any) string {
	return fmt.Sprintf("WORD $0x%08x // ", w) + fmt.Sprintf(mnemonic, registers...)
}
