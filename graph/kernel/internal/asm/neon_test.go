package main

import (
	"strings"
	"testing"

	"github.com/mmcloughlin/avo/operand"
)

// The words, which LLVM's assembler gives for the same mnemonics.
func TestNEONEncoding(t *testing.T) {
	for want, got := range map[string]string{
		"0x4e23d441 // FADD V1.4S, V2.4S, V3.4S":      neonFADD.three(1, 2, 3),
		"0x4ea3d441 // FSUB V1.4S, V2.4S, V3.4S":      neonFSUB.three(1, 2, 3),
		"0x6e23dc41 // FMUL V1.4S, V2.4S, V3.4S":      neonFMUL.three(1, 2, 3),
		"0x6e23fc41 // FDIV V1.4S, V2.4S, V3.4S":      neonFDIV.three(1, 2, 3),
		"0x6e3fe7dd // FCMGE V29.4S, V30.4S, V31.4S":  neonFCMGE.three(29, 30, 31),
		"0x6ea31c41 // BIT V1.16B, V2.16B, V3.16B":    neonBIT.three(1, 2, 3),
		"0x6ee31c41 // BIF V1.16B, V2.16B, V3.16B":    neonBIF.three(1, 2, 3),
		"0x4e831841 // UZP1 V1.4S, V2.4S, V3.4S":      neonUZP1.three(1, 2, 3),
		"0x6e205bdd // NOT V29.16B, V30.16B":          neonNot(29, 30),
		"0x4e23cc41 // FMLA V1.4S, V2.4S, V3.4S":      neonFMLA.three(1, 2, 3),
		"0x4ea3cc41 // FMLS V1.4S, V2.4S, V3.4S":      neonFMLS.three(1, 2, 3),
		"0x6ea3e441 // FCMGT V1.4S, V2.4S, V3.4S":     neonFCMGT.three(1, 2, 3),
		"0x4e63d441 // FADD V1.2D, V2.2D, V3.2D":      neonFADDD.three(1, 2, 3),
		"0x4e63cc41 // FMLA V1.2D, V2.2D, V3.2D":      neonFMLAD.three(1, 2, 3),
		"0x4ea38441 // ADD V1.4S, V2.4S, V3.4S":       neonADD.three(1, 2, 3),
		"0x6ea38441 // SUB V1.4S, V2.4S, V3.4S":       neonSUB.three(1, 2, 3),
		"0x4e231c41 // AND V1.16B, V2.16B, V3.16B":    neonAND.three(1, 2, 3),
		"0x4ea31c41 // ORR V1.16B, V2.16B, V3.16B":    neonORR.three(1, 2, 3),
		"0x6e231c41 // EOR V1.16B, V2.16B, V3.16B":    neonEOR.three(1, 2, 3),
		"0x6e631c41 // BSL V1.16B, V2.16B, V3.16B":    neonBSL.three(1, 2, 3),
		"0x4e836841 // TRN2 V1.4S, V2.4S, V3.4S":      neonTRN2.three(1, 2, 3),
		"0x4f9f13dd // FMLA V29.4S, V30.4S, V31.S[0]": neonMultiple(29, 30, 31),
		"0x4f375441 // SHL V1.4S, V2.4S, #23":         neonShiftLeft(1, 2, 23),
		"0x4f3f0441 // SSHR V1.4S, V2.4S, #1":         neonShiftRight(1, 2, 1),
		"0x4e0407dd // DUP V29.4S, V30.S[0]":          neonSpread(29, 30),
		"0x4e1807dd // DUP V29.2D, V30.D[1]":          neonUpper(29, 30),
		"0x0e617bdd // FCVTL V29.2D, V30.2S":          neonWiden(29, 30),
		"0x6ea1fbdd // FSQRT V29.4S, V30.4S":          neonRoot(29, 30),
		"0x3ce9685d // LDR Q29, [X2, X9]":             neonLoad(29, 2, 9),
		"0x3ca9685d // STR Q29, [X2, X9]":             neonStore(29, 2, 9),
	} {
		if got != "WORD $"+want {
			t.Errorf("%s, want WORD $%s", got, want)
		}
	}
}

// What NEON is not known to have, and registers that the translation needs, are refused.
func TestNEONRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		write func(g *generator)
		want  string
	}{
		"instruction": {func(g *generator) { g.VRSQRTPS(g.zeros(1)[0], g.vector()) }, "no translation to NEON of VRSQRTPS"},
		"predicate": {func(g *generator) {
			v := g.zeros(1)[0]
			g.VCMPPS(operand.U8(2), v, v, v)
		}, "no translation to NEON of VCMPPS"},
		"other halves": {func(g *generator) {
			v := g.zeros(2)
			g.VMOVHLPS(v[0], v[1], v[1])
		}, "no translation to NEON of VMOVHLPS"},
		"registers": {func(g *generator) {
			sum := g.zeros(31)
			for _, v := range sum[1:] {
				g.VADDPS(v, sum[0], sum[0])
			}
		}, "uses register X30"},
		"width": {func(g *generator) { g.VADDPS(g.YMM(), g.YMM(), g.YMM()) }, "uses register Y"},
	} {
		err := generate(t.TempDir(), "test", func(g *generator) {
			g.function("f", "()", "")
			test.write(g)
			g.return_()
		}, arm64)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}
