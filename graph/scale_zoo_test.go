package graph_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// scaleTolerance is relative to the largest logit: one more rounding of each
// weight.
const scaleTolerance = 1e-5

// scaleRefusals are the models of the zoo into whose weights no temperature can
// be folded, with part of the reason.
var scaleRefusals = map[string]string{}

// TestLogitScale multiplies what LogitScale returns and compares the logits.
func TestLogitScale(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		t.Run("fixtures", func(t *testing.T) { checkScales(t, on, readCases(t, filepath.Join("..", "fixtures"))) })
		t.Run("zoo", func(t *testing.T) { checkScales(t, on, readCases(t, shareddata.Path(t, "zoo"))) })
	})
}

func checkScales(t *testing.T, on testdevice.Backend, cases []*zooCase) {
	for _, c := range cases {
		if c.Expect == "refuse" {
			continue
		}
		for _, noFuse := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/unfused=%v", c.Name, noFuse), func(t *testing.T) { checkScale(t, on, c, noFuse) })
		}
	}
}

func checkScale(t *testing.T, on testdevice.Backend, c *zooCase, noFuse bool) {
	n := c.build(t, noFuse)
	weights, err := n.LogitScale()
	if reason, refused := scaleRefusals[c.Name]; refused {
		var described *graph.Error
		if !errors.As(err, &described) || !strings.Contains(err.Error(), reason) {
			t.Errorf("weights %v, error %v, expected a refusal: %s", weights, err, reason)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	r := graph.NewRunner(n, graph.RunnerOptions{Device: on.Device})
	defer r.Close()
	in := readFloat32s(t, filepath.Join(c.dir, "input.f32"))
	before, err := graph.Probe(context.Background(), r, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	const s = 1 / 1.7
	var names []string
	for _, w := range weights {
		scaled := make([]float32, n.Weights[w].Elements)
		for i, x := range r.Weight(w) {
			scaled[i] = float32(s * float64(x))
		}
		m, err := r.Device().Import(scaled)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Device().Free(m)
		r.Override(w, m)
		names = append(names, n.Weights[w].Name)
	}
	t.Log(strings.Join(names, " "))
	after, err := graph.Probe(context.Background(), r, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range before.Logits {
		largest := 0.0
		for _, x := range row {
			largest = max(largest, math.Abs(float64(x)))
		}
		for j, x := range row {
			if got, want := float64(after.Logits[i][j]), s*float64(x); !(math.Abs(got-want) <= scaleTolerance*largest) {
				t.Fatalf("example %d, class %d: %v, want %v", i, j, got, want)
			}
		}
	}
}
