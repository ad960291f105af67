package onnx_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// The weights of a model, as the program called them that was exported, and how
// the file stores them.
func ExampleOpen() {
	m, err := onnx.Open("../fixtures/vit-cifar100/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	fmt.Println(m.Producer, "opset", m.Opset(""))
	for _, w := range m.Weights()[:4] {
		fmt.Println(w.Path, w.Tensor.DType, w.Tensor.Shape, w.Tensor.Storage)
	}
	// Output:
	// pytorch opset 20
	// cls_token FLOAT [1 1 96] raw_data
	// pos_embed FLOAT [1 17 96] raw_data
	// patch_embed.proj.weight FLOAT [96 3 8 8] raw_data
	// patch_embed.proj.bias FLOAT [96] raw_data
}

// A copy with one weight halved, which is compared with the original before it
// appears under its name.
func ExampleModel_Draft() {
	m, err := onnx.Open("../fixtures/vit-cifar100/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)

	bias := m.Tensor("head.bias")
	values, err := bias.Float32s()
	if err != nil {
		log.Fatal(err)
	}
	halved := make([]float32, len(values)) // values is a view of the file
	for i, x := range values {
		halved[i] = x / 2
	}
	edits := onnx.Edits{Weights: map[*onnx.Tensor][]float32{bias: halved}}
	draft, err := m.Draft(filepath.Join(folder, "halved.onnx"), edits)
	if err != nil {
		log.Fatal(err)
	}
	defer draft.Discard()
	changed, err := draft.Verify(edits)
	if err != nil {
		log.Fatal(err)
	}
	if err := draft.Commit(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("same size:", draft.Size() == m.Size)
	fmt.Println("bytes differ:", changed > 0 && changed <= int64(4*len(values)))
	// Output:
	// same size: true
	// bytes differ: true
}
