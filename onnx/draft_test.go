package onnx_test

import (
	"slices"
	"testing"

	"modeldoctor/onnx"
)

// checkDraft commits a draft with the edits and checks that its weights are the
// rounded ones and that nothing else has changed.
func checkDraft(t *testing.T, m *onnx.Model, target string, e onnx.Edits) []byte {
	t.Helper()
	data := commit(t, m, target, e)
	patched, err := onnx.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer patched.Close()
	for tensor, x := range e.Weights {
		want, err := tensor.Rounded(x)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := patched.Tensor(tensor.Name).Float32s(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s (%s) reads %v, %v; expected %v", tensor.Name, tensor.Storage, got, err, want)
		}
	}
	return data
}
