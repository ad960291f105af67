package report

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
)

// SchemaVersion is the version of every JSON document. It rises when a field
// changes its meaning or goes away, not when one is added.
const SchemaVersion = 1

// Document is the head of every JSON document. A result that embeds it has the
// format json.
type Document struct {
	Schema Version `json:"schema_version"`
}

type document interface{ isDocument() }

func (Document) isDocument() {}

// Version is the schema version of a document that was read. One that is written
// has [SchemaVersion], whatever this is.
type Version int

// MarshalJSON implements [json.Marshaler].
func (Version) MarshalJSON() ([]byte, error) { return json.Marshal(SchemaVersion) }

// Number is a figure that may be NaN or infinite, which JSON has no word for:
// null then, and NaN when that is read.
type Number float64

// MarshalJSON implements [json.Marshaler].
func (x Number) MarshalJSON() ([]byte, error) {
	if !x.finite() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(x))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (x *Number) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*x = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(x))
}

func (x Number) finite() bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

// Single is a number of float32, written with as many digits as that has; null
// where it is not finite.
type Single float32

// MarshalJSON implements [json.Marshaler].
func (x Single) MarshalJSON() ([]byte, error) {
	if !Number(x).finite() {
		return []byte("null"), nil
	}
	return json.Marshal(float32(x))
}

// Optional is text that is null in JSON where it is empty.
type Optional string

// MarshalJSON implements [json.Marshaler].
func (s Optional) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	var out bytes.Buffer
	e := newEncoder(&out)
	err := e.Encode(string(s))
	return out.Bytes(), err
}

// newEncoder leaves HTML characters alone: names hold < and > at times.
func newEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// writeJSON writes v indented, with a newline at the end.
func writeJSON(w io.Writer, v any) error {
	e := newEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// list is a list that is never null in JSON.
func list[T any](items []T) []T { return append([]T{}, items...) }
