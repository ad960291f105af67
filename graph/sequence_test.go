package graph

import (
	"reflect"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// lists writes a network whose six features "x" split makes into "joined", of four.
func lists(split func(b *onnxtest.Builder)) *onnxtest.Builder {
	b := onnxtest.New(17)
	b.Input("image", onnx.Float, "batch", 3, 1, 2)
	b.Node("Flatten", []string{"image"}, []string{"flat"})
	b.Float("fc.weight", []int{6, 6}, ramp(36))
	b.Node("MatMul", []string{"flat", "fc.weight"}, []string{"x"})
	for name, v := range map[string]int64{"first": 0, "second": 1, "last": -1, "two": 2, "four": 4, "beyond": 3} {
		b.Int64(name, []int{}, []int64{v})
	}
	b.Int64("sizes", []int{3}, []int64{2, 2, 2})
	b.Int64("uneven", []int{2}, []int64{4, 2})
	split(b)
	b.Float("head.weight", []int{4, 2}, ramp(8))
	b.Node("MatMul", []string{"joined", "head.weight"}, []string{"logits"})
	b.Output("logits", onnx.Float, "batch", 2)
	return b
}

// TestSequences: lists of tensors are what they are made of, whichever way they are made.
func TestSequences(t *testing.T) {
	axis := onnxtest.Int("axis", 1)
	plain := lists(func(b *onnxtest.Builder) {
		b.Node("Split", []string{"x", "sizes"}, []string{"a", "b", "c"}, axis)
		b.Node("Concat", []string{"c", "a"}, []string{"joined"}, axis)
	})
	at := func(b *onnxtest.Builder, list, index, out string) {
		b.Node("SequenceAt", []string{list, index}, []string{out})
	}
	forms := map[string]*onnxtest.Builder{
		"parts of two": lists(func(b *onnxtest.Builder) {
			b.Node("SplitToSequence", []string{"x", "two"}, []string{"s"}, axis)
			at(b, "s", "last", "c")
			at(b, "s", "first", "a")
			b.Node("Concat", []string{"c", "a"}, []string{"joined"}, axis)
		}),
		"parts of given sizes": lists(func(b *onnxtest.Builder) {
			b.Node("SplitToSequence", []string{"x", "sizes"}, []string{"s"}, axis)
			b.Node("SequenceErase", []string{"s", "second"}, []string{"ac"})
			at(b, "ac", "second", "c")
			at(b, "ac", "first", "a")
			b.Node("SequenceConstruct", []string{"c", "a"}, []string{"ca"})
			b.Node("ConcatFromSequence", []string{"ca"}, []string{"joined"}, axis)
		}),
		"a smaller last part": lists(func(b *onnxtest.Builder) {
			b.Node("SplitToSequence", []string{"x", "four"}, []string{"s"}, axis)
			at(b, "s", "second", "c")
			at(b, "s", "first", "ab")
			b.Node("SplitToSequence", []string{"ab", "two"}, []string{"t"}, axis)
			at(b, "t", "first", "a")
			b.Node("SequenceEmpty", nil, []string{"none"})
			b.Node("SequenceInsert", []string{"none", "a"}, []string{"one"})
			b.Node("SequenceInsert", []string{"one", "c", "first"}, []string{"both"})
			b.Node("ConcatFromSequence", []string{"both"}, []string{"joined"}, axis)
		}),
		"single columns": lists(func(b *onnxtest.Builder) {
			b.Node("SplitToSequence", []string{"x"}, []string{"s"}, axis, onnxtest.Int("keepdims", 0))
			b.Node("SequenceLength", []string{"s"}, []string{"six"})
			b.Node("Sub", []string{"six", "two"}, []string{"four of six"})
			at(b, "s", "four of six", "c0")
			at(b, "s", "last", "c1")
			at(b, "s", "first", "a0")
			at(b, "s", "second", "a1")
			b.Node("SequenceConstruct", []string{"c0", "c1", "a0", "a1"}, []string{"ca"})
			b.Node("ConcatFromSequence", []string{"ca"}, []string{"joined"}, axis, onnxtest.Int("new_axis", 1))
		}),
	}
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		want := probed(t, on, plain)
		for name, b := range forms {
			if got := probed(t, on, b); !reflect.DeepEqual(got.Logits, want.Logits) || !reflect.DeepEqual(got.Weights, want.Weights) {
				t.Errorf("%s: logits %v, gradients %v; of Split and Concat %v, %v", name, got.Logits, got.Weights, want.Logits, want.Weights)
			}
		}
	})
}

// TestSequencesRefused: what is no list, or reaches beyond it, is refused at the node.
func TestSequencesRefused(t *testing.T) {
	axis := onnxtest.Int("axis", 1)
	for want, split := range map[string]func(b *onnxtest.Builder){
		"position 3 in a sequence of 3": func(b *onnxtest.Builder) {
			b.Node("SplitToSequence", []string{"x", "two"}, []string{"s"}, axis)
			b.Node("SequenceAt", []string{"s", "beyond"}, []string{"joined"})
		},
		"add up to the 6": func(b *onnxtest.Builder) {
			b.Int64("five", []int{2}, []int64{2, 3})
			b.Node("SplitToSequence", []string{"x", "five"}, []string{"s"}, axis)
			b.Node("SequenceAt", []string{"s", "first"}, []string{"joined"})
		},
		"parts of 0 elements": func(b *onnxtest.Builder) {
			b.Node("SplitToSequence", []string{"x", "first"}, []string{"s"}, axis)
			b.Node("SequenceAt", []string{"s", "first"}, []string{"joined"})
		},
		"expected a sequence": func(b *onnxtest.Builder) {
			b.Node("SequenceAt", []string{"x", "first"}, []string{"joined"})
		},
		"is a sequence of 3 tensors, expected a tensor": func(b *onnxtest.Builder) {
			b.Node("SplitToSequence", []string{"x", "two"}, []string{"s"}, axis)
			b.Node("Relu", []string{"s"}, []string{"joined"})
		},
		"a sequence of no tensors": func(b *onnxtest.Builder) {
			b.Node("SequenceEmpty", nil, []string{"none"})
			b.Node("ConcatFromSequence", []string{"none"}, []string{"y"}, axis)
			b.Node("Add", []string{"x", "y"}, []string{"joined"})
		},
	} {
		if _, err := Build(parse(t, lists(split)), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// TestLongSequences: lists of many parts are bounded by what a file of the size may ask
// for, before memory is taken for them.
func TestLongSequences(t *testing.T) {
	b := lists(func(b *onnxtest.Builder) {
		b.Int64("wide", []int{3}, []int64{1, 6, 1 << 30})
		b.Node("Unsqueeze", []string{"x", "second as list"}, []string{"column"})
		b.Int64("second as list", []int{1}, []int64{2})
		b.Node("Expand", []string{"column", "wide"}, []string{"expanded"})
		b.Node("SplitToSequence", []string{"expanded"}, []string{"s"}, onnxtest.Int("axis", 2), onnxtest.Int("keepdims", 0))
		b.Node("SequenceAt", []string{"s", "first"}, []string{"y"})
		b.Node("Slice", []string{"y", "from", "to", "from1"}, []string{"joined"})
		b.Int64("from", []int{1}, []int64{0})
		b.Int64("to", []int{1}, []int64{4})
		b.Int64("from1", []int{1}, []int64{1})
	})
	if _, err := Build(parse(t, b), Options{}); err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("error %v", err)
	}
}
