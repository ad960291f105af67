//go:build gpu && linux && cgo

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/report"
)

// checkFixture runs check on some images and layers of the fixture.
func checkFixture(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	args = append([]string{"modeldoctor", "check", "-q", "--samples", "16", "--layers", "blocks.5,head", "--fail-on", "never", "--format", "json"}, args...)
	code = run(t.Context(), append(args, "../../fixtures/vit-cifar100/model.onnx"), &out, &err)
	return code, out.String(), err.String()
}

// TestCheckOnDevice: check says the same of a GPU, and on which it was.
func TestCheckOnDevice(t *testing.T) {
	fake.Use(t)
	var results [2]report.Check
	for i, device := range []string{"cpu", "gpu"} {
		code, stdout, stderr := checkFixture(t, "--device", device)
		if code != exitOK {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &results[i]); err != nil {
			t.Fatal(err)
		}
		if got := results[i].Provenance.Device; !strings.HasPrefix(got, device) {
			t.Errorf("on %s the device is %q", device, got)
		}
	}
	for i, want := range results[0].Layers {
		got := results[1].Layers[i]
		if math.Abs(got.DeltaLoss-want.DeltaLoss) > 1e-4 || got.Status != want.Status {
			t.Errorf("%s: ΔL %v (%s) on the GPU, %v (%s) on the CPU", want.Name, got.DeltaLoss, got.Status, want.DeltaLoss, want.Status)
		}
	}
}

// TestDeviceFailures: each has its exit code, and a hint.
func TestDeviceFailures(t *testing.T) {
	fake.Use(t)
	for _, k := range []struct {
		name   string
		faults fake.Faults
		code   int
		hint   string
	}{
		{"little memory", fake.Faults{Alloc: 5}, exitOK, "no room for 128 images at a time, 64 are computed"},
		{"no memory", fake.Faults{Memory: 33 << 20}, exitInternal, "the GPU has no more room"},
		{"a launch", fake.Faults{Launch: 30}, exitInternal, "use --device cpu"},
		{"lost", fake.Faults{Lost: 500}, exitInternal, "the GPU, or its driver, failed"},
		{"absent", fake.Faults{Absent: true}, exitUsage, "modeldoctor devices"},
	} {
		t.Run(k.name, func(t *testing.T) {
			fake.Set(t, k.faults)
			if code, _, stderr := checkFixture(t, "--device", "gpu"); code != k.code || !strings.Contains(stderr, k.hint) {
				t.Errorf("exit %d: %s", code, stderr)
			}
			fake.Set(t, fake.Faults{})
		})
	}
}
