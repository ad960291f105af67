// Command asm writes the assembly of package kernel: the micro-kernels of the matrix
// product and of convolutions, and the row and elementwise kernels, each once with 256-bit
// vectors (AVX2 and FMA), once with 512-bit vectors (AVX512F) and once with the 128-bit
// vectors of arm64 (NEON).
//
// All widths come from the same code, written against the type generator, which hides
// what differs: registers, masks and a few opcodes. For NEON that code is run for 128-bit
// vectors of AVX, and what comes out is translated. A kernel never lets the width decide
// the order of the operations on an element, so all give the same bits. The rules for
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

// A machine is an architecture and the widths of its vectors.
type machine struct {
	name     string
	widths   []width
	assembly func(printer.Config) printer.Printer
}

var (
	amd64 = machine{"amd64", []width{avx2, avx512}, printer.NewGoAsm}
	arm64 = machine{"arm64", []width{neon}, newNEONPrinter}
)

func generateAll(dir string) error {
	for _, unit := range []struct {
		name     string
		write    func(*generator)
		machines []machine
	}{
		{"gemm", (*generator).gemm, []machine{amd64, arm64}},
		{"pack", (*generator).pack, []machine{amd64}}, // for NEON in Go
		{"elementwise", (*generator).elementwise, []machine{amd64, arm64}},
		{"rows", (*generator).rows, []machine{amd64, arm64}},
		{"convolution", (*generator).convolution, []machine{amd64, arm64}},
		{"piecewise", (*generator).piecewise, []machine{amd64, arm64}},
	} {
		for _, m := range unit.machines {
			if err := generate(dir, unit.name, unit.write, m); err != nil {
				return fmt.Errorf("%s for %s: %w", unit.name, m.name, err)
			}
		}
	}
	return nil
}

// generate writes NAME_MACHINE.s and the Go declarations of its functions.
func generate(dir, name string, write func(*generator), m machine) error {
	ctx := build.NewContext()
	ctx.ConstraintExpr(m.name)
	shared := &data{}
	for _, w := range m.widths {
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
		name + "_" + m.name + ".s":       m.assembly(config),
		name + "_stub_" + m.name + ".go": printer.NewStubs(config),
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
