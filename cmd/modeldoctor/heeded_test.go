package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/pol"

	"github.com/urfave/cli/v2"
)

// TestNeeds: of every flag of a treatment it is known which recipes heed it, and no
// other is listed.
func TestNeeds(t *testing.T) {
	var flags []string
	for _, f := range slices.Concat(treatmentFlags(), searchFlags(), cacheFlags()) {
		name := f.Names()[0]
		flags = append(flags, name)
		if _, ok := needs[name]; !ok {
			t.Errorf("it is not said which recipes heed --%s", name)
		}
	}
	for name := range needs {
		if !slices.Contains(flags, name) {
			t.Errorf("no treatment has a flag --%s", name)
		}
	}
}

// TestHeeded: each flag that a recipe does not heed is refused with it by name, on the
// command line of fix, alone and beside another; compare refuses what none of its
// recipes heeds, and passes on to each only what it heeds.
func TestHeeded(t *testing.T) {
	model := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(model, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	read := func(flags ...string) error {
		app := newApp(io.Discard, io.Discard)
		app.Command("fix").Action = func(c *cli.Context) error { _, err := readFixOptions(c); return err }
		app.Command("compare").Action = func(c *cli.Context) error { _, err := readCompareOptions(c); return err }
		args := flagsFirst(app, slices.Concat([]string{"modeldoctor"}, flags, []string{model}))
		app.Metadata = map[string]any{commandLineKey: namedFlags(app, args)}
		return app.RunContext(t.Context(), args)
	}
	values := map[string]string{"shared": "untie", "schedule": "constant", "loss": "margin", "augment": "flip-crop", "lr-factor": "0.5", "momentum": "0.5", "weight-decay": "0.5", "lr": "0.5", "mix": "0.5", "gamma-max": "0.5", "rho": "0.5"}
	refused := 0
	for _, r := range pol.Recipes() {
		for name, n := range needs {
			if n.lack == "" {
				continue
			}
			flag := "--" + name + "=" + values[name]
			if values[name] == "" {
				flag = "--" + name + "=3"
			}
			if name == "no-cache" {
				flag = "--no-cache"
			}
			flags := []string{"fix", "--trial", "--recipe", r.Name, flag}
			if name == "views" {
				flags = append(flags, "--augment=flip-crop")
			}
			err := read(flags...)
			if n.met(r) {
				if err != nil {
					t.Errorf("%s is refused: %v", strings.Join(flags, " "), err)
				}
				continue
			}
			refused++
			if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("recipe %s %s: ", r.Name, n.lack)) || !strings.Contains(err.Error(), "--"+name) || exitCode(err) != exitUsage {
				t.Errorf("%s: error %v", strings.Join(flags, " "), err)
			}
			if passed := heededBy(r, []string{flag, "--data=x"}); !slices.Equal(passed, []string{"--data=x"}) {
				t.Errorf("%s is passed on to %s", passed, r.Name)
			}
		}
	}
	if refused < 20 {
		t.Errorf("only %d flags without effect were found", refused)
	}
	for flags, want := range map[string]string{
		"fix --trial --recipe temperature --lr 0.1 --mix 0.4": "recipe temperature trains nothing: --lr, --mix would change nothing",
		"compare --recipes sgd,temperature --rho 0.1":         "recipe sgd or temperature has no perturbation of a given length: --rho would change nothing",
		"compare --recipes sgd,sam --rho 0.1":                 "",
		"fix --trial --mix 0.4 --batch 1":                     "--mix: an update of one image (--batch 1) has no other to blend it with",
		"fix --trial --search-candidates 4":                   "--search-candidates has no effect without --search-layers",
	} {
		if err := read(strings.Fields(flags)...); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", flags, err, want)
		}
	}
}
