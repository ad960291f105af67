package onnx

import (
	"fmt"
	"io"
	"os"
)

// MaxStreamed is the most bytes that [Read] takes: protobuf knows no larger
// message.
const MaxStreamed = 2<<30 - 1

// Read reads a model from a stream, such as standard input. It is copied to a
// temporary file in tempDir ("" is the system's place) that has no name any more when
// Read returns, and mapped like any other, so that it takes no memory of its own.
// Its external data cannot be found, and are refused. Close closes the model.
func Read(r io.Reader, tempDir string) (*Model, error) { return read(r, tempDir, MaxStreamed) }

func read(r io.Reader, tempDir string, limit int64) (*Model, error) {
	f, err := os.CreateTemp(tempDir, "modeldoctor-model-*")
	if err != nil {
		return nil, fmt.Errorf("temporary file for the model: %w", err)
	}
	defer f.Close()
	defer os.Remove(f.Name()) // what is mapped stays
	n, err := io.Copy(f, io.LimitReader(r, limit+1))
	m := &Model{}
	switch {
	case err != nil:
		return nil, fmt.Errorf("copying the model to a temporary file: %w", err)
	case n > limit:
		return nil, m.fail(0, fmt.Sprintf("the stream has more than %d bytes, which no ONNX file has", limit), "give the path of the .onnx file")
	case n == 0:
		return nil, m.fail(0, "the stream is empty", "write a model to it: modeldoctor check - < model.onnx")
	}
	if err := readFile(m, f); err != nil {
		return nil, err
	}
	return m, nil
}
