package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// outputs are a model's classes, to which those of the data are matched.
type outputs struct {
	n          int                 // how many
	names      dataset.OutputNames // nil: they have none
	background bool                // the first is none of the data's classes
}

// modelFile is the loaded model as its configuration is looked for.
func modelFile(m *loaded, con *console) dataset.ModelFile {
	file := m.network.Model
	return dataset.ModelFile{Path: file.Path, Metadata: file.Metadata, Warn: con.warn}
}

// findOutputs reads the names of the model's outputs: from the file that --labels
// names, else from what lies beside the model or in its metadata.
func findOutputs(opt dataOptions, m *loaded, con *console) (outputs, error) {
	o := outputs{n: m.network.Classes, background: opt.background}
	where := opt.labels
	var err error
	if where != "" {
		o.names, err = dataset.ReadLabels(where)
	} else {
		o.names, where, err = dataset.FindOutputNames(modelFile(m, con), o.n)
	}
	if err != nil {
		return o, err
	}
	if o.background && o.names != nil && len(o.names) == o.n-1 {
		o.names = append(dataset.OutputNames{{"background"}}, o.names...)
	}
	if o.names != nil && len(o.names) != o.n {
		hint := "give one name per output of the model, in their order: --labels FILE"
		if len(o.names) == o.n-1 {
			hint = "is the first output a background class? --background says so; else " + hint
		}
		return o, &dataset.Error{Path: where, Msg: fmt.Sprintf("%d class names for %d classes", len(o.names), o.n), Hint: hint}
	}
	return o, nil
}

// relabel brings a set's labels into the order of the outputs: by name where both
// sides have names, else by the numbers that the data's classes are, else as they
// come where there are as many as outputs; known is false in that last case.
func (o *outputs) relabel(set dataset.Set, con *console) (matched dataset.Set, known bool, err error) {
	classes := set.Classes()
	if o.names != nil && classes != nil {
		order, err := dataset.MatchClasses(o.names, classes)
		if err == nil {
			return dataset.Relabel(set, order, o.names.Shown()), true, nil
		}
		if !o.names.Placeholders() {
			return nil, false, err
		}
	}
	if numbers, ok := dataset.Numerals(classes); ok {
		matched, err := o.byNumber(set, numbers, con)
		return matched, true, err
	}
	first := 0
	if o.background {
		first = 1
	}
	switch has := dataset.ClassCount(set); {
	case has+first == o.n && first == 0:
		return set, false, nil
	case has == o.n:
		return nil, false, &dataset.Error{
			Path: set.Name(),
			Msg:  fmt.Sprintf("%d classes, as many as the model's outputs: none of these is left for a background class", has),
			Hint: "leave --background out, or name the outputs with --labels FILE",
		}
	case has+first == o.n:
		return o.shifted(set, has), false, nil
	case has+1 == o.n:
		return nil, false, &dataset.Error{
			Path: set.Name(),
			Msg:  fmt.Sprintf("%d classes, one fewer than the model's %d outputs, and nothing names these", has, o.n),
			Hint: "name the outputs with --labels FILE if one of their classes has no images here; is the first output a background class? --background says so",
		}
	case has < o.n:
		return nil, false, &dataset.Error{
			Path: set.Name(),
			Msg:  fmt.Sprintf("%d classes, the model has %d outputs, and nothing says which are which", has, o.n),
			Hint: "name the model's outputs, in their order, one per line: --labels FILE",
		}
	}
	return set, false, nil // too many: the labels are refused
}

// byNumber takes class names that are numbers for those of outputs.
func (o *outputs) byNumber(set dataset.Set, numbers []int, con *console) (dataset.Set, error) {
	classes := set.Classes()
	least, most := slices.Min(numbers), slices.Max(numbers)
	first := 0
	if o.background {
		first = 1
	}
	asText := ""
	if !slices.IsSorted(numbers) {
		asText = "; models that torchvision trained on such folders have them sorted as text: " + strings.Join(classes[:3], ", ") + ", …"
	}
	if most+first >= o.n {
		hint := "the numbers are taken for those of outputs, from 0: name the outputs with --labels FILE" + asText
		if least == 1 && most == o.n {
			hint = fmt.Sprintf("are they numbered from 1? then write the numbers 1 to %d, one a line, in the order of the model's outputs: --labels FILE%s", o.n, asText)
		}
		return nil, &dataset.Error{Path: set.Name(), Msg: fmt.Sprintf("class %d of a model of %d outputs, 0 to %d", most+first, o.n, o.n-1), Hint: hint}
	}
	shown, order := make([]string, o.n), make([]int, len(numbers))
	for i := range shown {
		shown[i] = fmt.Sprint(i)
	}
	for label, n := range numbers {
		order[label] = n + first
		shown[n+first] = classes[label]
	}
	listed, more := classes, ""
	if len(listed) > 3 {
		listed, more = listed[:3], ", …"
	}
	con.warn("the classes of %s are numbers (%s%s), which are taken for the numbers of the model's outputs (--labels FILE names the outputs%s)",
		set.Name(), strings.Join(listed, ", "), more, asText)
	return dataset.Relabel(set, order, shown), nil
}

// shifted takes class k for output k+1.
func (o *outputs) shifted(set dataset.Set, has int) dataset.Set {
	order, shown := make([]int, has), make([]string, o.n)
	shown[0] = "background"
	for k := range order {
		order[k] = k + 1
		shown[k+1] = fmt.Sprint(k)
		if classes := set.Classes(); classes != nil {
			shown[k+1] = classes[k]
		}
	}
	return dataset.Relabel(set, order, shown)
}
