package graph

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"

	"google.golang.org/protobuf/encoding/protowire"
)

// FuzzFold edits real models where it hurts, without breaking their form: sizes,
// attributes, element types, shapes that are computed, names of operands and
// operators. Each must be refused, or read as a network in which
//
//   - the values have types without overflow, and no value is used before it is
//     made;
//   - the plain reading has the same weights, classes and necks as far as it has
//     them;
//   - no path from the image to the logits goes round a neck.
func FuzzFold(f *testing.F) {
	models := fuzzModels(f)
	for i := range models {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{0, 3, 1, 1, 40, 2, 2, 90, 5, 3, 10, 4})
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		data := slices.Clone(models[int(which)%len(models)])
		edit(data, edits[:min(len(edits), 24)])
		m, err := onnx.Parse(data, "")
		if err != nil {
			return
		}
		fused, err := build(m, Options{Batch: 2})
		sound(t, err)
		plain, plainErr := build(m, Options{Batch: 2, NoFuse: true})
		sound(t, plainErr)
		if (fused == nil) != (plain == nil) {
			t.Fatalf("fused: %v; plain: %v", err, plainErr)
		}
		if fused == nil {
			return
		}
		checkNetwork(t, fused)
		checkNetwork(t, plain)
		if fused.Classes != plain.Classes || fused.Batch != plain.Batch || !slices.Equal(tensorsOf(fused), tensorsOf(plain)) {
			t.Fatalf("fused: %d classes, batch %d, weights %q; plain: %d, %d, %q", fused.Classes, fused.Batch, tensorsOf(fused), plain.Classes, plain.Batch, tensorsOf(plain))
		}
	})
}

// sound fails t if an error is a panic that was caught.
func sound(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "internal error") {
		t.Fatal(err)
	}
	var refused *refusal
	if !errors.As(err, &refused) {
		return
	}
	for _, u := range refused.nodes {
		if strings.Contains(u.Reason, "internal error") {
			t.Fatalf("%s: %s", u.Node, u.Reason)
		}
	}
}

func tensorsOf(n *Network) []string {
	var names []string
	for _, w := range n.Weights {
		names = append(names, w.Tensor.Name)
	}
	slices.Sort(names)
	return names
}

func checkNetwork(t *testing.T, n *Network) {
	t.Helper()
	made := map[*op.Value]bool{}
	for _, s := range n.steps {
		types := make([]op.Type, len(s.In))
		for i, v := range s.In {
			types[i] = v.Type
			if v.Kind == op.Computed && !made[v] {
				t.Fatalf("%s uses a value before it is made", s.Op.Name())
			}
			if _, listed := n.weightOf[v]; v.Kind == op.Weight && !listed {
				t.Fatalf("%s uses %q, which is no weight of the network", s.Op.Name(), v.Name)
			}
		}
		if got, err := s.Op.Infer(types); err != nil || !got.Equal(s.Out.Type) {
			t.Fatalf("%s makes %v, %v, expected %v", s.Op.Name(), got, err, s.Out.Type)
		}
		made[s.Out] = true
	}
	for _, k := range n.Necks[1:] {
		// Of the data that is there before the neck, only the neck is used after.
		before := map[*op.Value]bool{n.Necks[0].value: true}
		for _, s := range n.steps[:k.position] {
			before[s.Out] = s.Out.OnDataPath
		}
		for _, s := range n.steps[k.position:] {
			for _, v := range s.In {
				if before[v] && v != k.value {
					t.Fatalf("%s after the neck %q uses a value from before it", s.Op.Name(), k.Name)
				}
			}
		}
	}
}

// fuzzModels returns the small fixtures and, where it is there, the zoo.
func fuzzModels(f *testing.F) [][]byte {
	const most = 100 << 10 // bytes
	var models [][]byte
	for _, pattern := range []string{filepath.Join("..", "fixtures", "*", "*.onnx"), filepath.Join("..", "..", "shared", "zoo", "*", "*.onnx")} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			if data, err := os.ReadFile(path); err == nil && len(data) < most {
				models = append(models, data)
			}
		}
	}
	if len(models) == 0 {
		f.Fatal("no models")
	}
	return models
}

// site is a piece of a model that can be given other content of the same length.
type site struct {
	at, n int
	kind  byte // varint, name or raw integers
}

const (
	siteVarint = 'v'
	siteName   = 'n'
	siteRaw    = 'r'
)

// messages lists, by path, the fields of ONNX that are messages and that sites
// looks into: graph; nodes, initializers, inputs, outputs; attributes; tensors;
// types, shapes, dimensions; operator sets.
func messages() map[string]string {
	return map[string]string{
		"m7": "g", "m8": "o", "g1": "n", "g5": "t", "g11": "i", "g12": "i", "n5": "a", "a5": "t", "a6": "g",
		"i2": "y", "y1": "e", "e2": "s", "s1": "d",
	}
}

// sites finds the pieces of a message of a kind, all at other places.
func sites(data []byte, from, to int, kind string, inside map[string]string, found []site) []site {
	const rawLimit = 64 // bytes of a tensor that may be a shape
	for at := from; at < to; {
		number, form, tag := protowire.ConsumeTag(data[at:to])
		size := protowire.ConsumeFieldValue(number, form, data[at+max(tag, 0):to])
		if tag < 0 || size < 0 {
			return found
		}
		value := at + tag
		at = value + size
		switch form {
		case protowire.VarintType:
			found = append(found, site{value, size, siteVarint})
		case protowire.BytesType:
			payload, n := protowire.ConsumeBytes(data[value:at])
			start := value + n - len(payload)
			child, ok := inside[kind+string(rune('0'+number/10))+string(rune('0'+number%10))]
			if !ok && number < 10 {
				child, ok = inside[kind+string(rune('0'+number))]
			}
			switch {
			case ok:
				found = sites(data, start, at, child, inside, found)
			case kind == "t" && number == 9 && len(payload) <= rawLimit && len(payload)%8 == 0:
				for i := 0; i < len(payload); i += 8 {
					found = append(found, site{start + i, 8, siteRaw})
				}
			case kind == "n" && len(payload) > 0, kind == "a" && number == 4:
				found = append(found, site{start, len(payload), siteName})
			}
		}
	}
	return found
}

// edit changes data by triples of bytes: two that say where, one that says what.
func edit(data, edits []byte) {
	all := sites(data, 0, len(data), "m", messages(), nil)
	numbers := []uint64{0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 16, 23, 65, 127, 1 << 13, 1 << 20, 1 << 27, 1<<31 - 1, 1 << 31, 1 << 32, 1 << 40, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1, 1<<64 - 2, 1<<64 - 3, 1<<64 - 8, 1<<64 - 100}
	for ; len(edits) >= 3; edits = edits[3:] {
		s := all[int(binary.BigEndian.Uint16(edits))*len(all)>>16]
		v := numbers[int(edits[2])%len(numbers)]
		switch s.kind {
		case siteVarint:
			for i := range s.n { // as many bytes as before: the rest of v is lost
				data[s.at+i] = byte(v>>(7*i))&0x7f | 0x80
			}
			data[s.at+s.n-1] &= 0x7f
		case siteRaw:
			binary.LittleEndian.PutUint64(data[s.at:], v)
		case siteName:
			// The content of another name of the same length.
			var same []site
			for _, o := range all {
				if o.kind == siteName && o.n == s.n {
					same = append(same, o)
				}
			}
			o := same[int(edits[2])*len(same)>>8]
			copy(data[s.at:s.at+s.n], data[o.at:o.at+o.n])
		}
	}
}
