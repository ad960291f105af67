package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

const driver = "../../"

func TestUpToDate(t *testing.T) {
	want, err := generate(driver+"include/cuda_functions.h", driver+"cublas.h")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(driver + "trampolines.c")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("trampolines.c is not what the headers give: go generate ./graph/gpu/driver")
	}
}

// A declaration that the generator does not understand would be missed by it and then by the linker.
func TestEveryDeclarationIsRead(t *testing.T) {
	for _, header := range []string{"include/cuda_functions.h", "cublas.h"} {
		text, err := os.ReadFile(driver + header)
		if err != nil {
			t.Fatal(err)
		}
		functions, err := read(driver + header)
		if err != nil {
			t.Fatal(err)
		}
		lines := regexp.MustCompile(`(?m)^[^/ #].*\bcu\w+\(.*$`).FindAll(text, -1)
		if len(lines) != len(functions) {
			t.Errorf("%s: %d declarations, %d read", header, len(lines), len(functions))
		}
	}
}
