package onnx_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

const domain = "local"

// structure writes the nodes of a model on a line each: name, operator, opset,
// inputs, outputs and guard.
func structure(m *onnx.Model) string {
	var b strings.Builder
	for _, n := range m.Nodes {
		fmt.Fprintf(&b, "%s %s.%d %q → %q", n.Name, n.OpType, n.Opset, n.Inputs, n.Outputs)
		for g := n.Guard; g != nil; g = g.Outer {
			fmt.Fprintf(&b, " if %s=%v", g.Condition, g.Then)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func expectStructure(t *testing.T, m *onnx.Model, want string) {
	t.Helper()
	if got := structure(m); got != strings.TrimLeft(want, "\n") {
		t.Errorf("got\n%s\nwant%s", got, want)
	}
}

// caller is a model with one input and one output, "x" and "y", that imports the
// domain of the functions.
func caller() *onnxtest.Builder {
	b := onnxtest.New(20)
	b.Domain(domain, 1)
	b.Input("x", onnx.Float, 2)
	b.Output("y", onnx.Float, 2)
	return b
}

// TestInlineFunctions: names, absent operands, nesting, overloads and operator
// sets.
func TestInlineFunctions(t *testing.T) {
	expectStructure(t, parse(t, functionModel()), `
call/first/r Relu.17 ["x"] → ["call/first/tmp_2"]
call/first/c Clip.17 ["call/first/tmp_2" "" ""] → ["call/b"]
call/c/r Relu.17 ["call/b"] → ["call/c/tmp"]
call/c/c Clip.17 ["call/c/tmp" "bound" ""] → ["call/c"]
 Neg.18 ["call/c"] → ["call/first/tmp"]
call Identity.13 ["x"] → ["same"]
 Add.20 ["call/first/tmp" "same"] → ["y"]
`)
}

// functionModel calls a function that calls others.
func functionModel() *onnxtest.Builder {
	b := caller()
	inner := onnxtest.New(17)
	inner.Node("Relu", []string{"in"}, []string{"tmp"}).Name("r")
	inner.Node("Clip", []string{"tmp", "low", ""}, []string{"out"}).Name("c")
	b.Function(domain, "Inner", "", []string{"in", "low"}, []string{"out"}, inner, nil)
	other := onnxtest.New(18)
	other.Node("Neg", []string{"in"}, []string{"out"})
	b.Function(domain, "Inner", "negative", []string{"in"}, []string{"out"}, other, nil)
	outer := onnxtest.New(18)
	outer.Domain(domain, 1)
	outer.Node("Inner", []string{"a"}, []string{"b"}).Domain(domain).Name("first")
	outer.Node("Inner", []string{"b", "bound"}, []string{"c"}).Domain(domain)
	outer.Node("Inner", []string{"c"}, []string{"d"}).Domain(domain).Overload("negative")
	b.Function(domain, "Outer", "", []string{"a", "bound"}, []string{"d", "b", "a"}, outer, nil)

	b.Float("bound", nil, []float32{0})
	b.Node("Outer", []string{"x", "bound"}, []string{"call/first/tmp", "", "same"}).Domain(domain).Name("call")
	b.Node("Add", []string{"call/first/tmp", "same"}, []string{"y"})
	return b
}

// TestInlineAttributes: references take the call's value, or the default, or are
// absent, whatever the type; through two calls, too.
func TestInlineAttributes(t *testing.T) {
	body := onnxtest.New(20)
	tensor := onnxtest.TensorAttr("like", onnxtest.Tensor("", onnx.Float, []int{1}).Floats(0))
	body.Node("Op", []string{"in"}, []string{"mid"},
		onnxtest.Reference("alpha", "a", onnxtest.Float("", 0)),
		onnxtest.Reference("axes", "axes", onnxtest.Ints("")),
		onnxtest.Reference("mode", "mode", onnxtest.String("", "")),
		onnxtest.Reference("absent", "absent", onnxtest.Int("", 0)),
		onnxtest.Reference("table", "value", tensor),
		onnxtest.Int("own", 4))
	body.Node("Constant", nil, []string{"c"}, onnxtest.Reference("value", "value", tensor))
	body.Node("Mul", []string{"mid", "c"}, []string{"out"})
	b := caller()
	b.Function(domain, "Inner", "", []string{"in"}, []string{"out"}, body, []string{"a", "axes", "absent", "value"}, onnxtest.String("mode", "usual"))
	outer := onnxtest.New(20)
	outer.Domain(domain, 1)
	outer.Node("Inner", []string{"in"}, []string{"out"}, onnxtest.Reference("a", "b", onnxtest.Float("", 0)), onnxtest.Ints("axes", 1, -2),
		onnxtest.Reference("value", "value", tensor)).Domain(domain)
	b.Function(domain, "Outer", "", []string{"in"}, []string{"out"}, outer, []string{"value"}, onnxtest.Float("b", 0.25))
	b.Node("Outer", []string{"x"}, []string{"y"}, onnxtest.TensorAttr("value", onnxtest.Tensor("", onnx.Float, []int{2}).Floats(3, 4))).Domain(domain)
	m := parse(t, b)

	n := m.Nodes[0]
	if n.Float("alpha", 0) != 0.25 || !slices.Equal(n.Ints("axes"), []int64{1, -2}) || n.Str("mode", "") != "usual" || n.Has("absent") || n.Int("own", 0) != 4 {
		t.Errorf("attributes %q: %v %v %v", n.Attributes(), n.Float("alpha", 0), n.Ints("axes"), n.Str("mode", ""))
	}
	for _, w := range []*onnx.Tensor{n.Tensor("table"), m.Weights()[0].Tensor} {
		if x, err := w.Float32s(); err != nil || !slices.Equal(x, []float32{3, 4}) {
			t.Errorf("tensor %q: %v, %v", w.Name, x, err)
		}
	}
}

// TestInlineConstants: a constant in a function is one tensor of the file however
// often the function is called, and new values arrive in all calls.
func TestInlineConstants(t *testing.T) {
	body := onnxtest.New(20)
	body.Constant("w", onnxtest.Tensor("", onnx.Float, []int{2}).Floats(1, 2))
	body.Node("Mul", []string{"in", "w"}, []string{"scaled"})
	body.Constant("shift", onnxtest.Tensor("", onnx.Float, []int{2}).Floats(3, 4))
	body.Node("Add", []string{"scaled", "shift"}, []string{"out"})
	b := caller()
	b.Function(domain, "F", "", []string{"in"}, []string{"out", "shift"}, body, nil)
	b.Node("F", []string{"x"}, []string{"z", "s"}).Domain(domain).Name("one")
	b.Node("F", []string{"z"}, []string{"v"}).Domain(domain).Name("two")
	b.Node("Mul", []string{"v", "s"}, []string{"y"})
	m := parse(t, b)
	expectStructure(t, m, `
 Constant.20 [] → ["one/w"]
 Mul.20 ["x" "one/w"] → ["one/scaled"]
 Constant.20 [] → ["one/shift"]
 Identity.13 ["one/shift"] → ["s"]
 Add.20 ["one/scaled" "s"] → ["z"]
 Mul.20 ["z" "one/w"] → ["two/scaled"]
 Add.20 ["two/scaled" "one/shift"] → ["v"]
 Mul.20 ["v" "s"] → ["y"]
`)
	weights := m.Weights()
	if len(weights) != 2 || len(weights[0].Uses) != 2 || len(weights[1].Uses) != 3 {
		t.Fatalf("weights %+v", weights)
	}
	patched, err := onnx.Patched(m, onnx.Edits{Weights: map[*onnx.Tensor][]float32{weights[0].Tensor: {5, 6}}})
	if err != nil {
		t.Fatal(err)
	}
	after, err := onnx.Parse(patched, "")
	if err != nil {
		t.Fatal(err)
	}
	if x, err := after.Tensor("one/w").Float32s(); err != nil || !slices.Equal(x, []float32{5, 6}) || structure(after) != structure(m) {
		t.Errorf("patched %v, %v\n%s", x, err, structure(after))
	}
	onlyTensor(t, m, after, "one/w")
	if _, err := m.Untied(weights[0].Tensor, weights[0].Uses[:1]); err == nil || !strings.Contains(err.Error(), "function") {
		t.Errorf("untied in a function: %v", err)
	}
}

// TestInlineBranches: both branches stand before the If, under guards; their
// values have names of their own, and their tensors are the model's.
func TestInlineBranches(t *testing.T) {
	m := parse(t, branchModel())
	expectStructure(t, m, `
 Constant.20 [] → ["late"]
 Mul.20 ["x" "layer.weight"] → ["r"] if late=true
 Exp.20 ["x"] → ["choice/else_branch/r"] if late=false
 Neg.20 ["choice/else_branch/r"] → ["n"] if late=true if late=false
 Neg.20 ["choice/else_branch/r"] → ["deep/else_branch/n"] if late=false if late=false
deep If.20 ["late" "n" "deep/else_branch/n"] → ["i"] if late=false
choice If.20 ["late" "r" "i"] → ["y"]
`)
	if len(m.Unsupported()) > 0 {
		t.Errorf("unsupported %v", m.Unsupported())
	}
	w := m.Weights()
	if len(w) != 1 || w[0].Path != "layer.weight" {
		t.Fatalf("weights %+v", w)
	}
	patched, err := onnx.Patched(m, onnx.Edits{Weights: map[*onnx.Tensor][]float32{w[0].Tensor: {7, 8}}})
	if err != nil {
		t.Fatal(err)
	}
	after, err := onnx.Parse(patched, "")
	if err != nil {
		t.Fatal(err)
	}
	if x, err := after.Tensor("layer.weight").Float32s(); err != nil || !slices.Equal(x, []float32{7, 8}) {
		t.Errorf("patched %v, %v", x, err)
	}
	onlyTensor(t, m, after, "layer.weight")
}

// branchModel has an If within an If.
func branchModel() *onnxtest.Builder {
	then, otherwise, deep := onnxtest.New(20), onnxtest.New(20), onnxtest.New(20)
	then.Float("layer.weight", []int{2}, []float32{1, 2})
	then.Node("Mul", []string{"x", "layer.weight"}, []string{"r"})
	then.Output("r", onnx.Float, 2)
	deep.Node("Neg", []string{"r"}, []string{"n"})
	deep.Output("n", onnx.Float, 2)
	otherwise.Node("Exp", []string{"x"}, []string{"r"})
	otherwise.Node("If", []string{"late"}, []string{"i"}, onnxtest.Graph("then_branch", deep.GraphBytes()), onnxtest.Graph("else_branch", deep.GraphBytes())).Name("deep")
	otherwise.Output("i", onnx.Float, 2)
	b := caller()
	b.Node("If", []string{"late"}, []string{"y"}, onnxtest.Graph("then_branch", then.GraphBytes()), onnxtest.Graph("else_branch", otherwise.GraphBytes())).Name("choice")
	b.Constant("late", onnxtest.Tensor("", onnx.Bool, nil).Raw([]byte{1}))
	return b
}

// onlyTensor expects that the comparison finds other values in one tensor and
// nothing else.
func onlyTensor(t *testing.T, a, b *onnx.Model, name string) {
	t.Helper()
	c, err := onnx.Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Fields) > 0 || len(c.Nodes) > 0 || len(c.Tensors) != 1 || c.Tensors[0].Name != name || c.Tensors[0].ElementsChanged != 2 {
		t.Errorf("fields %q, nodes %+v, tensors %+v", c.Fields, c.Nodes, c.Tensors)
	}
}

// TestInlineRefuses: what is wrong with functions and branches is said with the
// node, in bounded time.
func TestInlineRefuses(t *testing.T) {
	identity := onnxtest.New(20)
	identity.Node("Identity", []string{"in"}, []string{"out"})
	add := func(b *onnxtest.Builder, name string, body *onnxtest.Builder) {
		b.Function(domain, name, "", []string{"in"}, []string{"out"}, body, nil)
	}
	calls := func(name string) *onnxtest.Builder {
		body := onnxtest.New(20)
		body.Domain(domain, 1)
		body.Node(name, []string{"in"}, []string{"half"}).Domain(domain)
		body.Node(name, []string{"half"}, []string{"out"}).Domain(domain)
		return body
	}
	single := func() []byte {
		g := onnxtest.New(20)
		g.Node("Neg", []string{"x"}, []string{"r"})
		g.Output("r", onnx.Float, 2)
		return g.GraphBytes()
	}
	call := func(b *onnxtest.Builder, name string) {
		b.Node(name, []string{"x"}, []string{"y"}).Domain(domain).Name("call")
	}
	for name, c := range map[string]struct {
		build func(b *onnxtest.Builder)
		want  string
	}{
		"a function that calls itself": {func(b *onnxtest.Builder) { add(b, "F", calls("F")); call(b, "F") }, `function "local.F" calls itself`},
		"functions that double": {func(b *onnxtest.Builder) {
			add(b, "F0", identity)
			for i := range 20 {
				add(b, fmt.Sprintf("F%d", i+1), calls(fmt.Sprintf("F%d", i)))
			}
			call(b, "F20")
		}, "functions and branches add more than"},
		"a long chain of functions": {func(b *onnxtest.Builder) {
			add(b, "F0", identity)
			for i := range 100 {
				body := onnxtest.New(20)
				body.Node(fmt.Sprintf("F%d", i), []string{"in"}, []string{"out"}).Domain(domain)
				add(b, fmt.Sprintf("F%d", i+1), body)
			}
			call(b, "F100")
		}, "more than 24 deep"},
		"calls of a function with many inputs": {func(b *onnxtest.Builder) {
			inputs := make([]string, 50_000)
			for i := range inputs {
				inputs[i] = fmt.Sprint("in", i)
			}
			b.Function(domain, "F", "", inputs, []string{"out"}, onnxtest.New(20), nil)
			for range 20 {
				call(b, "F")
			}
		}, "with more than 800000 operands"},
		"calls of a function with a long attribute": {func(b *onnxtest.Builder) {
			body := onnxtest.New(20)
			body.Node("Relu", []string{"in"}, []string{"out"}, onnxtest.Ints("long", make([]int64, 1<<20)...))
			add(b, "F", body)
			for range 200 {
				call(b, "F")
			}
		}, "with more than 800000 operands"},
		"two definitions": {func(b *onnxtest.Builder) { add(b, "F", identity); add(b, "F", identity); call(b, "F") }, "defined twice"},
		"two inputs of one name": {func(b *onnxtest.Builder) {
			b.Function(domain, "F", "", []string{"in", "in"}, []string{"out"}, identity, nil)
			call(b, "F")
		}, `two inputs of the name "in"`},
		"too many inputs": {func(b *onnxtest.Builder) {
			add(b, "F", identity)
			b.Node("F", []string{"x", "x"}, []string{"y"}).Domain(domain).Name("call")
		}, `node "call" (F): 2 inputs`},
		"an undefined value": {func(b *onnxtest.Builder) {
			body := onnxtest.New(20)
			body.Node("Add", []string{"in", "x"}, []string{"out"}).Name("sum")
			add(b, "F", body)
			call(b, "F")
		}, `node "call/sum" (Add): its input "call/x" is neither`},
		"an output that nothing makes": {func(b *onnxtest.Builder) {
			b.Function(domain, "F", "", []string{"in"}, []string{"none"}, identity, nil)
			call(b, "F")
		}, `input "call/none" is neither`},
		"an input that is made again": {func(b *onnxtest.Builder) {
			b.Function(domain, "F", "", []string{"out"}, []string{"out"}, identity, nil)
			call(b, "F")
		}, `"out" is made a second time`},
		"a reference outside": {func(b *onnxtest.Builder) {
			b.Node("Relu", []string{"x"}, []string{"y"}, onnxtest.Reference("a", "b", onnxtest.Int("", 0))).Name("relu")
		}, `node "relu" (Relu): attribute "a" refers to attribute "b" of a function`},
		"a reference of another type": {func(b *onnxtest.Builder) {
			body := onnxtest.New(20)
			body.Node("Elu", []string{"in"}, []string{"out"}, onnxtest.Reference("alpha", "a", onnxtest.Float("", 0)))
			b.Function(domain, "F", "", []string{"in"}, []string{"out"}, body, []string{"a"})
			b.Node("F", []string{"x"}, []string{"y"}, onnxtest.Int("a", 1)).Domain(domain)
		}, `attribute "a" of the call, to which it refers, has type 2`},
		"one branch": {func(b *onnxtest.Builder) {
			b.Node("If", []string{"x"}, []string{"y"}, onnxtest.Graph("then_branch", single())).Name("choice")
		}, `node "choice" (If): it has no graph in its attribute else_branch`},
		"branches without results": {func(b *onnxtest.Builder) {
			b.Node("If", []string{"x"}, []string{"y", "z"}, onnxtest.Graph("then_branch", single()), onnxtest.Graph("else_branch", single())).Name("choice")
		}, `node "choice" (If): then_branch has 1 outputs, expected 2`},
	} {
		t.Run(name, func(t *testing.T) {
			b := caller()
			c.build(b)
			_, err := onnx.Parse(b.Bytes(), "")
			var format *onnx.FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that holds %q", err, c.want)
			}
		})
	}
}
