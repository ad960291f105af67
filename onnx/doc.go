// Package onnx reads model files: what nodes they have, what each constant is
// called and how and where it is stored. It writes copies of them with other
// weights, and says what differs between two of them.
//
// [Open] maps the file and indexes its structure; the data of tensors stay in
// the file until [Tensor.Float32s] or [Tensor.Int64s] is called, and raw float32
// data even then: what is returned is a view of the map. A model of hundreds of
// megabytes therefore opens in milliseconds.
//
//	m, err := onnx.Open("vit.onnx")
//	if err != nil { … } // a *FormatError: file, byte, node or tensor, and a hint
//	defer m.Close()
//	for _, w := range m.Weights() {
//		fmt.Println(w.Path, w.Tensor.Shape, w.Tensor.DType, w.Tensor.Storage, len(w.Uses))
//	}
//
// The graph itself is decoded by github.com/owulveryck/onnx-go, into a backend
// that records operations. It is given a model of the topology only, because it
// cannot take what is in most files (see topology.go).
//
// # What is accepted
//
// Every form in which a tensor can be stored: raw_data, the typed fields packed
// or not, Constant nodes, external files, and FLOAT16 and BFLOAT16, which are
// widened exactly. An external file is looked for only inside the model's
// folder, whatever path or link the model holds.
//
// Calls of functions that the model defines are replaced by their bodies, and the
// nodes of both branches of an If stand in the list, each under a [Guard].
//
// What cannot be run but can be listed is left to the caller:
// [Model.Unsupported] names other control flow and sparse tensors. What is not a well-formed model is refused by [Open]: bytes
// that are not ONNX, names that are made twice or never, cycles, data that do
// not fill their shape.
//
// # Patching
//
// [Model.Draft] writes a copy with new values of some weights, in the form in
// which the file stores them, and new metadata. All else is the original's, byte
// for byte: values are overwritten where they lie, and where a length changes,
// those of the messages around it are written anew. Weights from external files
// move into the model file; the data file itself is never written to.
//
//	values, err := weight.Rounded(improved) // what the file will give back
//	edits := onnx.Edits{
//		Weights:  map[*onnx.Tensor][]float32{weight: values},
//		Metadata: map[string]string{"modeldoctor.fix": line},
//	}
//	draft, err := m.Draft("out.onnx", edits)
//	if err != nil { … } // a *WriteError where it is about the target
//	defer draft.Discard() // nothing after Commit
//	changed, err := draft.Verify(edits) // nothing else is other than it was
//	…
//	err = draft.Commit()
//
// Nothing is seen under the target's name until Commit, and nothing remains of a
// draft that is not committed, even if the program is killed (see package
// atomicfile for where that cannot be had). [Model.Untied] first gives some of
// the readers of a shared weight a copy of their own.
//
// [Compare] lists what differs between two models: weights, nodes, metadata and
// every other field. What it does not list is the same.
//
// # Limits
//
// A file is at most 2 GiB, as protobuf has it (larger models keep their weights
// in external files), and messages nest at most 100 deep. The index takes at
// most 32 MiB + 4 bytes per byte of the file. A file that is cut short by
// another program while it is open ends this one with a bus error, as it does
// any program that maps it.
package onnx
