package graph

import (
	"strings"
	"testing"

	"modeldoctor/onnx"
)

// TestAdvice: what is refused comes with what helps against just that.
func TestAdvice(t *testing.T) {
	for _, c := range []struct {
		u    onnx.Unsupported
		want string
	}{
		{onnx.Unsupported{Op: "MatMulInteger"}, "without quantisation"},
		{onnx.Unsupported{Op: "QLinearConv"}, "without quantisation"},
		{onnx.Unsupported{Op: "If", Opset: 17}, "dynamo=True"},
		{onnx.Unsupported{Op: "SequenceAt"}, "tensors only"},
		{onnx.Unsupported{Op: "LSTM"}, "recurrent"},
		{onnx.Unsupported{Op: "Conv", Domain: "com.microsoft.nchwc"}, "one CPU"},
		{onnx.Unsupported{Op: "BatchNormalization", Opset: 17, Reason: "training_mode 1 is not supported"}, "model.eval()"},
		{onnx.Unsupported{Reason: "2 initializers are sparse tensors"}, "dense"},
		{onnx.Unsupported{Op: "Relu", Opset: 99}, "opset_version=20"},
		{onnx.Unsupported{Op: "Attention", Opset: 20}, "opset_version=23"},
		{onnx.Unsupported{Op: "Relu"}, "does not import"},
		{onnx.Unsupported{Op: "Frob", Domain: "my.company"}, "custom operator"},
		{onnx.Unsupported{Op: "BiasDropout", Domain: "com.microsoft"}, "as it was exported"},
		{onnx.Unsupported{Op: "Frobnicate"}, "re-export"},
	} {
		if got := advise(c.u); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want one about %q", c.u, got, c.want)
		}
	}
	list := obstacles([]onnx.Unsupported{{Node: "a", Op: "LSTM"}, {Node: "b", Op: "If"}, {Node: "c", Op: "LSTM"}})
	if len(list) != 2 || list[0].Node != "a" || list[0].Count != 2 || list[1].Count != 1 {
		t.Errorf("grouped as %+v", list)
	}
}
