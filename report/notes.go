package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
)

const softmaxNote = "the graph ends in a Softmax; losses are measured on what enters it"

func batchNote(batch int) string { return fmt.Sprintf("the file is bound to batches of %d", batch) }

// note is something about a model that can be run, but to be known of when it is
// diagnosed or treated.
type note struct {
	Kind string `json:"kind"` // one word for each sort of note, for programs
	Text string `json:"text"`
}

// notesOf lists what is to be known of a network.
func notesOf(n *graph.Network) []note {
	notes := []note{}
	add := func(kind, format string, args ...any) {
		notes = append(notes, note{kind, fmt.Sprintf(format, args...)})
	}
	if n.Input.FixedBatch > 0 {
		text := batchNote(n.Input.FixedBatch)
		if n.Input.FixedBatch > 1 {
			text += ", the last of which is filled up"
		}
		add("fixed_batch", "%s", text)
	}
	if n.SoftmaxRemoved {
		add("softmax", softmaxNote)
	}
	if others := otherOutputs(n); len(others) > 0 {
		add("outputs", "losses are measured on the output %s; %s", n.Output, leftOut(others))
	}
	if opset := n.Model.Opset(""); opset > graph.NewestExport {
		add("opset", "opset %d is newer than those of the exports that are compared with their frameworks, up to %d: verify what it computes with `modeldoctor probe`", opset, graph.NewestExport)
	}
	if kinds, weights := rounded(n); weights > 0 {
		verb := "are"
		if weights == 1 {
			verb = "is"
		}
		add("rounded", "%s %s stored as %s: computed in float32, rounded when a treatment stores them", plural(weights, "weight"), verb, strings.Join(kinds, ", "))
	}
	if n.QuantisesActivations() {
		add("quantised_activations", "activations are rounded to a grid: gradients are straight-through estimates, which see the rounding as the identity")
	}
	shared := 0
	for i := range n.Weights {
		if n.Shared(i) != nil {
			shared++
		}
	}
	if shared > 0 {
		serve := "serve several places: `fix` trains them"
		if shared == 1 {
			serve = "serves several places: `fix` trains it"
		}
		add("shared", "%s %s with --shared update or --shared untie only", plural(shared, "weight"), serve)
	}
	var unused []string
	for _, s := range n.Skipped {
		if s.Parameter {
			unused = append(unused, s.Name)
		}
	}
	if len(unused) > 0 {
		add("coverage", "%.3g %% of the parameters lie in layers: the logits do not depend on %s", 100*n.Coverage(), listed(unused))
	}
	return notes
}

// otherOutputs names the outputs that losses are not measured on.
func otherOutputs(n *graph.Network) []string {
	var names []string
	for _, o := range n.Model.Outputs {
		if o.Name != n.Output {
			names = append(names, o.Name)
		}
	}
	return names
}

func leftOut(names []string) string {
	if len(names) == 1 {
		return "the other, " + names[0] + ", is left out (--output chooses)"
	}
	return "the others, " + listed(names) + ", are left out (--output chooses)"
}

// rounded counts the weights that do not hold every float32, and their types.
func rounded(n *graph.Network) (types []string, weights int) {
	for _, w := range n.Weights {
		if !rounds(w.Tensor) {
			continue
		}
		weights++
		if name := w.Tensor.DType.String(); !slices.Contains(types, name) {
			types = append(types, name)
		}
	}
	return types, weights
}

// rounds reports whether a tensor rounds what is stored in it.
func rounds(t *onnx.Tensor) bool {
	return t.Quantization() != nil || t.DType != onnx.Float && t.DType != onnx.Double
}

// listed names the first few of a list.
func listed(names []string) string {
	text := strings.Join(names[:min(len(names), maxListed)], ", ")
	if more := len(names) - maxListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
