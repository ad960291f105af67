package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write what is generated from commands and flags: the manual page, the schema and the reference of the configuration")

// TestGeneratedFiles: what is made from the commands and their flags is up to date;
// `go test ./cmd/modeldoctor -run TestGeneratedFiles -update` writes it.
func TestGeneratedFiles(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	schema, err := configSchema(app)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"man/modeldoctor.1":     manPage(app),
		"schema/config-v1.json": schema,
		"modeldoctor.yaml":      referenceConfig(app),
	} {
		path := filepath.Join("..", "..", "docs", path)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is not what the program's flags are now (%v); write it with -update", path, err)
		}
	}
}
