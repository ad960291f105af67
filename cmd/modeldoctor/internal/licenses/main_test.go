package main

import (
	"bytes"
	"os"
	"testing"
)

// TestUpToDate: go generate changes nothing.
func TestUpToDate(t *testing.T) {
	want, err := collect()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../licenses.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("licenses.txt is not what go generate writes: run go generate ./cmd/modeldoctor")
	}
}
