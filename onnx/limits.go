package onnx

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// What a file may have. No exporter comes near: the largest models have some ten
// thousand nodes, whose names have some hundred bytes. A node takes about 3 KB of
// memory while it is read, so these limits are what bounds the memory for a file
// that is made of nothing but nodes; see docs/limits.md.
const (
	maxNodes   = 150_000
	maxTensors = 300_000
	maxParts   = 800_000 // operands and attributes of all nodes, dimensions of inputs and outputs
	maxEntries = 100_000 // of metadata, of the model or of one node
	maxPieces  = 100_000 // fields that hold the data of one tensor: strings, for example
	maxName    = 4 << 10 // bytes
	maxRank    = 64      // that of NumPy and PyTorch
)

// checkLimits refuses a structure that no exporter writes before anything is made
// of it.
func checkLimits(m *Model) error {
	var nodes, tensors, parts int
	for f := range m.graph.Fields() {
		switch f.Number() {
		case graphNode:
			nodes++
			n, err := checkNode(m, f.Message())
			if err != nil {
				return err
			}
			parts += n
		case graphInitializer, graphSparse:
			tensors++
		case graphInput, graphOutput:
			for range f.Message().All(wire.Dimension) {
				parts++
			}
		}
		offset, _ := f.Range()
		for _, limit := range []struct {
			what        string
			have, limit int
		}{
			{"nodes", nodes, maxNodes},
			{"initializers", tensors, maxTensors},
			{"operands, attributes and dimensions", parts, maxParts},
		} {
			if limit.have > limit.limit {
				return m.fail(offset, fmt.Sprintf("the graph has more than %d %s", limit.limit, limit.what), "no exporter writes so many: "+notONNXHint)
			}
		}
	}
	return nil
}

// checkNode returns how many operands and attributes a node has.
func checkNode(m *Model, node wire.Message) (parts int, err error) {
	for f := range node.Fields() {
		switch f.Number() {
		case nodeInput, nodeOutput, nodeAttribute:
			parts++
		}
	}
	return parts, checkEntries(m, node, nodeMetadata)
}

func checkEntries(m *Model, of wire.Message, number protowire.Number) error {
	entries := 0
	for f := range of.Fields() {
		if f.Number() != number {
			continue
		}
		if entries++; entries > maxEntries {
			offset, _ := f.Range()
			return m.fail(offset, fmt.Sprintf("more than %d entries of metadata", maxEntries), "no exporter writes so many: "+notONNXHint)
		}
	}
	return nil
}

// checkName refuses a name that is too long to be one. Names are quoted in errors
// and reports, and live in several tables.
func checkName(m *Model, b []byte, offset int64) error {
	if len(b) > maxName {
		return m.fail(offset, fmt.Sprintf("a name of %d bytes, %q…: at most %d are accepted", len(b), clean(b[:32]), maxName), notONNXHint)
	}
	return nil
}
