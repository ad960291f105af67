package pickle

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// dtype is a NumPy element type.
type dtype string

// A constructor is a Python function or class that a file may name.
type constructor string

// The constructors. The modules' names have changed with NumPy's versions.
const (
	reconstruct constructor = "numpy _reconstruct" // an array to be filled in by BUILD
	ndarray     constructor = "numpy ndarray"      // an argument of reconstruct
	newDtype    constructor = "numpy dtype"        // an element type
	fromBuffer  constructor = "numpy _frombuffer"  // a whole array, in protocol 5
	encode      constructor = "_codecs encode"     // bytes written as text, in protocol 2 by Python 3
)

// lookup returns the constructor of a name.
func lookup(module, name string) (constructor, bool) {
	switch module {
	case "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric":
		switch name {
		case "_reconstruct":
			return reconstruct, true
		case "_frombuffer":
			return fromBuffer, true
		}
	case "numpy":
		switch name {
		case "ndarray":
			return ndarray, true
		case "dtype":
			return newDtype, true
		}
	case "_codecs":
		if name == "encode" {
			return encode, true
		}
	}
	return "", false
}

// global pushes the constructor of a name.
func (d *decoder) global(module, name string) error {
	c, ok := lookup(module, name)
	if !ok {
		return fmt.Errorf("names %q, which is not part of image data; it is not run", module+"."+name)
	}
	return d.stack.push(c)
}

// reduce makes a value from a constructor and its arguments.
func (d *decoder) reduce() error {
	operands, err := d.stack.popN(2)
	if err != nil {
		return err
	}
	c, _ := operands[0].(constructor)
	args, _ := operands[1].(Tuple)
	switch {
	case c == reconstruct && len(args) == 3 && args[0] == ndarray:
		return d.stack.push(&Array{})
	case c == newDtype && len(args) > 0:
		if name, ok := args[0].(Text); ok && len(name) <= 8 {
			return d.stack.push(dtype(name))
		}
	case c == fromBuffer && len(args) == 4:
		if order, ok := args[3].(Text); ok {
			a := &Array{}
			if err := a.fill(args[2], args[1], string(order) == "F", args[0]); err != nil {
				return err
			}
			return d.stack.push(a)
		}
	case c == encode && len(args) == 2:
		characters, ok1 := args[0].(Text)
		encoding, ok2 := args[1].(Text)
		if ok1 && ok2 && (string(encoding) == "latin1" || string(encoding) == "latin-1") {
			// The same text may be converted over and over: the copies count.
			if d.copied += len(characters); d.copied > len(d.in.data) {
				return errors.New("converts more text than the file holds")
			}
			b, err := latin1(characters)
			if err != nil {
				return err
			}
			return d.stack.push(Text(b))
		}
	}
	return fmt.Errorf("calls %v in a way that image data do not", operands[0])
}

// build gives an array its contents. An element type's further state (byte
// order, fields) says nothing about bytes and is dropped.
func (d *decoder) build() error {
	state, err := d.stack.pop()
	if err != nil {
		return err
	}
	top, ok := d.stack.top()
	if !ok {
		return errors.New("nothing to fill in")
	}
	fields, _ := state.(Tuple)
	switch target := top.(type) {
	case dtype:
		return nil
	case *Array:
		if len(fields) == 5 {
			fortran, _ := fields[3].(bool)
			return target.fill(fields[1], fields[2], fortran, fields[4])
		}
	}
	return errors.New("fills in a value that is not an array")
}

// fill sets the array's contents from the values in the file.
func (a *Array) fill(shape, element any, fortran bool, data any) error {
	sizes, ok := shape.(Tuple)
	if !ok || len(sizes) > 8 {
		return errors.New("an array whose shape is not a tuple of at most 8 sizes")
	}
	b, ok := data.(Text)
	if t, _ := element.(dtype); !ok || (t != "u1" && t != "|u1") {
		return fmt.Errorf("an array of %v: expected unsigned bytes (u1)", element)
	}
	total := int64(1)
	a.Shape = make([]int, len(sizes))
	for i, s := range sizes {
		n, ok := s.(int64)
		if !ok || n < 0 || n > math.MaxInt32 || (n > 0 && total > math.MaxInt64/n) {
			return fmt.Errorf("an array of size %v", s)
		}
		a.Shape[i] = int(n)
		total *= n
	}
	if total != int64(len(b)) {
		return fmt.Errorf("an array of shape %v has %d bytes of data: expected %d", a.Shape, len(b), total)
	}
	a.Data, a.Fortran = b, fortran && len(sizes) > 1
	return nil
}

// latin1 returns the characters of UTF-8 text as bytes.
func latin1(text []byte) ([]byte, error) {
	b := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r > 0xff {
			return nil, errors.New("text that is not Latin-1")
		}
		b = append(b, byte(r))
		text = text[n:]
	}
	return b, nil
}
