package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// TestReferenceConfig: each key of the reference file, on its own and without the sign of
// a comment, is one that the schema knows and every command takes that it names.
func TestReferenceConfig(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "docs", "schema", "config-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for _, line := range strings.Split(referenceConfig(app), "\n") {
		entry, isKey := strings.CutPrefix(line, "#")
		if !isKey || strings.HasPrefix(entry, " ") {
			continue
		}
		keys++
		if err := validConfig(schema, entry); err != nil {
			t.Errorf("%s: %v", entry, err)
		}
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(entry), 0o644); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(entry, ":")
		for _, command := range app.Commands {
			if settable(command)[name] == nil && (name != suppressKey || command.Name != "check") {
				continue
			}
			var stdout, stderr bytes.Buffer
			if code := run(context.Background(), []string{"modeldoctor", "config", "show", command.Name, "--config", path}, &stdout, &stderr); code != exitOK {
				t.Errorf("%s: %s: exit status %d: %s", command.Name, entry, code, stderr.String())
			}
			if name != suppressKey && !strings.Contains(stdout.String(), "# file, "+path+"\n") {
				t.Errorf("%s: %s: no value comes from the file:\n%s", command.Name, entry, stdout.String())
			}
		}
	}
	if want := len(configKeys(app)) + 1; keys != want || keys == 0 {
		t.Errorf("%d keys, want %d", keys, want)
	}
	for _, wrong := range []string{"treshold: 0.1", "fail-on: nevr", "samples: many", "epochs: 1.5", "quiet: 1", "timeout: soon", "recipes: [sgd, pool]", "- data", "suppress: [{rule: MD001}]"} {
		if validConfig(schema, wrong) == nil {
			t.Errorf("the schema takes %q", wrong)
		}
	}
	if err := validConfig(schema, "# nothing"); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

// validConfig compares a configuration with the schema.
func validConfig(schema *jsonschema.Schema, text string) error {
	var document any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return err
	}
	return schema.Validate(document)
}

// TestShownConfigIsOne: what config show prints is a configuration with the same values.
func TestShownConfigIsOne(t *testing.T) {
	show := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), append([]string{"modeldoctor", "config", "show"}, args...), &stdout, &stderr); code != exitOK {
			t.Fatalf("%q: exit status %d: %s", args, code, stderr.String())
		}
		return stdout.String()
	}
	first := show("fix", "--config", "none", "--epochs", "4", "--update=head,'odd name'", "--timeout", "90m", "-q", "model.onnx")
	path := filepath.Join(t.TempDir(), "shown.yaml")
	if err := os.WriteFile(path, []byte(first), 0o644); err != nil {
		t.Fatal(err)
	}
	values := func(text string) map[string]any {
		var v map[string]any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	again := values(show("fix", "--config", path))
	for key, value := range values(first) {
		if got, want := again[key], value; !equalYAML(got, want) {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if again["epochs"] != 4 || again["timeout"] != "1h30m" || again["quiet"] != true {
		t.Errorf("values %v", again)
	}
}

func equalYAML(a, b any) bool {
	x, err1 := yaml.Marshal(a)
	y, err2 := yaml.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 90 * time.Second: "1m30s", 5 * time.Minute: "5m", 2 * time.Hour: "2h", 90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s"} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
