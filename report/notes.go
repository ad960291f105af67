package report

import (
	"fmt"
	"strings"
)

const softmaxNote = "the graph ends in a Softmax; losses are measured on what enters it"

func batchNote(batch int) string { return fmt.Sprintf("the file is bound to batches of %d", batch) }

// Notes words what is to be known of a network.
func (f *Facts) Notes() []Note {
	notes := []Note{}
	add := func(kind, format string, args ...any) {
		notes = append(notes, Note{kind, fmt.Sprintf(format, args...)})
	}
	if f.FixedBatch > 0 {
		text := batchNote(f.FixedBatch)
		if f.FixedBatch > 1 {
			text += ", the last of which is filled up"
		}
		add("fixed_batch", "%s", text)
	}
	if f.SoftmaxRemoved {
		add("softmax", softmaxNote)
	}
	if len(f.OtherOutputs) > 0 {
		add("outputs", "losses are measured on the output %s; %s", f.Output, leftOut(f.OtherOutputs))
	}
	if f.Opset > f.NewestExport {
		add("opset", "opset %d is newer than those of the exports that are compared with their frameworks, up to %d: verify what it computes with `modeldoctor probe`", f.Opset, f.NewestExport)
	}
	if f.Rounded > 0 {
		verb := "are"
		if f.Rounded == 1 {
			verb = "is"
		}
		add("rounded", "%s %s stored as %s: computed in float32, rounded when a treatment stores them", plural(f.Rounded, "weight"), verb, strings.Join(f.RoundedTypes, ", "))
	}
	if f.QuantisesActivations {
		add("quantised_activations", "activations are rounded to a grid: gradients are straight-through estimates, which see the rounding as the identity")
	}
	if f.Shared > 0 {
		serve := "serve several places: `fix` trains them"
		if f.Shared == 1 {
			serve = "serves several places: `fix` trains it"
		}
		add("shared", "%s %s with --shared update or --shared untie only", plural(f.Shared, "weight"), serve)
	}
	if len(f.Unused) > 0 {
		add("coverage", "%.3g %% of the parameters lie in layers: the logits do not depend on %s", 100*f.Coverage, listed(f.Unused))
	}
	return notes
}

func leftOut(names []string) string {
	if len(names) == 1 {
		return "the other, " + names[0] + ", is left out (--output chooses)"
	}
	return "the others, " + listed(names) + ", are left out (--output chooses)"
}

// listed names the first few of a list.
func listed(names []string) string {
	text := strings.Join(names[:min(len(names), maxListed)], ", ")
	if more := len(names) - maxListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
