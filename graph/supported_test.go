package graph

import (
	flags "flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/lowering"
)

var update = flags.Bool("update", false, "write docs/supported.md")

//go:generate go test -run TestSupportedList . -update

// TestSupportedList: docs/supported.md is what the registry, the fusion passes
// and testdata/exporters.md say.
func TestSupportedList(t *testing.T) {
	path := filepath.Join("..", "docs", "supported.md")
	exporters, err := os.ReadFile(filepath.Join("testdata", "exporters.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := supportedList(t) + "\n" + string(exporters)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the registry says: run go test ./graph -run TestSupportedList -update", path)
	}
}

// supportedList is a table of the registered operators.
func supportedList(t *testing.T) string {
	t.Helper()
	entries := lowering.NewRegistry().Entries()
	fused := map[string][]string{}
	for _, p := range passes() {
		for _, name := range strings.Fields(p.operators) {
			if !slices.ContainsFunc(entries, func(e lowering.Entry) bool { return e.QualifiedName() == name }) {
				t.Errorf("the pass for %s names %s, which is not registered", p.result, name)
			}
			fused[name] = append(fused[name], p.result)
		}
	}
	var b strings.Builder
	b.WriteString(`# What is supported

This file is generated: go test ./graph -run TestSupportedList -update.

Operators are of ai.onnx unless a domain is named. Opsets are versions of the operator's domain. A gradient is
checked against finite differences in float64 through the operator's own lowering: graph/lowering/gradient_*_test.go
have a case for each operator, and several where its form changed between opsets. "Fused" names what patterns with the
operator are recognised as; they are then computed in one step.

An operator that is not listed, a version outside the range and a form that is not implemented are refused with
the name of the node. Operators of any kind are computed when the graph is read where they depend on constants only.

| operator | opsets | forward | gradient | fused | limits |
|---|---|---|---|---|---|
`)
	for _, e := range entries {
		gradient := "yes"
		if e.NoGradient != "" {
			gradient = "no: " + e.NoGradient
		}
		fmt.Fprintf(&b, "| %s | %d–%d | yes | %s | %s | %s |\n", e.QualifiedName(), e.Min, e.Max, gradient, strings.Join(fused[e.QualifiedName()], ", "), e.Limit)
	}
	return b.String()
}
