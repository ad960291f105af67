package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/lowering"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Obstacle is what stands in a model's way, once for all nodes of one operator
// that are refused for one reason.
type Obstacle struct {
	onnx.Unsupported     // of the first node
	Count            int // of nodes
	Advice           string
}

// obstacles groups what cannot be run, in order of the first node of each.
func obstacles(list []onnx.Unsupported) []Obstacle {
	type key struct{ op, domain, reason string }
	index := map[key]int{}
	var out []Obstacle
	for _, u := range list {
		k := key{u.Op, u.Domain, u.Reason}
		i, ok := index[k]
		if !ok {
			i = len(out)
			index[k] = i
			out = append(out, Obstacle{Unsupported: u, Advice: advise(u)})
		}
		out[i].Count++
	}
	return out
}

// advice is what helps against one kind of obstacle: operators by their names or
// the beginnings of them, by their domain, or by words of the reason.
type advice struct {
	operators []string
	domain    string
	reason    []string
	text      string
}

// advices lists what usually helps; the first that fits counts.
func advices() []advice {
	return []advice{
		{reason: []string{"training", "images of a batch"}, text: "call model.eval() before exporting"},
		{operators: []string{"RandomNormal", "RandomUniform", "Bernoulli", "Multinomial"}, text: "call model.eval() before exporting: the graph draws random numbers"},
		{operators: []string{"DynamicQuantize", "MatMulInteger", "ConvInteger", "MatMulNBits", "MatMulBnb4", "QLinear", "QAttention", "QGemm", "QuantizeLinear", "DequantizeLinear"},
			text: "re-export the model without quantisation"},
		{operators: []string{"If", "Loop", "Scan"}, text: "re-export with constant control flow, for example with torch.onnx.export(dynamo=True)"},
		{operators: []string{"SequenceMap", "Optional"}, text: "export a model that passes on tensors only, without optional values and functions on sequences"},
		{operators: []string{"LSTM", "GRU", "RNN"}, text: "recurrent layers have no gradient here; give a feed-forward image classifier"},
		{domain: "com.microsoft.nchwc", text: "use the model as it was exported, before onnxruntime optimised it for one CPU"},
		{reason: []string{"sparse"}, text: "export the model with dense weights"},
		{reason: []string{"DOUBLE"}, text: "call model.float() before exporting"},
		{reason: []string{"STRING"}, text: "export the model without text: images and class scores are numbers"},
		{reason: []string{"has no gradient"}, text: "export the model with another form of this operator, one that can be differentiated"},
	}
}

// opsetAdvice is what helps where an operator is known, but not the version of it
// that the model imports; "" elsewhere.
func opsetAdvice(u onnx.Unsupported) string {
	e, ok := lowering.NewRegistry().Lookup(u.Domain, u.Op)
	switch {
	case !ok || e.Min <= u.Opset && u.Opset <= e.Max:
		return ""
	case u.Opset == 0:
		return "the file does not import the operator's domain: save it again with a current version of onnx"
	case e.Domain != "":
		return fmt.Sprintf("export the model with version %d of the domain %s", e.Max, e.Domain)
	}
	opset := min(max(usualOpset, e.Min), e.Max)
	return fmt.Sprintf("export the model with opset_version=%d, or convert it with onnx.version_converter.convert_version(model, %[1]d)", opset)
}

// usualOpset is recommended where an operator allows it.
const usualOpset = 20

// advise says what usually helps against an obstacle; it is never empty.
func advise(u onnx.Unsupported) string {
	if text := opsetAdvice(u); text != "" {
		return text
	}
	for _, a := range advices() {
		begins := func(name string) bool { return u.Op == name || len(name) > 4 && strings.HasPrefix(u.Op, name) }
		says := func(words string) bool { return strings.Contains(u.Reason, words) }
		if a.domain != "" && a.domain == u.Domain || slices.ContainsFunc(a.operators, begins) || slices.ContainsFunc(a.reason, says) {
			return a.text
		}
	}
	_, known := lowering.NewRegistry().Lookup(u.Domain, u.Op)
	switch u.Domain {
	case "ai.onnx.ml":
		return "this is an operator of classical machine learning, which has no weights that gradients could train: give a neural network"
	case "", "ai.onnx":
		if !known {
			return "re-export the model without this operator; docs/supported.md lists those that there are"
		}
		return fmt.Sprintf("re-export the model, for example with torch.onnx.export(dynamo=True, opset_version=%d), or see `modeldoctor inspect`", usualOpset)
	case "com.microsoft":
		return "use the model as it was exported, before onnxruntime optimised it"
	}
	return "this is a custom operator: export the model without it"
}
