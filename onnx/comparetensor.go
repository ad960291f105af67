package onnx

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

// TensorChange is a constant (an initializer or the value of a Constant node)
// that differs.
type TensorChange struct {
	Name string // in b, unless it is only in a
	// Path is the weight's recovered name, as in [Weight], "" where it has none.
	Path     string
	Presence Presence
	A, B     *TensorState // nil in the file that does not have it
	// Changes says in words what differs: type, shape, storage, values, other
	// fields. It is empty unless the tensor is in both files.
	Changes []string
	// Compared says that both files have as many elements, of types that can be
	// compared, so that the next fields hold.
	Compared bool
	// ElementsChanged counts the elements that are not equal: bit by bit for one
	// type, by value for two floating-point types or where one is a quantised weight.
	ElementsChanged int
	// NormA is ‖w_a‖, NormDelta ‖w_b − w_a‖ and Relative their quotient
	// (0 where nothing changed, infinite where ‖w_a‖ is 0), of floating-point
	// tensors and of the values of quantised weights. They are Euclidean, computed in float64, and NaN or infinite where
	// elements are.
	NormA, NormDelta, Relative float64
}

// TensorState is how one file holds a tensor.
type TensorState struct {
	DType   DType
	Shape   []int
	Storage Storage
	File    string    // the model or its external data file
	Range   ByteRange // in File; see [Tensor.Range]
	// Quantised says that the tensor is a weight that is only read dequantised.
	Quantised bool
}

// DataFileComparison is an external data file that one or both of the models
// refer to.
type DataFileComparison struct {
	Location     string // as the models have it
	SizeA, SizeB int64  // bytes, -1 where the model does not refer to it
	Same         bool   // both refer to it, and the content is identical
}

// dataFiles compares the external data files.
func (c *comparer) dataFiles() error {
	inA := map[string]*Tensor{}
	for _, t := range references(c.a.Model, nil) {
		inA[t.location] = t
	}
	compare := func(location string, a, b *Tensor) error {
		d := DataFileComparison{Location: location, SizeA: -1, SizeB: -1}
		var dataA, dataB []byte
		var err error
		if a != nil {
			if dataA, err = (external{a}).file(); err != nil {
				return err
			}
			d.SizeA = int64(len(dataA))
		}
		if b != nil {
			if dataB, err = (external{b}).file(); err != nil {
				return err
			}
			d.SizeB = int64(len(dataB))
		}
		d.Same = a != nil && b != nil && d.SizeA == d.SizeB && (oneFile(a.File, b.File) || bytes.Equal(dataA, dataB))
		c.sameDataFile[location] = d.Same
		c.result.DataFiles = append(c.result.DataFiles, d)
		return nil
	}
	for _, t := range references(c.b.Model, nil) {
		if err := compare(t.location, inA[t.location], t); err != nil {
			return err
		}
		delete(inA, t.location)
	}
	for _, t := range references(c.a.Model, nil) {
		if inA[t.location] != nil {
			if err := compare(t.location, t, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// oneFile reports whether two paths lead to one file.
func oneFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// tensors compares the constants of both models.
func (c *comparer) tensors() {
	paired := map[*Tensor]bool{} // of a
	for _, b := range c.b.allConstants() {
		a := c.partners[b]
		if a == nil {
			a = c.a.constants[b.Name]
		}
		if a == nil {
			c.result.Tensors = append(c.result.Tensors, TensorChange{Name: b.Name, Presence: OnlyInB, B: stateOf(b)})
			continue
		}
		paired[a] = true
		if change, differs := c.tensor(a, b); differs {
			c.result.Tensors = append(c.result.Tensors, change)
		}
	}
	for _, a := range c.a.allConstants() {
		if !paired[a] {
			c.result.Tensors = append(c.result.Tensors, TensorChange{Name: a.Name, Presence: OnlyInA, A: stateOf(a)})
		}
	}
	c.namePaths()
}

// namePaths sets the paths of the tensors that differ.
func (c *comparer) namePaths() {
	if len(c.result.Tensors) == 0 {
		return
	}
	inA, inB := c.a.paths(), c.b.paths()
	for i := range c.result.Tensors {
		t := &c.result.Tensors[i]
		t.Path = inB[t.Name]
		if t.Presence == OnlyInA || t.Path == "" && t.Presence == InBoth {
			t.Path = inA[t.Name]
		}
	}
}

func stateOf(t *Tensor) *TensorState {
	return &TensorState{t.DType, t.Shape, t.Storage, t.File, t.Range, t.quantization != nil}
}

// tensor compares two tensors.
func (c *comparer) tensor(a, b *Tensor) (change TensorChange, differs bool) {
	found := c.inTensor[b]
	change = TensorChange{Name: b.Name, Presence: InBoth, A: stateOf(a), B: stateOf(b)}
	oneData := a.location == "" && b.location == "" || a.location == b.location && c.sameDataFile[a.location]
	if len(found) == 0 && a.Storage == b.Storage && oneData {
		return change, false // nothing in the file differs, nor beside it
	}
	add := func(format string, args ...any) {
		change.Changes = append(change.Changes, fmt.Sprintf(format, args...))
	}
	explained := map[string]bool{} // fields whose difference is said in words
	if a.DType != b.DType {
		add("type %v → %v", a.DType, b.DType)
		explained["data_type"] = true
	}
	if !slices.Equal(a.Shape, b.Shape) {
		add("shape %v → %v", a.Shape, b.Shape)
		explained["dims"] = true
	}
	if a.Storage != b.Storage {
		add("stored as %s → %s", a.Storage, b.Storage)
		explained["external_data"], explained["data_location"] = true, true
	}
	if err := change.values(a, b); err != nil {
		add("the values cannot be compared: %v", err)
	} else if change.ElementsChanged > 0 {
		add("%d of %d values", change.ElementsChanged, b.elements)
	}
	if a.Storage != b.Storage || !change.Compared || change.ElementsChanged > 0 {
		for _, field := range dataFields {
			explained[field] = true
		}
	}
	for _, d := range found {
		field := strings.TrimPrefix(d.path, "t.")
		if end := strings.IndexAny(field, ".[ "); end >= 0 {
			field = field[:end]
		}
		if d.form == inEncoding || !explained[field] {
			add("%s", d)
		}
	}
	return change, len(change.Changes) > 0
}

// dataFields are the names of fields that hold elements, of TensorProto and of
// an attribute.
var dataFields = []string{"float_data", "int32_data", "string_data", "int64_data", "raw_data", "double_data", "uint64_data",
	"f", "i", "s", "floats", "ints", "strings"}

// values compares the elements of two tensors and sets the numbers of the change.
func (change *TensorChange) values(a, b *Tensor) error {
	floats := a.HoldsFloats() && b.HoldsFloats()
	if a.elements != b.elements || a.DType != b.DType && !floats {
		return nil
	}
	if a.DType == String {
		change.Compared = true
		for i := range a.data {
			if !bytes.Equal(a.data[i].Bytes(), b.data[i].Bytes()) {
				change.ElementsChanged++
			}
		}
		return nil
	}
	if !floats {
		dataA, err := readBlock(a)
		if err != nil {
			return err
		}
		dataB, err := readBlock(b)
		if err != nil {
			return err
		}
		change.Compared = true
		change.ElementsChanged = countUnequal(a, dataA.bytes, dataB.bytes)
		return nil
	}
	valueA, err := floatsOf(a)
	if err != nil {
		return err
	}
	valueB, err := floatsOf(b)
	if err != nil {
		return err
	}
	change.Compared = true
	var normA, normDelta float64
	for i := range a.elements {
		x, y := valueA(i), valueB(i)
		normA += x * x
		if math.Float64bits(x) != math.Float64bits(y) {
			change.ElementsChanged++
			normDelta += (y - x) * (y - x)
		}
	}
	change.NormA, change.NormDelta = math.Sqrt(normA), math.Sqrt(normDelta)
	if change.ElementsChanged > 0 && change.NormDelta != 0 {
		change.Relative = change.NormDelta / change.NormA
	}
	return nil
}

// countUnequal counts the elements of type t that differ.
func countUnequal(t *Tensor, a, b []byte) (n int) {
	if bytes.Equal(a, b) {
		return 0
	}
	bits := t.DType.Bits()
	for i := range t.elements {
		if bits < 8 {
			shift := i * bits % 8
			if (a[i*bits/8]^b[i*bits/8])>>shift&(1<<bits-1) != 0 {
				n++
			}
			continue
		}
		width := bits / 8
		if !bytes.Equal(a[i*width:(i+1)*width], b[i*width:(i+1)*width]) {
			n++
		}
	}
	return n
}
