// Command asm writes the assembly of package kernel: the micro-kernels of the matrix
// product and of convolutions, and the row and elementwise kernels, each once with 256-bit vectors (AVX2 and
// FMA) and once with 512-bit vectors (AVX512F).
//
// Both widths come from the same code, written against the type generator, which hides
// what differs: registers, masks and a few opcodes. A kernel never lets the width decide
// the order of the operations on an element, so both give the same bits. The rules for
// that are
//
//   - elementwise kernels apply the same instructions to every element, including those
//     of the partial vector at the end, which is loaded and stored under a mask;
//   - sums run in a fixed number of interleaved lanes (32 of float32, 16 of float64),
//     whatever number of registers those fill, and are folded in halves;
//   - a matrix product adds up an element in ascending order of k.
//
// Run it with go generate in package kernel.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("asm: ")
	dir := flag.String("dir", ".", "folder to write to")
	flag.Parse()
	if err := generateAll(*dir); err != nil {
		log.Fatal(err)
	}
}

func generateAll(dir string) error {
	for _, unit := range []struct {
		name  string
		write func(*generator)
	}{
		{"gemm", (*generator).gemm},
		{"pack", (*generator).pack},
		{"elementwise", (*generator).elementwise},
		{"rows", (*generator).rows},
		{"convolution", (*generator).convolution},
		{"piecewise", (*generator).piecewise},
	} {
		if err := generate(dir, unit.name, unit.write); err != nil {
			return fmt.Errorf("%s: %w", unit.name, err)
		}
	}
	return nil
}

// generate writes NAME_amd64.s and the Go declarations of its functions.
func generate(dir, name string, write func(*generator)) error {
	ctx := build.NewContext()
	ctx.ConstraintExpr("amd64")
	shared := &data{}
	for _, w := range []width{avx2, avx512} {
		write(&generator{Context: ctx, width: w, data: shared})
	}
	file, err := ctx.Result()
	if err != nil {
		return err
	}
	if err := pass.Concat(pass.FunctionPass(weaveThreads), pass.Compile).Execute(file); err != nil {
		return err
	}
	for _, f := range file.Functions() {
		if err := checkRegisters(f); err != nil {
			return err
		}
	}
	config := printer.Config{Name: "graph/kernel/internal/asm", Pkg: "kernel"}
	for path, p := range map[string]printer.Printer{
		name + "_amd64.s":       printer.NewGoAsm(config),
		name + "_stub_amd64.go": printer.NewStubs(config),
	} {
		text, err := p.Print(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, path), text, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// checkRegisters returns an error if a function for AVX2 was given a register that only AVX-512
// has: the Go assembler would take it, and the CPU would not.
func checkRegisters(f *ir.Function) error {
	if !strings.HasSuffix(f.Name, avx2.suffix) {
		return nil
	}
	for _, i := range f.Instructions() {
		for _, op := range i.Operands {
			for _, r := range operand.Registers(op) {
				vector := r.Kind() == reg.KindVector
				if p, ok := r.(reg.Physical); ok && (r.Kind() == reg.KindOpmask || vector && (p.PhysicalIndex() > 15 || r.Size() > 32)) {
					return fmt.Errorf("%s uses register %s", f.Name, r.Asm())
				}
			}
		}
	}
	return nil
}
