package graph

import (
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// TestOnHost: what a device has no kernel for is named, with the node that needs it
// first.
func TestOnHost(t *testing.T) {
	n := openFixture(t, "tv-legacy17", Options{})
	for _, k := range []struct {
		has  func(o op.Op, out op.Type, in ...op.Type) bool
		want []string
	}{
		{func(op.Op, op.Type, ...op.Type) bool { return true }, nil},
		{func(o op.Op, _ op.Type, _ ...op.Type) bool {
			return o.Name() != "PatchEmbedding" && o.Name() != "GeluGradient"
		}, []string{
			`GeluGradient (gradient of node "/encoder/layers/encoder_layer_1/mlp/mlp.1/Mul_1" (Mul))`,
			`PatchEmbedding (node "/Transpose" (Transpose))`,
		}},
	} {
		got, err := n.OnHost(k.has)
		if err != nil || !slices.Equal(got, k.want) {
			t.Errorf("found %q, %v, want %q", got, err, k.want)
		}
	}
}
