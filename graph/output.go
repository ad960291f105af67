package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// outputOf chooses the output that holds the class scores: the named one, else the
// one of those that may be scores for which most speaks. In this order: it is called
// logits; no other is computed from it by further layers, as from features; as many
// classes as asked for; no name of something else; the first.
func outputOf(m *onnx.Model, opt Options) (string, error) {
	fail := func(help, format string, args ...any) (string, error) {
		return "", &Error{Path: m.Path, Msg: fmt.Sprintf(format, args...), Help: help}
	}
	if opt.Output != "" {
		if !slices.ContainsFunc(m.Outputs, func(o onnx.ValueInfo) bool { return o.Name == opt.Output }) {
			return fail("see `modeldoctor inspect` for the outputs' names", "no output is called %q", opt.Output)
		}
		return opt.Output, nil
	}
	if len(m.Outputs) == 0 {
		return fail("", "the graph has no outputs")
	}
	c := chooser{producer: producers(m)}
	var reasons []string
	for _, o := range m.Outputs {
		if reason := c.noScores(o); reason != "" {
			reasons = append(reasons, fmt.Sprintf("output %q %s", o.Name, reason))
			continue
		}
		c.candidates = append(c.candidates, o)
	}
	if len(c.candidates) == 0 {
		help := exportLogits
		if m.Outputs[0].DType.IsFloat() {
			help = "export the classifier, with its head, rather than its features"
		}
		return fail(help, "%s", strings.Join(reasons, "; "))
	}
	asked := 0
	if len(c.candidates) > 1 && opt.Classes != nil {
		asked = opt.Classes()
	}
	for _, keep := range []func(onnx.ValueInfo) bool{
		func(o onnx.ValueInfo) bool { return o.Name == "logits" },
		func(o onnx.ValueInfo) bool { return !c.feedsAnother(o) },
		func(o onnx.ValueInfo) bool { return asked > 0 && asked == classesOf(o) },
		func(o onnx.ValueInfo) bool { return !namesFeatures(o.Name) },
	} {
		var kept []onnx.ValueInfo
		for _, o := range c.candidates {
			if keep(o) {
				kept = append(kept, o)
			}
		}
		if len(kept) > 0 {
			c.candidates = kept
		}
	}
	return c.candidates[0].Name, nil
}

// chooser tells the outputs of a model apart.
type chooser struct {
	producer   map[string]*onnx.Node
	candidates []onnx.ValueInfo
}

// producers returns the node that computes each value.
func producers(m *onnx.Model) map[string]*onnx.Node {
	producer := make(map[string]*onnx.Node, len(m.Nodes))
	for _, n := range m.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				producer[o] = n
			}
		}
	}
	return producer
}

// noScores returns why an output cannot hold class scores, as far as its declaration
// and the node that makes it tell; "" where it may.
func (c *chooser) noScores(o onnx.ValueInfo) string {
	by := "no node"
	n := c.producer[o.Name]
	for n != nil && passesOn[n.OpType] && len(n.Inputs) > 0 {
		n = c.producer[n.Inputs[0]]
	}
	if n != nil {
		by = n.Label()
	}
	class := op.ClassOf(o.DType)
	switch {
	case o.DType != onnx.Undefined && class != op.ClassFloat32 && class != op.ClassFloat64:
		return fmt.Sprintf("holds %v, no scores: it is made by %s", o.DType, by)
	case n != nil && n.OpType == "TopK":
		return "is made by " + by + ": its values are sorted, and not one for each class in their order"
	}
	wide := 0 // dimensions of one image that have more than one element
	for i, d := range o.Shape {
		if i > 0 && d.Value > 1 {
			wide++
		}
	}
	if wide > 1 {
		return fmt.Sprintf("has rank %d, expected class scores [N, classes]", len(o.Shape))
	}
	return ""
}

// passesOn are operators whose result has the elements of their first input.
var passesOn = map[string]bool{
	"Identity": true, "Cast": true, "Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true, "Dropout": true, "ZipMap": true,
}

// scoring are operators that an ending is made of, see [Ending]: an output that
// another is computed from by them alone holds its logits, and not features.
var scoring = map[string]bool{
	"Softmax": true, "LogSoftmax": true, "Sigmoid": true, "Log": true, "Exp": true, "Clip": true, "Mul": true, "Div": true,
	"Add": true, "Sub": true, "ReduceMax": true, "ReduceSum": true, "Reciprocal": true, "TopK": true, "ArgMax": true,
}

// feedsAnother reports whether another candidate is computed from o by more than an
// ending.
func (c *chooser) feedsAnother(o onnx.ValueInfo) bool {
	for _, other := range c.candidates {
		if other.Name != o.Name && c.reaches(other.Name, o.Name, func(*onnx.Node) bool { return true }) &&
			!c.reaches(other.Name, o.Name, func(n *onnx.Node) bool { return passesOn[n.OpType] || scoring[n.OpType] }) {
			return true
		}
	}
	return false
}

// reaches reports whether a value is computed from another one over nodes that may
// be passed.
func (c *chooser) reaches(value, from string, pass func(*onnx.Node) bool) bool {
	seen := map[string]bool{}
	stack := []string{value}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if v == from {
			return true
		}
		n := c.producer[v]
		if seen[v] || n == nil || !pass(n) {
			continue
		}
		seen[v] = true
		stack = append(stack, n.Inputs...)
	}
	return false
}

// classesOf is the declared number of classes, -1 where it is open.
func classesOf(o onnx.ValueInfo) int {
	classes := 1
	if len(o.Shape) < 2 {
		return -1
	}
	for _, d := range o.Shape[1:] {
		if d.Value < 0 {
			return -1
		}
		classes *= int(d.Value)
	}
	return classes
}

// namesFeatures reports whether an output's name is that of something before a
// classifier, or beside it.
func namesFeatures(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"feat", "embed", "hidden", "pool", "attn", "attention", "aux"}, func(part string) bool {
		return strings.Contains(name, part)
	})
}
