package graph

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// scored is a linear classifier of 4 classes whose logits z, [N, 4], the rest of the
// graph makes scores of.
type scored struct {
	*onnxtest.Builder
	values int
}

func newScored(classes int) *scored {
	b := onnxtest.New(17)
	b.Input("image", onnx.Float, "batch", 3, 2, 2)
	b.Node("Flatten", []string{"image"}, []string{"flat"})
	b.Float("head.weight", []int{12, classes}, ramp(12*classes))
	b.Float("head.bias", []int{classes}, ramp(classes))
	b.Node("Gemm", []string{"flat", "head.weight", "head.bias"}, []string{"z"})
	return &scored{Builder: b}
}

// then adds a node and returns its result.
func (s *scored) then(op string, in ...string) string { return s.with(op, in) }

func (s *scored) with(op string, in []string, attrs ...onnxtest.Attr) string {
	s.values++
	out := "v" + string(rune('a'+s.values))
	s.Node(op, in, []string{out}, attrs...)
	return out
}

// number adds a constant of one element, and shape one of several integers.
func (s *scored) number(v float32) string {
	s.values++
	name := "c" + string(rune('a'+s.values))
	s.Float(name, nil, []float32{v})
	return name
}

func (s *scored) shape(sizes ...int64) string {
	s.values++
	name := "s" + string(rune('a'+s.values))
	s.Int64(name, []int{len(sizes)}, sizes)
	return name
}

// logitsOf runs a model on two images.
func logitsOf(t *testing.T, on testdevice.Backend, n *Network) [][]float32 {
	t.Helper()
	return logitsFor(t, on, n, ramp(24))
}

// probed is what a model makes of three images of two classes.
func probed(t *testing.T, on testdevice.Backend, b *onnxtest.Builder) *ProbeResult {
	t.Helper()
	n, err := Build(parse(t, b), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRunner(n, RunnerOptions{Threads: 1, Device: on.Device})
	defer r.Close()
	p, err := Probe(context.Background(), r, ramp(3*n.Input.Elements()), []int{0, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// logitsFor runs a model on any number of images.
func logitsFor(t *testing.T, on testdevice.Backend, n *Network, images []float32) [][]float32 {
	t.Helper()
	r := NewRunner(n, RunnerOptions{Threads: 1, Device: on.Device})
	defer r.Close()
	p, err := Probe(context.Background(), r, images, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.Logits
}

// TestEndingUndone: whatever a graph makes of its logits, they are what losses are
// measured on.
func TestEndingUndone(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		plain := newScored(4)
		plain.Output("z", onnx.Float, "batch", 4)
		base, err := Build(parse(t, plain.Builder), Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := logitsOf(t, on, base)
		for name, c := range map[string]struct {
			make func(s *scored) string
			op   string
			then string
			note string // a part of the note
		}{
			"nothing":              {func(s *scored) string { return "z" }, "", "", ""},
			"softmax":              {func(s *scored) string { return s.then("Softmax", "z") }, "Softmax", "", ""},
			"softmax, reshape":     {func(s *scored) string { return s.then("Reshape", s.then("Softmax", "z"), s.shape(-1, 4)) }, "Softmax", "", ""},
			"log-softmax, flatten": {func(s *scored) string { return s.then("Flatten", s.then("LogSoftmax", "z")) }, "LogSoftmax", "", "ends in a LogSoftmax"},
			"of rank 4": {func(s *scored) string {
				p := s.with("Softmax", []string{s.then("Unsqueeze", "z", s.shape(2, 3))}, onnxtest.Int("axis", 1))
				return s.then("Squeeze", p, s.shape(2, 3))
			}, "Softmax", "", ""},
			"channels last": {func(s *scored) string {
				p := s.with("Softmax", []string{s.then("Unsqueeze", "z", s.shape(1, 2))}, onnxtest.Int("axis", 3))
				return s.with("Transpose", []string{p}, onnxtest.Ints("perm", 0, 3, 1, 2))
			}, "Softmax", "", ""},
			"scores of rank 4": {func(s *scored) string { return s.then("Unsqueeze", "z", s.shape(2, 3)) }, "", "", ""},
			"scores of rank 3": {func(s *scored) string { return s.then("Unsqueeze", "z", s.shape(1)) }, "", "", ""},
			"identity":         {func(s *scored) string { return s.then("Identity", s.then("Softmax", s.then("Identity", "z"))) }, "Softmax", "", ""},
			"double":           {func(s *scored) string { return s.with("Cast", []string{"z"}, onnxtest.Int("to", int64(onnx.Double))) }, "", "", ""},
			"softmax, double": {func(s *scored) string {
				return s.with("Cast", []string{s.then("Softmax", "z")}, onnxtest.Int("to", int64(onnx.Double)))
			}, "Softmax", "", ""},
			"clip":     {func(s *scored) string { return s.then("Clip", s.then("Softmax", "z"), s.number(1e-7), s.number(1)) }, "Softmax", "Clip", "Clip"},
			"per cent": {func(s *scored) string { return s.then("Mul", s.number(100), s.then("Softmax", "z")) }, "Softmax", "Mul", "Mul"},
			"divided":  {func(s *scored) string { return s.then("Div", s.then("Softmax", "z"), s.number(0.01)) }, "Softmax", "Div", "Div"},
			"logarithm": {func(s *scored) string {
				return s.then("Log", s.then("Add", s.then("Softmax", "z"), s.number(1e-9)))
			}, "Softmax", "Add Log", "Add, Log"},
			"exp of log-softmax": {func(s *scored) string { return s.then("Exp", s.then("LogSoftmax", "z")) }, "Softmax", "", ""},
			"written out": {func(s *scored) string {
				e := s.then("Exp", s.then("Sub", "z", s.with("ReduceMax", []string{"z"}, onnxtest.Ints("axes", 1))))
				return s.then("Div", e, s.then("ReduceSum", e, s.shape(1)))
			}, "Softmax", "", ""},
			"written out, maximum of the batch": {func(s *scored) string {
				e := s.then("Exp", s.then("Sub", "z", s.then("ReduceMax", "z")))
				return s.then("Div", e, s.then("ReduceSum", e, s.shape(-1)))
			}, "Softmax", "", ""},
			"written out, without a maximum, by the reciprocal": {func(s *scored) string {
				e := s.then("Exp", "z")
				return s.then("Mul", s.then("Reciprocal", s.then("ReduceSum", e, s.shape(1))), e)
			}, "Softmax", "", ""},
			"written out, sum without its dimension": {func(s *scored) string {
				e := s.then("Exp", "z")
				sum := s.with("ReduceSum", []string{e, s.shape(1)}, onnxtest.Int("keepdims", 0))
				return s.then("Div", e, s.then("Unsqueeze", sum, s.shape(1)))
			}, "Softmax", "", ""},
			"sigmoid": {func(s *scored) string { return s.then("Sigmoid", "z") }, "Sigmoid", "", "each class by itself"},
			"sigmoid written out": {func(s *scored) string {
				return s.then("Reciprocal", s.then("Add", s.then("Exp", s.then("Neg", "z")), s.number(1)))
			}, "Sigmoid", "", "each class by itself"},
		} {
			t.Run(name, func(t *testing.T) {
				s := newScored(4)
				s.Output(c.make(s), onnx.Undefined)
				n, err := Build(parse(t, s.Builder), Options{})
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(n.Ending.Then, " "); n.Ending.Op != c.op || got != c.then {
					t.Errorf("ending %+v, want %s then %s", n.Ending, c.op, c.then)
				}
				if note := n.Ending.Note(); (note == "") != (c.note == "") || !strings.Contains(note, c.note) {
					t.Errorf("note %q, want one with %q", note, c.note)
				}
				for i, row := range logitsOf(t, on, n) {
					if !slices.Equal(row, want[i]) {
						t.Errorf("logits %v, want %v", row, want[i])
					}
				}
			})
		}
	})
}

// TestBinary: one number per image is the logit of the second of two classes, so that
// the loss is the binary cross-entropy.
func TestBinary(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		plain := newScored(1)
		plain.Output("z", onnx.Float, "batch", 1)
		for name, make := range map[string]func(s *scored) string{
			"logit":   func(s *scored) string { return "z" },
			"vector":  func(s *scored) string { return s.then("Squeeze", "z", s.shape(1)) },
			"sigmoid": func(s *scored) string { return s.then("Sigmoid", "z") },
			"sigmoid written out": func(s *scored) string {
				return s.then("Div", s.number(1), s.then("Add", s.number(1), s.then("Exp", s.then("Neg", "z"))))
			},
			"both": func(s *scored) string {
				p := s.then("Sigmoid", "z")
				return s.with("Concat", []string{s.then("Sub", s.number(1), p), p}, onnxtest.Int("axis", 1))
			},
		} {
			t.Run(name, func(t *testing.T) {
				s := newScored(1)
				s.Output(make(s), onnx.Undefined)
				n, err := Build(parse(t, s.Builder), Options{})
				if err != nil {
					t.Fatal(err)
				}
				if n.Classes != 2 || !n.Ending.Binary || !strings.Contains(n.Ending.Note(), "second of two classes") {
					t.Fatalf("%d classes, ending %+v", n.Classes, n.Ending)
				}
				r := NewRunner(n, RunnerOptions{Threads: 1, Device: on.Device})
				defer r.Close()
				p, err := Probe(context.Background(), r, ramp(24), []int{1, 0})
				if err != nil {
					t.Fatal(err)
				}
				for i, label := range []float64{1, 0} {
					z, bias := 0.0, 0.0 // sin(0), the bias
					for j := range 12 {
						z += math.Sin(float64(12*i+j)) * math.Sin(float64(j))
					}
					z += bias
					probability := 1 / (1 + math.Exp(-z))
					if want := -label*math.Log(probability) - (1-label)*math.Log(1-probability); math.Abs(p.Losses[i]-want) > 1e-4 {
						t.Errorf("loss %v of image %d, want %v", p.Losses[i], i, want)
					}
				}
				if p.Weights[0].GNorm == 0 {
					t.Error("the weight has no gradient")
				}
			})
		}
	})
}

// TestEndingRefused: what cannot be undone is named, and never taken for logits.
func TestEndingRefused(t *testing.T) {
	for name, c := range map[string]struct {
		classes int
		make    func(s *scored) string
		want    string
	}{
		"negative":       {4, func(s *scored) string { return s.then("Neg", s.then("LogSoftmax", "z")) }, "Neg"},
		"times -1":       {4, func(s *scored) string { return s.then("Mul", s.then("LogSoftmax", "z"), s.number(-1)) }, "Mul"},
		"complement":     {4, func(s *scored) string { return s.then("Sub", s.number(1), s.then("Softmax", "z")) }, "Sub"},
		"sharpened":      {4, func(s *scored) string { return s.then("Pow", s.then("Softmax", "z"), s.number(2)) }, "Pow"},
		"square root":    {4, func(s *scored) string { return s.then("Sqrt", s.then("Softmax", "z")) }, "Sqrt"},
		"hard sigmoid":   {4, func(s *scored) string { return s.then("HardSigmoid", "z") }, "HardSigmoid"},
		"one class":      {1, func(s *scored) string { return s.then("Softmax", "z") }, "one class"},
		"over the batch": {4, func(s *scored) string { return s.with("Softmax", []string{"z"}, onnxtest.Int("axis", 0)) }, "images of a batch"},
		"groups": {4, func(s *scored) string {
			return s.then("Flatten", s.then("Softmax", s.then("Reshape", "z", s.shape(-1, 2, 2))))
		}, "not over all classes"},
		"best class": {4, func(s *scored) string { return s.with("ArgMax", []string{"z"}, onnxtest.Int("axis", 1)) }, "ArgMax"},
		"best, as float": {4, func(s *scored) string {
			return s.with("Cast", []string{s.with("ArgMax", []string{"z"}, onnxtest.Int("axis", 1))}, onnxtest.Int("to", int64(onnx.Float)))
		}, "INT64"},
		"above a half": {4, func(s *scored) string { return s.then("Greater", s.then("Sigmoid", "z"), s.number(0.5)) }, "BOOL"},
		"above, as float": {4, func(s *scored) string {
			return s.with("Cast", []string{s.then("Greater", "z", s.number(0))}, onnxtest.Int("to", int64(onnx.Float)))
		}, "BOOL"},
		"one or the other": {4, func(s *scored) string {
			return s.then("Where", s.then("Greater", "z", s.number(0)), s.number(1), s.number(0))
		}, "Where"},
		"a class left out": {4, func(s *scored) string {
			return s.then("Slice", s.then("Softmax", "z"), s.shape(1), s.shape(4), s.shape(1))
		}, "Slice"},
		"by prior": {4, func(s *scored) string {
			s.Float("prior", []int{4}, []float32{1, 2, 3, 4})
			return s.then("Mul", s.then("Softmax", "z"), "prior")
		}, "Mul"},
		"sorted": {4, func(s *scored) string {
			s.Node("TopK", []string{"z", s.shape(4)}, []string{"best", "places"})
			return s.then("Identity", "best")
		}, "TopK"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScored(c.classes)
			out := c.make(s)
			s.Output(out, onnx.Undefined)
			for _, asked := range []string{"", out} {
				_, err := Build(parse(t, s.Builder), Options{Output: asked})
				var e *Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Help == "" {
					t.Errorf("with output %q: want an error with %q and a hint, got %v", asked, c.want, err)
				}
			}
		})
	}
}

// TestOutputChosen: of several outputs the one that holds scores.
func TestOutputChosen(t *testing.T) {
	five := func() int { return 5 }
	linear := func(s *scored, in, name string, width, classes int) {
		s.Float(name+".weight", []int{width, classes}, ramp(width*classes))
		s.Node("MatMul", []string{in, name + ".weight"}, []string{name})
	}
	for name, c := range map[string]struct {
		make    func(s *scored)
		classes func() int
		want    string
	}{
		"features first": {func(s *scored) {
			linear(s, "z", "y", 4, 5)
			s.Output("z", onnx.Float, "batch", 4)
			s.Output("y", onnx.Float, "batch", 5)
		}, nil, "y"},
		"called logits": {func(s *scored) {
			s.Node("Relu", []string{"z"}, []string{"logits"})
			linear(s, "logits", "y", 4, 5)
			s.Output("y", onnx.Float, "batch", 5)
			s.Output("logits", onnx.Float, "batch", 4)
		}, nil, "logits"},
		"logits and probabilities": {func(s *scored) {
			s.Node("Softmax", []string{"z"}, []string{"p"})
			s.Output("z", onnx.Float, "batch", 4)
			s.Output("p", onnx.Float, "batch", 4)
		}, nil, "z"},
		"as many as classes": {func(s *scored) {
			linear(s, "z", "a", 4, 3)
			linear(s, "z", "b", 4, 5)
			s.Output("a", onnx.Float, "batch", 3)
			s.Output("b", onnx.Float, "batch", 5)
		}, five, "b"},
		"by name": {func(s *scored) {
			linear(s, "flat", "embedding", 12, 8)
			s.Output("embedding", onnx.Float, "batch", 8)
			s.Output("z", onnx.Float, "batch", 4)
		}, nil, "z"},
		"two heads": {func(s *scored) {
			linear(s, "flat", "a", 12, 4)
			linear(s, "flat", "b", 12, 4)
			s.Output("a", onnx.Float, "batch", 4)
			s.Output("b", onnx.Float, "batch", 4)
		}, nil, "a"},
		"a map first": {func(s *scored) {
			s.Node("Relu", []string{"image"}, []string{"map"})
			s.Output("map", onnx.Float, "batch", 3, 2, 2)
			s.Output("z", onnx.Float, "batch", 4)
		}, nil, "z"},
		"classes beside scores": {func(s *scored) {
			s.Node("ArgMax", []string{"z"}, []string{"label"}, onnxtest.Int("axis", 1))
			s.Output("label", onnx.Int64, "batch", 1)
			s.Output("z", onnx.Float, "batch", 4)
		}, nil, "z"},
		"classes beside a map to scores": {func(s *scored) {
			s.Node("ArgMax", []string{"z"}, []string{"label"}, onnxtest.Int("axis", 1))
			s.Node("Softmax", []string{"z"}, []string{"p"})
			s.Domain("ai.onnx.ml", 3)
			s.Node("ZipMap", []string{"p"}, []string{"map"}, onnxtest.Ints("classlabels_int64s", 0, 1, 2, 3)).Domain("ai.onnx.ml")
			s.Output("label", onnx.Int64, "batch", 1)
			s.Output("map", onnx.Undefined)
		}, nil, "map"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScored(4)
			c.make(s)
			n, err := Build(parse(t, s.Builder), Options{Classes: c.classes})
			if err != nil {
				t.Fatal(err)
			}
			if n.Output != c.want {
				t.Errorf("output %q, want %q", n.Output, c.want)
			}
		})
	}
}
