package pickle

import (
	"bytes"
	"errors"
	"fmt"
)

// input is a pickle that is being read.
type input struct {
	data []byte
	pos  int
}

// take returns the next n bytes.
func (in *input) take(n uint64) ([]byte, error) {
	if rest := uint64(len(in.data) - in.pos); n > rest {
		return nil, fmt.Errorf("needs %d bytes, %d are left: the file is truncated", n, rest)
	}
	b := in.data[in.pos : in.pos+int(n) : in.pos+int(n)]
	in.pos += int(n)
	return b, nil
}

// line returns the text up to a line feed, and skips that.
func (in *input) line() (string, error) {
	const longest = 256
	rest := in.data[in.pos:min(len(in.data), in.pos+longest)]
	n := bytes.IndexByte(rest, '\n')
	if n < 0 {
		return "", errors.New("a name without an end")
	}
	in.pos += n + 1
	return string(rest[:n]), nil
}

// mark is on the stack where a list, tuple or dictionary's items begin.
type mark struct{}

// stack holds the values that instructions take and leave.
type stack struct {
	items []any
	made  int // values made so far
}

// count counts a value, and fails if there are too many.
func (s *stack) count() error {
	if s.made++; s.made > maxValues {
		return fmt.Errorf("more than %d values", maxValues)
	}
	return nil
}

func (s *stack) push(v any) error {
	if err := s.count(); err != nil {
		return err
	}
	s.items = append(s.items, v)
	return nil
}

// top returns the last value or mark; ok is false where there is none.
func (s *stack) top() (v any, ok bool) {
	if len(s.items) == 0 {
		return nil, false
	}
	return s.items[len(s.items)-1], true
}

// popN removes and returns the last n values, none of which may be a mark.
func (s *stack) popN(n int) ([]any, error) {
	at := len(s.items) - n
	if at < 0 {
		return nil, fmt.Errorf("needs %d values, has %d", n, len(s.items))
	}
	items := append([]any(nil), s.items[at:]...)
	for _, v := range items {
		if _, ok := v.(mark); ok {
			return nil, errors.New("a mark in place of a value")
		}
	}
	clear(s.items[at:])
	s.items = s.items[:at]
	return items, nil
}

func (s *stack) pop() (any, error) {
	items, err := s.popN(1)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// popMark removes the values above the last mark, and the mark.
func (s *stack) popMark() ([]any, error) {
	for i := len(s.items) - 1; i >= 0; i-- {
		if _, ok := s.items[i].(mark); ok {
			items, err := s.popN(len(s.items) - i - 1)
			s.items = s.items[:i]
			return items, err
		}
	}
	return nil, errors.New("no mark")
}
