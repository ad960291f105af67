package onnx_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// protoLeaf is a field that holds no message, tag included, and the names of
// the messages around it.
type protoLeaf struct {
	path  string
	bytes []byte
}

// inside says which fields of which messages are messages: as much of onnx.proto
// as tests look into.
var inside = map[string]map[protowire.Number]string{
	"model":     {7: "graph", 14: "entry"},
	"graph":     {1: "node", 5: "tensor"},
	"node":      {5: "attribute"},
	"attribute": {5: "tensor", 6: "graph"},
}

// flatten returns the leaves of a file in file order. It reads protobuf in the
// plainest way and knows nothing of package wire, which it is to check.
func flatten(t testing.TB, path, kind string, b []byte) (leaves []protoLeaf) {
	t.Helper()
	for len(b) > 0 {
		num, typ, tagLen := protowire.ConsumeTag(b)
		n := protowire.ConsumeFieldValue(num, typ, b[max(tagLen, 0):])
		if tagLen < 0 || n < 0 {
			t.Fatalf("%s: malformed field", path)
		}
		whole := b[:tagLen+n]
		b = b[tagLen+n:]
		child := inside[kind][num]
		if child == "" || typ != protowire.BytesType {
			leaves = append(leaves, protoLeaf{fmt.Sprintf("%s/%d", path, num), whole})
			continue
		}
		body, _ := protowire.ConsumeBytes(whole[tagLen:])
		leaves = append(leaves, flatten(t, path+"/"+child+"="+protoName(child, body), child, body)...)
	}
	return leaves
}

// protoName returns what identifies a message: the name, the key or, of a node,
// the first output. A name that is given twice is the second.
func protoName(kind string, b []byte) (name string) {
	field := map[string]protowire.Number{"tensor": 8, "attribute": 1, "entry": 1, "node": 2}[kind]
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if num == field && typ == protowire.BytesType && (name == "" || kind != "node") {
			value, _ := protowire.ConsumeBytes(b[n:])
			name = string(value)
		}
		b = b[n+size:]
	}
	return name
}

// sameLeaves checks that two files are equal in all leaves but those that free
// allows to differ, and returns the paths of those that do.
func sameLeaves(t testing.TB, before, after []byte, free func(path string) bool) []string {
	t.Helper()
	split := func(data []byte) (fixed []protoLeaf, rest map[string][]byte) {
		rest = map[string][]byte{}
		for _, leaf := range flatten(t, "", "model", data) {
			if free(leaf.path) {
				rest[leaf.path] = append(rest[leaf.path], leaf.bytes...)
			} else {
				fixed = append(fixed, leaf)
			}
		}
		return fixed, rest
	}
	fixedBefore, restBefore := split(before)
	fixedAfter, restAfter := split(after)
	for i := range min(len(fixedBefore), len(fixedAfter)) {
		if a, b := fixedBefore[i], fixedAfter[i]; a.path != b.path || !bytes.Equal(a.bytes, b.bytes) {
			t.Errorf("%s was %x, %s is %x", a.path, a.bytes, b.path, b.bytes)
			break
		}
	}
	if len(fixedBefore) != len(fixedAfter) {
		t.Errorf("%d fields beside those that may change, were %d", len(fixedAfter), len(fixedBefore))
	}
	changed := map[string]bool{}
	for path, b := range restBefore {
		changed[path] = !bytes.Equal(b, restAfter[path])
	}
	for path := range restAfter {
		if _, ok := restBefore[path]; !ok {
			changed[path] = true
		}
	}
	maps.DeleteFunc(changed, func(_ string, differs bool) bool { return !differs })
	return slices.Sorted(maps.Keys(changed))
}
