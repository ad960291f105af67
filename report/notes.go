package report

import (
	"fmt"
	"strings"
)

const softmaxNote = "the graph ends in a Softmax; losses are measured on what enters it"

func outputNote(name string) string {
	return fmt.Sprintf("losses are measured on the output %s, one of several (--output chooses)", name)
}

func batchNote(batch int) string { return fmt.Sprintf("the file is bound to batches of %d", batch) }

// Notes words what is to be known of a network.
func (t *Traits) Notes() []Note {
	notes := []Note{}
	add := func(kind, format string, args ...any) {
		notes = append(notes, Note{kind, fmt.Sprintf(format, args...)})
	}
	if t.FixedBatch > 0 {
		text := batchNote(t.FixedBatch)
		if t.FixedBatch > 1 {
			text += ", the last of which is filled up"
		}
		add("fixed_batch", "%s", text)
	}
	switch {
	case t.Ending != "":
		add("ending", "%s", t.Ending)
	case t.SoftmaxRemoved:
		add("softmax", softmaxNote)
	}
	if len(t.OtherOutputs) > 0 {
		add("outputs", "losses are measured on the output %s; %s", t.Output, leftOut(t.OtherOutputs))
	}
	if t.Opset > t.NewestExport {
		add("opset", "opset %d is newer than those of the exports that are compared with their frameworks, up to %d: verify what it computes with `modeldoctor probe`", t.Opset, t.NewestExport)
	}
	if t.Rounded > 0 {
		verb := "are"
		if t.Rounded == 1 {
			verb = "is"
		}
		add("rounded", "%s %s stored as %s: computed in float32, rounded when a treatment stores them", plural(t.Rounded, "weight"), verb, strings.Join(t.RoundedTypes, ", "))
	}
	if t.QuantisesActivations {
		add("quantised_activations", "activations are rounded to a grid: gradients are straight-through estimates, which see the rounding as the identity")
	}
	if t.Shared > 0 {
		serve := "serve several places: `fix` trains them"
		if t.Shared == 1 {
			serve = "serves several places: `fix` trains it"
		}
		add("shared", "%s %s with --shared update or --shared untie only", plural(t.Shared, "weight"), serve)
	}
	if len(t.Unused) > 0 {
		add("coverage", "%.3g %% of the parameters lie in layers: the logits do not depend on %s", 100*t.Coverage, listed(t.Unused))
	}
	return notes
}

// OnHostNote says which operations a GPU leaves to the host, each named with the
// node that needs it first.
func OnHostNote(operations []string) Note {
	if len(operations) == 0 {
		return Note{"on_host", "a GPU computes every operation itself, forward and backward"}
	}
	return Note{"on_host", "a GPU leaves to the host, between two copies: " + strings.Join(operations, ", ")}
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
