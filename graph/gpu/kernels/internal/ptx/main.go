// Command ptx compiles src/kernels.cu, below the current folder, to kernels.ptx:
//
//	NVCC=/path/to/nvcc PTXAS=/path/to/ptxas go generate ./graph/gpu/kernels
//
// It needs nvcc of CUDA 12 or 13, from a toolkit or from the Python wheels
// nvidia-cuda-nvcc, nvidia-cuda-crt, nvidia-nvvm and nvidia-cuda-runtime of one
// version; without NVCC it is looked for on the path. With ptxas, of PTXAS or on
// the path, the result is assembled for the architectures that it is for, and
// the registers that it takes are printed.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// nvcc writes the newest version of PTX that it knows, which older drivers
// refuse. The kernels need nothing newer than the first version with sm_75.
const (
	version      = "6.3"
	architecture = "75"
)

// The architectures from Turing to Hopper, for which ptxas is asked.
var architectures = []string{architecture, "80", "86", "89", "90"}

func main() {
	log.SetFlags(0)
	if err := generate("."); err != nil {
		log.Fatal(err)
	}
}

func tool(variable, name string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		return path, nil
	}
	return exec.LookPath(name)
}

// header is the first line of kernels.ptx: which sources it is of.
func header(dir string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "src", "*")) // sorted
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		hash.Write(text)
	}
	return fmt.Sprintf("// SHA-256 of src: %x\n", hash.Sum(nil)), nil
}

func generate(dir string) error {
	first, err := header(dir)
	if err != nil {
		return err
	}
	nvcc, err := tool("NVCC", "nvcc")
	if err != nil {
		// Few have it, and go generate is for everybody.
		if text, _ := os.ReadFile(filepath.Join(dir, "kernels.ptx")); bytes.HasPrefix(text, []byte(first)) {
			fmt.Println("kernels.ptx is of these sources already; left as it is, without nvcc")
			return nil
		}
		return fmt.Errorf("kernels.ptx is of other sources, and nvcc is not here: %w", err)
	}
	release, err := exec.Command(nvcc, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", nvcc, err)
	}
	// Sums and products are rounded one by one, as they are on a CPU.
	command := exec.Command(nvcc, "-ptx", "-arch=compute_"+architecture, "-O3", "-fmad=false", "-o", "-", filepath.Join(dir, "src", "kernels.cu"))
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", nvcc, err)
	}
	text = regexp.MustCompile(`(?m)^//.*\n`).ReplaceAll(text, nil)
	text = regexp.MustCompile(`(?m)^\.version .*$`).ReplaceAll(text, []byte(".version "+version))
	first += fmt.Sprintf("// Compiled by nvcc, %s\n", regexp.MustCompile(`release [\d.]+, V[\d.]+`).Find(release))
	if err := os.WriteFile(filepath.Join(dir, "kernels.ptx"), append([]byte(first), text...), 0o644); err != nil {
		return err
	}
	return assemble(filepath.Join(dir, "kernels.ptx"))
}

// assemble prints what the kernels take on each architecture.
func assemble(path string) error {
	ptxas, err := tool("PTXAS", "ptxas")
	if err != nil {
		fmt.Println("not assembled:", err)
		return nil
	}
	registers, spills := regexp.MustCompile(`Used (\d+) registers`), regexp.MustCompile(` [1-9]\d* bytes spill stores`)
	for _, sm := range architectures {
		report, err := exec.Command(ptxas, "-arch=sm_"+sm, "-v", "-o", os.DevNull, path).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ptxas for sm_%s: %w\n%s", sm, err, bytes.TrimSpace(report))
		}
		most := 0
		for _, found := range registers.FindAllSubmatch(report, -1) {
			n, _ := strconv.Atoi(string(found[1]))
			most = max(most, n)
		}
		fmt.Printf("sm_%s: at most %d registers, %d kernels that spill\n", sm, most, len(spills.FindAll(report, -1)))
	}
	return nil
}
