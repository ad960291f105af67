package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// A document holds one block for each section, between two comments. A section that is
// measured again takes the place of its block; what stands around the blocks stays.
type document struct {
	bench *bench
	path  string // empty: standard output
	text  string
}

func openDocument(b *bench, path string) (*document, error) {
	d := &document{bench: b, path: path}
	if path == "" {
		return d, nil
	}
	text, err := os.ReadFile(path)
	d.text = string(text)
	return d, err
}

// markers enclose a section's block.
func markers(section string) (begin, end string) {
	return "<!-- " + section + ": written by make bench -->\n", "<!-- " + section + ": end -->\n"
}

// put writes a section into the document.
func (d *document) put(s section, t table, began time.Time) error {
	block := d.machine(began) + "\n" + t.markdown()
	if d.path == "" {
		_, err := fmt.Printf("## %s\n\n%s\n", s.title, block)
		return err
	}
	begin, end := markers(s.name)
	before, rest, ok := strings.Cut(d.text, begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s: no lines %q and %q", d.path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	d.text = before + begin + "\n" + block + "\n" + end + after
	return os.WriteFile(d.path, []byte(d.text), 0o644)
}

// machine says what a section was measured with.
func (d *document) machine(began time.Time) string {
	b := d.bench
	parts := []string{cpu(), fmt.Sprintf("%d processors", runtime.NumCPU()), "kernels " + kernel.NewContext(1).Variant().String(), runtime.Version()}
	for _, name := range slices.Sorted(maps.Keys(b.versions)) {
		if name != ownName {
			parts = append(parts, name+" "+b.versions[name])
		}
	}
	parts = append(parts, fmt.Sprintf("rounds: %d", b.rounds), began.Format(time.DateOnly))
	if out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		parts = append(parts, "revision "+strings.TrimSpace(string(out)))
	}
	text := strings.Join(parts, ", ") + fmt.Sprintf("; %.0f s.\n", time.Since(began).Seconds())
	if b.python == "" {
		text += "\nWithout Python: nothing was compared with ONNX Runtime and PyTorch.\n"
	}
	if b.quick {
		text += "\nA quick run, which only tries the command out.\n"
	}
	return text
}

// cpu is what the processor calls itself.
func cpu() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // not everywhere
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
