// Package pickle reads the Python pickles that image data sets are published
// in: dictionaries of numbers, strings, lists and arrays of bytes.
//
// Unpickling in Python runs whatever function a file names. This reader cannot:
// it has no functions to run. A name in the file is looked up in a fixed table
// of four ([constructor]), those that NumPy writes for an array of bytes, and
// each of them is carried out by code here that only rearranges values already
// read. Any other name is an error.
//
// Memory is bounded by the input: strings and arrays are views of it, and the
// number of values is limited ([maxValues]).
//
// A general pickle library is not used: github.com/kisielk/og-rek, the one for
// Go, does not implement the BUILD instruction, with which every NumPy array
// ends.
package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// maxValues bounds the values that a pickle may make. The 50,000 examples of
// CIFAR-100 take four each.
const maxValues = 1 << 22

// What [Decode] returns is made of nil, bool, int64, float64 and these types.
type (
	// Text is a string, of bytes or of characters in UTF-8: Python 2, in which
	// most of these files were written, did not tell them apart. It is a view of
	// the input.
	Text []byte
	// A Tuple is a Python tuple.
	Tuple []any
	// A List is a Python list.
	List struct{ Items []any }
	// A Dict is a Python dictionary whose keys are strings.
	Dict map[string]any
	// An Array is a NumPy array of unsigned bytes.
	Array struct {
		Shape []int
		// Data holds the elements, the last index running fastest, or the first
		// if Fortran. It is a view of the input, or as long at most.
		Data    []byte
		Fortran bool
	}
)

// An Error says where a pickle is malformed or not of the kind that is read.
type Error struct {
	Offset int // of the instruction, in bytes
	Msg    string
}

func (e *Error) Error() string { return fmt.Sprintf("pickle: byte %d: %s", e.Offset, e.Msg) }

// Decode reads one pickle of protocol 1 to 5. What is returned shares memory with
// data. The error, if any, is an [*Error].
func Decode(data []byte) (value any, err error) {
	d := decoder{in: input{data: data}, memo: map[uint32]any{}}
	for {
		start := d.in.pos
		done, err := d.step()
		if err != nil {
			return nil, &Error{Offset: start, Msg: err.Error()}
		}
		if done {
			return d.stack.items[0], nil
		}
	}
}

// decoder is the pickle machine.
type decoder struct {
	in     input
	stack  stack
	memo   map[uint32]any
	copied int // bytes converted so far
}

// step carries out one instruction, and reports whether it was the last.
func (d *decoder) step() (done bool, err error) {
	code, err := d.in.take(1)
	if err != nil {
		return false, err
	}
	switch op := code[0]; op {
	case '.': // STOP
		if n := len(d.stack.items); n != 1 {
			return false, fmt.Errorf("ends with %d values: expected 1", n)
		}
		if d.stack.items[0] == (mark{}) {
			return false, errors.New("ends with an open list")
		}
		return true, nil
	case 0x80: // PROTO
		v, err := d.in.take(1)
		if err == nil && v[0] > 5 {
			err = fmt.Errorf("protocol %d: expected at most 5", v[0])
		}
		return false, err
	case 0x95: // FRAME
		_, err := d.in.take(8)
		return false, err
	case '(':
		return false, d.stack.push(mark{})
	case '0': // POP
		_, err := d.stack.pop()
		return false, err
	case '1': // POP_MARK
		_, err := d.stack.popMark()
		return false, err
	case 'N':
		return false, d.stack.push(nil)
	case 0x88:
		return false, d.stack.push(true)
	case 0x89:
		return false, d.stack.push(false)
	case 'J', 'K', 'M', 0x8a, 'G':
		return false, d.number(op)
	case 'U', 'C', 0x8c: // one byte of length: SHORT_BINSTRING, SHORT_BINBYTES, SHORT_BINUNICODE
		return false, d.text(1)
	case 'T', 'B', 'X': // four: BINSTRING, BINBYTES, BINUNICODE
		return false, d.text(4)
	case 0x8d, 0x8e, 0x96: // eight: BINUNICODE8, BINBYTES8, BYTEARRAY8
		return false, d.text(8)
	case ')':
		return false, d.stack.push(Tuple{})
	case 't':
		items, err := d.stack.popMark()
		if err != nil {
			return false, err
		}
		return false, d.stack.push(Tuple(items))
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		items, err := d.stack.popN(int(op) - 0x84)
		if err != nil {
			return false, err
		}
		return false, d.stack.push(Tuple(items))
	case ']':
		return false, d.stack.push(&List{})
	case '}':
		return false, d.stack.push(Dict{})
	case 'a', 'e', 's', 'u':
		return false, d.add(op)
	case 'q', 'r', 0x94, 'h', 'j':
		return false, d.memoize(op)
	case 'c': // GLOBAL
		module, err := d.in.line()
		if err != nil {
			return false, err
		}
		name, err := d.in.line()
		if err != nil {
			return false, err
		}
		return false, d.global(module, name)
	case 0x93: // STACK_GLOBAL
		names, err := d.stack.popN(2)
		if err != nil {
			return false, err
		}
		module, ok1 := names[0].(Text)
		name, ok2 := names[1].(Text)
		if !ok1 || !ok2 {
			return false, errors.New("a name that is not a string")
		}
		return false, d.global(string(module), string(name))
	case 'R':
		return false, d.reduce()
	case 'b':
		return false, d.build()
	default:
		return false, fmt.Errorf("instruction %#02x is not one that image data need", op)
	}
}

// number pushes an integer or a float.
func (d *decoder) number(op byte) error {
	size := uint64(1)
	switch op {
	case 'M':
		size = 2
	case 'J':
		size = 4
	case 'G':
		size = 8
	}
	b, err := d.in.take(size)
	if err != nil {
		return err
	}
	switch op {
	case 'K':
		return d.stack.push(int64(b[0]))
	case 'M':
		return d.stack.push(int64(binary.LittleEndian.Uint16(b)))
	case 'J':
		return d.stack.push(int64(int32(binary.LittleEndian.Uint32(b))))
	case 'G':
		return d.stack.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	}
	// LONG1: two's complement of as many bytes as said.
	n := b[0]
	if n > 8 {
		return fmt.Errorf("an integer of %d bytes: expected at most 8", n)
	}
	if b, err = d.in.take(uint64(n)); err != nil {
		return err
	}
	var v int64
	for i := len(b) - 1; i >= 0; i-- {
		if i == len(b)-1 {
			v = int64(int8(b[i]))
			continue
		}
		v = v<<8 | int64(b[i])
	}
	return d.stack.push(v)
}

// text pushes a string whose length is written in the given number of bytes.
func (d *decoder) text(size uint64) error {
	b, err := d.in.take(size)
	if err != nil {
		return err
	}
	var word [8]byte
	copy(word[:], b)
	if b, err = d.in.take(binary.LittleEndian.Uint64(word[:])); err != nil {
		return err
	}
	return d.stack.push(Text(b))
}

// add carries out APPEND, APPENDS, SETITEM and SETITEMS.
func (d *decoder) add(op byte) (err error) {
	var items []any
	switch op {
	case 'a':
		items, err = d.stack.popN(1)
	case 's':
		items, err = d.stack.popN(2)
	default:
		items, err = d.stack.popMark()
	}
	if err != nil {
		return err
	}
	top, ok := d.stack.top()
	if !ok {
		return errors.New("nothing to add to")
	}
	switch target := top.(type) {
	case *List:
		if op == 'a' || op == 'e' {
			target.Items = append(target.Items, items...)
			return nil
		}
	case Dict:
		if (op == 's' || op == 'u') && len(items)%2 == 0 {
			for i := 0; i < len(items); i += 2 {
				key, ok := items[i].(Text)
				if !ok {
					return fmt.Errorf("a dictionary key of type %T: expected a string", items[i])
				}
				target[string(key)] = items[i+1]
			}
			return nil
		}
	}
	return errors.New("adds items to a value that does not take them")
}

// memoize carries out BINPUT, LONG_BINPUT, MEMOIZE, BINGET and LONG_BINGET.
func (d *decoder) memoize(op byte) error {
	index := uint32(len(d.memo))
	switch op {
	case 'q', 'h':
		b, err := d.in.take(1)
		if err != nil {
			return err
		}
		index = uint32(b[0])
	case 'r', 'j':
		b, err := d.in.take(4)
		if err != nil {
			return err
		}
		index = binary.LittleEndian.Uint32(b)
	}
	if op == 'h' || op == 'j' {
		v, ok := d.memo[index]
		if !ok {
			return fmt.Errorf("refers to value %d, which was not stored", index)
		}
		return d.stack.push(v)
	}
	top, ok := d.stack.top()
	if !ok {
		return errors.New("nothing to store")
	}
	d.memo[index] = top
	return d.stack.count()
}
