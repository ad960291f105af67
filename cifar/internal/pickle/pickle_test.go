package pickle

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	array := "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
	dtype := "cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
	for name, c := range map[string]struct {
		pickle string
		want   any
	}{
		"integers":           {"\x80\x02](K\xffM\x01\x02J\xfe\xff\xff\xff\x8a\x02\x00\xff\x8a\x00e.", &List{Items: []any{int64(255), int64(513), int64(-2), int64(-256), int64(0)}}},
		"float, bool, none":  {"(G\x3f\xf8\x00\x00\x00\x00\x00\x00\x88\x89Nt.", Tuple{1.5, true, false, nil}},
		"strings":            {"(U\x01aX\x01\x00\x00\x00bC\x01cB\x01\x00\x00\x00dt.", Tuple{Text("a"), Text("b"), Text("c"), Text("d")}},
		"dictionary":         {"}U\x01aK\x01s(U\x01bK\x02u.", Dict{"a": int64(1), "b": int64(2)}},
		"memo":               {"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94h\x00\x86.", Tuple{Text("a"), Text("a")}},
		"pop":                {"K\x01K\x020(K\x031.", int64(1)},
		"array":              {array + "K\x02K\x03\x86" + dtype + "\x89U\x06abcdeftb.", &Array{Shape: []int{2, 3}, Data: []byte("abcdef")}},
		"Fortran order":      {array + "K\x02K\x03\x86" + dtype + "\x88U\x06abcdeftb.", &Array{Shape: []int{2, 3}, Data: []byte("abcdef"), Fortran: true}},
		"line is both":       {array + "K\x03\x85" + dtype + "\x88U\x03abctb.", &Array{Shape: []int{3}, Data: []byte("abc")}},
		"Latin-1 as text":    {"c_codecs\nencode\nX\x03\x00\x00\x00a\xc3\xbfX\x06\x00\x00\x00latin1\x86R.", Text("a\xff")},
		"buffer, protocol 5": {"\x80\x05\x8c\x13numpy._core.numeric\x8c\x0b_frombuffer\x93(C\x02ab" + dtype + "K\x02\x85\x8c\x01Ct\x52.", &Array{Shape: []int{2}, Data: []byte("ab")}},
	} {
		got, err := Decode([]byte(c.pickle))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestRefuse(t *testing.T) {
	array := "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
	for name, c := range map[string]struct{ pickle, want string }{
		"a function":      {"cos\nsystem\n(U\x02lstR.", `byte 0: names "os.system"`},
		"on the stack":    {"\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"},
		"class instance":  {"(ios\nsystem\n.", "instruction"},
		"extension":       {"\x82\x01.", "instruction"},
		"calls a string":  {"U\x01aU\x01b\x85R.", "calls"},
		"fills in a list": {"]Nb.", "not an array"},
		"empty":           {"", "truncated"},
		"no STOP":         {"\x80\x02}", "truncated"},
		"long string":     {"T\xff\xff\xff\x7fabc", "truncated"},
		"longer string":   {"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc", "truncated"},
		"protocol 6":      {"\x80\x06N.", "protocol 6"},
		"underflow":       {"\x86.", "needs 2 values"},
		"open list":       {"(.", "open list"},
		"no mark":         {"K\x01t.", "no mark"},
		"mark as a value": {"]((e.", "adds items"},
		"nothing stored":  {"h\x00.", "value 0"},
		"odd dictionary":  {"}(U\x01au.", "does not take"},
		"number as key":   {"}K\x01K\x01s.", "dictionary key"},
		"array of floats": {array + "K\x01\x85cnumpy\ndtype\nU\x02f4\x85R\x89U\x04abcdtb.", "unsigned bytes"},
		"shape over data": {array + "K\x09\x85cnumpy\ndtype\nU\x02u1\x85R\x89U\x04abcdtb.", "expected 9"},
		"shape overflows": {array + "(J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7ftcnumpy\ndtype\nU\x02u1\x85R\x89U\x04abcdtb.", "size"},
		"negative size":   {array + "J\xff\xff\xff\xff\x85cnumpy\ndtype\nU\x02u1\x85R\x89U\x04abcdtb.", "size -1"},
		"beyond Latin-1":  {"c_codecs\nencode\nX\x02\x00\x00\x00\xc4\x80X\x06\x00\x00\x00latin1\x86R.", "Latin-1"},
		"too many values": {"N" + strings.Repeat("(1", maxValues) + ".", "more than"},
		"the same again":  {"c_codecs\nencode\nX\x64\x00\x00\x00" + strings.Repeat("a", 100) + "X\x06\x00\x00\x00latin1\x86q\x000" + strings.Repeat("c_codecs\nencode\nh\x00R0", 20), "converts more text"},
	} {
		_, err := Decode([]byte(c.pickle))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an *Error with %q", name, err, c.want)
		}
	}
}

// FuzzDecode checks that arrays are what their shapes say and that errors have
// a place in the input.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x80\x02}U\x01aK\x01s(U\x01bK\x02u."))
	f.Add([]byte("cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x04\x85cnumpy\ndtype\nU\x02u1\x85R\x89U\x04abcdtb."))
	f.Add([]byte("c_codecs\nencode\nX\x03\x00\x00\x00a\xc3\xbfX\x06\x00\x00\x00latin1\x86R."))
	f.Fuzz(func(t *testing.T, data []byte) {
		value, err := Decode(data)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(data) {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		if a, ok := value.(*Array); ok && a.Shape != nil {
			n := 1
			for _, s := range a.Shape {
				n *= s
			}
			if n != len(a.Data) || n > len(data) {
				t.Fatalf("shape %v, %d bytes, from %d", a.Shape, len(a.Data), len(data))
			}
		}
	})
}
