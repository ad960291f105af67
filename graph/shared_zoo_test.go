package graph_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/shareddata"
)

// sharedWeights are the weights of the zoo that serve several places. All
// others, packed projections among them, serve one.
var sharedWeights = map[string][]string{
	// The two blocks' MLPs are tied. Their matrices are stored once for each
	// use, transposed, so that only the biases are one tensor.
	"timm-tied-dynamo20": {"blocks.1.mlp.fc1.bias", "blocks.1.mlp.fc2.bias"},
	// Equal tensors, ones and zeros mostly, are merged by the exporter.
	"tv-dynamo20-merged": {
		"encoder.layers.encoder_layer_0.ln_1.weight",
		"encoder.layers.encoder_layer_0.ln_1.bias",
		"encoder.layers.encoder_layer_0.self_attention.in_proj_bias",
	},
}

// TestSharedInZoo compares what Shared reports with the list above.
func TestSharedInZoo(t *testing.T) {
	for _, c := range readCases(t, shareddata.Path(t, "zoo")) {
		if c.Expect == "refuse" {
			continue
		}
		for _, noFuse := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/unfused=%v", c.Name, noFuse), func(t *testing.T) {
				n := c.build(t, noFuse)
				var got []string
				for i, w := range n.Weights {
					if uses := n.Shared(i); uses != nil {
						got = append(got, w.Name)
						if len(uses) < 2 {
							t.Errorf("%s is shared by %d uses", w.Name, len(uses))
						}
					}
				}
				if want := sharedWeights[c.Name]; !slices.Equal(got, want) {
					t.Errorf("shared %q, want %q", got, want)
				}
				if (len(c.Tied) > 0 || c.has("merged-equal-tensors")) && len(got) == 0 {
					t.Error("no shared weight is reported, though some are tied or merged")
				}
			})
		}
	}
}
