package report

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
)

// TestEncoding: what JSON has no word for is null, and names are written as they
// are, however they are kept.
func TestEncoding(t *testing.T) {
	type document struct {
		Document
		None, Some     Optional
		NaN, Inf, Zero Number
		Single         Single
		Infinite       Single
		Absent         *Number
	}
	written := document{Some: `a<b>&"c"`, NaN: Number(math.NaN()), Inf: Number(math.Inf(-1)), Single: 0.1, Infinite: Single(math.Inf(1))}
	var out, compact bytes.Buffer
	if err := writeJSON(&out, written); err != nil {
		t.Fatal(err)
	}
	if err := json.Compact(&compact, out.Bytes()); err != nil {
		t.Fatal(err)
	}
	want := `{"schema_version":1,"None":null,"Some":"a<b>&\"c\"","NaN":null,"Inf":null,"Zero":0,"Single":0.1,"Infinite":null,"Absent":null}`
	if got := compact.String(); got != want {
		t.Errorf("written %s, want %s", got, want)
	}
	var read document
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if read.Schema != SchemaVersion || read.None != "" || read.Some != written.Some || !math.IsNaN(float64(read.NaN)) || !math.IsNaN(float64(read.Inf)) || read.Zero != 0 || read.Absent != nil {
		t.Errorf("read %+v", read)
	}
}
