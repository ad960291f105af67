//go:build gpu && linux && cgo

package driver

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The program must start where there is no library of CUDA's, and must not offer its trampolines to those that it loads.
func TestProgramNeedsNoCUDA(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	libraries, err := program.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libraries {
		if strings.Contains(l, "cu") {
			t.Errorf("linked with %s", l)
		}
	}
	symbols, err := program.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "cu") {
			t.Errorf("exports %s", s.Name)
		}
	}
}

// With a CUDA toolkit of 12 or newer at hand, which CUDA_HOME may name: its header gives the constants and layouts that
// include/cuda.h declares, and takes the declarations of the functions after its own.
func TestHeaderAgreesWithToolkit(t *testing.T) {
	home := os.Getenv("CUDA_HOME")
	if home == "" {
		home = "/usr/local/cuda"
	}
	header, err := os.ReadFile(filepath.Join(home, "include", "cuda.h"))
	if err != nil {
		t.Skipf("no toolkit: %v", err)
	}
	if bytes.Contains(header, []byte("#define CUDA_VERSION 11")) {
		t.Skip("CUDA 11 has another CUDA_KERNEL_NODE_PARAMS, which this program never passes")
	}
	dir := compiledFakes(t)
	source := filepath.Join(t.TempDir(), "probe.c")
	if err := os.WriteFile(source, probe(t, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	ours := compileAndRun(t, source, filepath.Join(dir, "include"))
	theirs := compileAndRun(t, source, filepath.Join(home, "include"))
	if ours != theirs {
		t.Errorf("include/cuda.h:\n%s\n%s:\n%s", ours, home, theirs)
	}
}

// probe is a C program that prints what include/cuda.h, of the package's files in dir, declares.
func probe(t *testing.T, dir string) []byte {
	header, err := sources.ReadFile("include/cuda.h")
	if err != nil {
		t.Fatal(err)
	}
	var c bytes.Buffer
	c.WriteString("#include <stddef.h>\n#include <stdio.h>\n#include <cuda.h>\n")
	for _, newer := range []string{"cuCtxCreate", "cuDeviceGetUuid", "cuEventElapsedTime", "cuGraphAddDependencies",
		"cuGraphGetEdges", "cuMemAdvise", "cuMemPrefetchAsync"} { // in CUDA 13, other functions than in 12
		fmt.Fprintf(&c, "#undef %s\n", newer)
	}
	fmt.Fprintf(&c, "#include %q\nint main(void) {\n", filepath.Join(dir, "include/cuda_functions.h"))
	for _, m := range regexp.MustCompile(`\b(CU\w+) = -?\d+`).FindAllSubmatch(header, -1) {
		fmt.Fprintf(&c, "printf(\"%s %%lld\\n\", (long long)%s);\n", m[1], m[1])
	}
	for _, m := range regexp.MustCompile(`(?s)typedef struct \{([^{}]*)\} (CUDA_\w+);`).FindAllSubmatch(header, -1) {
		fmt.Fprintf(&c, "printf(\"%s %%zu\\n\", sizeof(%s));\n", m[2], m[2])
		for _, field := range regexp.MustCompile(`(\w+);`).FindAllSubmatch(m[1], -1) {
			fmt.Fprintf(&c, "printf(\"%s.%s %%zu\\n\", offsetof(%s, %s));\n", m[2], field[1], m[2], field[1])
		}
	}
	c.WriteString("return 0; }\n")
	return c.Bytes()
}

func compileAndRun(t *testing.T, source, include string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "probe")
	if out, err := exec.Command(compiler(), "-w", "-I"+include, "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
