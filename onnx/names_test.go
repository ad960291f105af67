package onnx

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
)

func TestIsParameterPath(t *testing.T) {
	for name, want := range map[string]bool{
		"blocks.0.attn.qkv.weight":                     true,
		"encoder.layers.0.self_attention.in_proj_bias": true,
		"0.fn.weight":                    true,
		"cls_token":                      true,
		"pos_embed":                      true,
		"":                               false,
		"325":                            false,
		"val_12":                         false,
		"_val_3":                         false,
		"onnx::MatMul_325":               false,
		"/blocks.0/Constant_output_0":    false,
		"Attention_0_qkv_weight":         false,
		"ortshared_1_0_1_0_token_5":      false,
		"blocks.0.fc1.weight_transposed": false,
		"conv1.weight_bias":              false,
		"layer0/kernel:0":                false,
		"a..b":                           false,
	} {
		if got := isParameterPath(name); got != want {
			t.Errorf("%q: %v, expected %v", name, got, want)
		}
	}
}

func TestScopeOf(t *testing.T) {
	for name, want := range map[string]string{
		"/encoder/layers/encoder_layer_3/mlp/mlp.0/Gemm":        "encoder.layers.encoder_layer_3.mlp.0",
		"/1/1.0/1.0.0/fn/fn.1/query/MatMul":                     "1.0.0.fn.1.query",
		"/vit/encoder/layer.0/attention/query/MatMul":           "vit.encoder.layer.0.attention.query",
		"/blocks/blocks.1/attn/qkv/MatMul/MatMulAddFusion":      "blocks.1.attn.qkv",
		"/blocks/blocks.1/attn/MatMul/MatMulScaleFusion/":       "blocks.1.attn",
		"/blocks/blocks.1/norm1/Add_1/LayerNormFusion/_token_7": "blocks.1.norm1",
		"/patch_embed/proj/Conv_output_0":                       "patch_embed.proj",
		"/Gemm":                                                 "",
	} {
		if got := scopeOf(name); got != want {
			t.Errorf("%q: %q, expected %q", name, got, want)
		}
	}
}

// TestInside: a scope that lacks the modules around it gets them, where the names of all
// parameters have them.
func TestInside(t *testing.T) {
	peft := []string{"base_model.model.cls_token", "base_model.model.blocks.0.norm1.weight"}
	block := []string{"blocks.0.norm1.weight", "blocks.0.norm1.bias"}
	prefixed := []string{"net.cls_token", "net.blocks.0.norm1.weight", "net.head.bias"}
	for _, c := range []struct {
		parameters   []string
		module, want string
	}{
		{peft, "model.blocks.0.attn", "base_model.model.blocks.0.attn"},
		{peft, "model", "base_model.model"},
		{peft, "base_model.model.head", "base_model.model.head"},
		{peft, "modelling.head", "modelling.head"},
		{peft, "head", "head"},
		{block, "blocks.1.norm1", "blocks.1.norm1"},
		{block, "norm", "norm"},
		{prefixed, "blocks.0.attn", "net.blocks.0.attn"},
		{prefixed, "head", "net.head"},
		{prefixed, "cls_token", "cls_token"},
		{prefixed, "other", "other"},
		{[]string{"weight", "head.weight"}, "head", "head"},
		{nil, "head", "head"},
	} {
		common, within := commonModule(c.parameters)
		if got := inside(common, within, c.module); got != c.want {
			t.Errorf("%s among %q: %s, want %s", c.module, c.parameters, got, c.want)
		}
	}
}

func TestParseScopes(t *testing.T) {
	for text, want := range map[string][]string{
		`['', 'blocks.2', 'linear_8']`: {"", "blocks.2", "linear_8"},
		`["it's", 'a\'b', 'c\\d']`:     {"it's", "a'b", `c\d`},
		`[]`:                           nil,
		`['open`:                       nil,
		`['open]`:                      nil,
		`[blocks]`:                     nil,
		``:                             nil,
	} {
		if got := parseScopes(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q, expected %q", text, got, want)
		}
	}
}

// TestIsPath compares the check with its definition.
func TestIsPath(t *testing.T) {
	syntax := regexp.MustCompile(`^[A-Za-z_]\w*(\.\w+)*$|^\d+(\.\w+)*\.[A-Za-z_]\w*$`)
	const letters = "a_Z09.."
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		name := make([]byte, r.IntN(8))
		for i := range name {
			name[i] = letters[r.IntN(len(letters))]
		}
		if s := string(name); isPath(s) != syntax.MatchString(s) {
			t.Fatalf("%q: %v", s, isPath(s))
		}
	}
	if isPath("a/b") || isPath("ä") || isPath("a b") {
		t.Error("other characters")
	}
}
