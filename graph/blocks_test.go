package graph

import (
	"slices"
	"strings"
	"testing"
)

// within returns the paths of a part's parameters, four unless named.
func within(part string, parameters ...string) []string {
	if len(parameters) == 0 {
		parameters = []string{"norm.weight", "norm.bias", "fc.weight", "fc.bias"}
	}
	paths := make([]string, len(parameters))
	for i, p := range parameters {
		paths[i] = part + "." + p
	}
	return paths
}

func TestBlockNames(t *testing.T) {
	attention := []string{"norm.weight", "norm.bias", "fn.qkv.weight", "fn.out.0.weight", "fn.out.0.bias"}
	mlp := []string{"norm.weight", "norm.bias", "fn.net.0.weight", "fn.net.0.bias", "fn.net.3.weight", "fn.net.3.bias"}
	stem := []string{"stem.weight"}
	end := []string{"fc.weight", "fc.bias"}
	for name, test := range map[string]struct {
		paths  [][]string
		blocks string // without repetition, in order
	}{
		"one list": {
			[][]string{stem, within("encoder.layer.0"), within("encoder.layer.1"), end},
			"embed blocks.0 blocks.1 head"},
		"numbered names": {
			[][]string{stem, within("encoder.layers.encoder_layer_0"), within("encoder.layers.encoder_layer_1"), end},
			"embed blocks.0 blocks.1 head"},
		"two stems in one module are two lists": {
			[][]string{stem, within("body.conv_0"), within("body.mix_0"), end},
			"embed conv.0 mix.0 head"},
		"lists of different names": {
			[][]string{stem, within("net.blocks.0"), within("net.blocks_token_only.0"), end},
			"embed blocks.0 blocks_token_only.0 head"},
		"lists that end alike": {
			[][]string{stem, within("m.encoder.layers.0"), within("m.decoder.layers.0"), within("m.decoder.layers.1"), end},
			"embed encoder.layers.0 decoder.layers.0 decoder.layers.1 head"},
		"one list's path ends another's": {
			[][]string{stem, within("layers.0"), within("decoder.layers.0"), within("blocks.0"), end},
			"embed layers.0 decoder.layers.0 blocks.0 head"},
		"stages of two networks": {
			[][]string{stem, within("backbone.stages.0.blocks.0"), within("head.stages.0.blocks.0"), end},
			"embed backbone.stages.0.blocks.0 head.stages.0.blocks.0 head"},
		"stages of numbered blocks": {
			[][]string{within("features.0", "0.weight", "1.weight"), within("features.1.0"), within("features.1.1"), within("features.2", "0.weight", "1.weight"), within("features.3.0"), within("features.3.1"), end},
			"features.0 features.1.0 features.1.1 features.2 features.3.0 features.3.1 head"},
		"a block of two numbered parts": {
			[][]string{stem, within("layers.0.0", attention...), within("layers.0.1", mlp...), within("layers.1.0", attention...), within("layers.1.1", mlp...), end},
			"embed blocks.0 blocks.1 head"},
		"between and after blocks": {
			[][]string{stem, within("blocks.0"), {"merge.0.weight", "norm.weight"}, within("blocks.1"), {"cls_token"}, end},
			"embed blocks.0 blocks.1 embed head"},
		"elements that differ": {
			[][]string{within("model.0", "conv.weight", "conv.bias"), within("model.1", "cv1.weight", "cv1.bias", "m.0.weight", "m.0.bias", "cv2.weight", "cv2.bias"), within("model.2")},
			"model.0 model.1 model.2"},
	} {
		t.Run(name, func(t *testing.T) {
			var paths [][]string
			for _, part := range test.paths {
				for _, p := range part {
					paths = append(paths, strings.Split(p, "."))
				}
			}
			var blocks []string
			members, ok := membershipsOf(paths)
			if !ok {
				t.Fatal("no blocks")
			}
			for i, w := range members {
				if len(blocks) == 0 || blocks[len(blocks)-1] != w.block {
					blocks = append(blocks, w.block)
				}
				if w.why == "" {
					t.Errorf("%v is in %s without a reason", paths[i], w.block)
				}
			}
			if got := strings.Join(blocks, " "); got != test.blocks {
				t.Errorf("blocks %s, want %s", got, test.blocks)
			}
		})
	}
}

// TestNoBlocks: without a list, names tell of no blocks.
func TestNoBlocks(t *testing.T) {
	if members, ok := membershipsOf([][]string{{"stem", "weight"}, {"a", "weight"}, {"a", "bias"}, {"fc", "weight"}}); ok {
		t.Errorf("%+v", members)
	}
}

// TestModuleNames: the module of a weight is named by the block and the path in
// it, and no two modules have one name.
func TestModuleNames(t *testing.T) {
	var paths [][]string
	for _, p := range []string{
		"patch.proj.weight", "cls_token", "pos_embed",
		"encoder.layers.0.norm.weight", "encoder.layers.0.norm.bias", "encoder.layers.0.attn.in_proj_weight", "encoder.layers.0.0.weight",
		"shrink.0.weight", "widen.0.weight",
		"decoder.layers.0.norm.weight", "decoder.layers.0.norm.bias", "decoder.layers.0.gamma", "decoder.layers.0.fc.weight",
		"norm.weight", "fc.weight",
	} {
		paths = append(paths, strings.Split(p, "."))
	}
	var got []string
	members, _ := membershipsOf(paths)
	for i, w := range members {
		got = append(got, w.module(paths[i]))
	}
	want := []string{
		"patch", "tokens", "tokens",
		"encoder.layers.0.norm", "encoder.layers.0.norm", "encoder.layers.0.attn.in_proj", "encoder.layers.0.0",
		"encoder.layers.0.shrink.0", "encoder.layers.0.widen.0",
		"decoder.layers.0.norm", "decoder.layers.0.norm", "decoder.layers.0.gamma", "decoder.layers.0.fc",
		"norm", "fc",
	}
	if !slices.Equal(got, want) {
		t.Errorf("modules %q, want %q", got, want)
	}
}
