package onnx

import (
	"bytes"
	"fmt"
	"strings"
)

// FormatError says that a file cannot be read as a model, or that something it
// refers to cannot: what, where, expected and found, on one line.
type FormatError struct {
	Path   string // the model, or the external data file; "" for a model from memory
	Offset int64  // byte in Path, 0 where it is not known or does not matter
	Node   string // the node's label, or ""
	Tensor string // the tensor's name, or ""
	Msg    string // what was expected and what was found
	Advice string // what the user can do, or ""
	Err    error  // the cause, such as an fs.PathError, or nil
}

// Error returns the whole message on one line.
func (e *FormatError) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	if e.Offset > 0 {
		fmt.Fprintf(&b, "byte %d: ", e.Offset)
	}
	if e.Node != "" {
		b.WriteString(e.Node + ": ")
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %q: ", e.Tensor)
	}
	b.WriteString(e.Msg)
	return strings.ReplaceAll(b.String(), "\n", " ")
}

// Hint returns what the user can do about it, or "".
func (e *FormatError) Hint() string { return e.Advice }

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

const exportHint = "export the model with torch.onnx.export(model, example, \"model.onnx\") and give the .onnx file"

// signatures are the files that are given in place of a model by mistake.
var signatures = []struct {
	offset  int
	magic   string
	message string
	hint    string
}{
	{0, "version https://git-lfs", "this is a Git LFS pointer, not the model", "fetch the file itself with: git lfs pull"},
	{0, "\xff\xd8\xff", "this is a JPEG image, not an ONNX model", "give the .onnx file first; images are named by --data"},
	{0, "\x89PNG", "this is a PNG image, not an ONNX model", "give the .onnx file first; images are named by --data"},
	{0, "PK\x03\x04", "this is a ZIP archive (PyTorch checkpoints are), not an ONNX model", "unpack it (unzip FILE) and give the .onnx file, or, for a .pt or .pth file, " + exportHint},
	{0, "\x1f\x8b", "this is a gzip archive, not an ONNX model", "unpack it (gunzip FILE, or tar xzf FILE where it ends in .tar.gz or .tgz) and give the .onnx file"},
	{0, "\x80\x02", "this is a Python pickle (older PyTorch checkpoints are), not an ONNX model", exportHint},
	{0, "\x80\x03", "this is a Python pickle, not an ONNX model", exportHint},
	{0, "\x80\x04", "this is a Python pickle, not an ONNX model", exportHint},
	{0, "\x80\x05", "this is a Python pickle, not an ONNX model", exportHint},
	{0, "\x89HDF", "this is an HDF5 file (Keras checkpoints are), not an ONNX model", "convert it with tf2onnx and give the .onnx file"},
	{0, "GGUF", "this is a GGUF file, not an ONNX model", exportHint},
	{4, "TFL3", "this is a TensorFlow Lite model, not an ONNX model", "convert it with tf2onnx and give the .onnx file"},
	{4, "ORTM", "this is an ONNX Runtime (.ort) model, not an ONNX model", "give the .onnx file it was made from"},
	{8, `{"`, "this is a safetensors file, not an ONNX model", exportHint},
}

// notAModel returns what data is instead of a model, if that can be told.
func notAModel(data []byte) (message, hint string, ok bool) {
	for _, s := range signatures {
		if len(data) > s.offset && bytes.HasPrefix(data[s.offset:], []byte(s.magic)) {
			return s.message, s.hint, true
		}
	}
	text := strings.ToLower(string(bytes.TrimSpace(data[:min(len(data), 64)])))
	if strings.HasPrefix(text, "<!doctype html") || strings.HasPrefix(text, "<html") {
		return "this is a web page, not an ONNX model", "the download answered with a page: use the link to the raw file", true
	}
	return "", "", false
}
