package dataset

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// memory is a set of labels without images, and a source with it as each split.
type memory struct {
	labels []int
	splits []string
}

func (m memory) Name() string                   { return "memory" }
func (m memory) Len() int                       { return len(m.labels) }
func (m memory) Label(i int) int                { return m.labels[i] }
func (m memory) Image(int) (image.Image, error) { return nil, errors.New("no images") }
func (m memory) Classes() []string              { return nil }
func (m memory) Splits() []string               { return m.splits }
func (m memory) Split(name string) (Set, error) {
	if !slices.Contains(m.splits, CanonicalSplit(name)) {
		return nil, UnknownSplit(m, name)
	}
	return m, nil
}

func TestSample(t *testing.T) {
	set := memory{labels: []int{1, 0, 1, 2, 0, 1, 0, 1, 2}}
	s := Sample(set, "some", 3)
	if got := Labels(s); s.Name() != "some" || !slices.Equal(got, []int{1, 0, 1}) {
		t.Errorf("%s has labels %v", s.Name(), got)
	}
}

func TestSlice(t *testing.T) {
	src := memory{labels: make([]int, 205), splits: []string{Validation, Test}}
	for _, c := range []struct {
		expr     string
		from, to int
	}{
		{"test", 0, 205},
		{"val[:]", 0, 205},
		{"test[:100]", 0, 100},
		{"test[100:205]", 100, 205},
		{"test[-5:]", 200, 205},
		{"test[-10:-5]", 195, 200},
		{"test[:10%]", 0, 20}, // 20.5, half to even
		{"test[10%:50%]", 20, 102},
		{"test[-20%:]", 164, 205},
		{"test[10:50%]", 10, 102},
	} {
		s, err := ParseSlice(c.expr)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		from, to, err := s.Range(205)
		if err != nil || from != c.from || to != c.to {
			t.Errorf("%s is [%d, %d), %v, want [%d, %d)", c.expr, from, to, err, c.from, c.to)
		}
		if set, err := s.Apply(src); err != nil || set.Len() != c.to-c.from {
			t.Errorf("%s: applied: %v, %v", c.expr, set, err)
		}
	}
	for expr, want := range map[string]string{
		"":                           "position 0",
		"[:10]":                      "position 0",
		"test[":                      "position 5",
		"test[:10":                   "position 8",
		"test[10]":                   "position 5",
		"test[:x]":                   `position 6: expected a whole number or a percentage, found "x"`,
		"test[1:2:3]":                `found "2:3"`,
		"test[:+3]":                  `found "+3"`,
		"test[:101%]":                "101%",
		"te:st[:1]":                  "position 2",
		"test[:206]":                 "205 examples",
		"test[-206:]":                "205 examples",
		"test[50:50]":                "empty",
		"train[:10]":                 "validation, test",
		"test[:9999999999999999999]": "position 6",
	} {
		s, err := ParseSlice(expr)
		if err == nil {
			_, err = s.Apply(src)
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Error()+e.Hint, want) {
			t.Errorf("%q: got %v, want an *Error with %q", expr, err, want)
		}
	}
}

func TestDisjoint(t *testing.T) {
	src := memory{labels: make([]int, 100), splits: []string{Train, Test}}
	for _, c := range []struct {
		a, b string
		ok   bool
	}{
		{"test[:50]", "test[50:]", true},
		{"test[:51]", "test[50:]", false},
		{"test", "test[-1:]", false},
		{"train", "test", true},
	} {
		a, _ := ParseSlice(c.a)
		b, _ := ParseSlice(c.b)
		if err := Disjoint(src, a, b); (err == nil) != c.ok {
			t.Errorf("%s, %s: %v", c.a, c.b, err)
		}
	}
}

func TestDivide(t *testing.T) {
	for _, c := range []struct {
		splits              []string
		validation, holdout int // lengths; 0: an error
	}{
		{[]string{Train, Test}, 3, 2},
		{[]string{Train, Validation}, 3, 2},
		{[]string{All}, 3, 2},
		{[]string{Train, Validation, Holdout}, 5, 5},
		{[]string{Train}, 0, 0},
	} {
		v, h, err := Divide(memory{labels: make([]int, 5), splits: c.splits})
		if c.validation == 0 {
			if err == nil {
				t.Errorf("%v: no error", c.splits)
			}
		} else if err != nil || v.Len() != c.validation || h.Len() != c.holdout {
			t.Errorf("%v: %v, %v, %v", c.splits, v, h, err)
		}
	}
}

func TestDrawnFrom(t *testing.T) {
	part := func(expr string, labels ...int) Set {
		slice, err := ParseSlice(expr)
		if err != nil {
			t.Fatal(err)
		}
		set, err := slice.Apply(memory{labels: labels, splits: []string{Test}})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	mixed, sorted := []int{1, 0, 1, 0, 1, 0, 1, 0}, []int{0, 0, 0, 0, 1, 1, 1, 1}
	half, _, err := Divide(memory{labels: mixed, splits: []string{Test}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set  Set
		want int
	}{
		"all":               {part("test", mixed...), 8},
		"slice":             {part("test[:4]", mixed...), 4},
		"slice of sorted":   {part("test[:4]", sorted...), 8},
		"sample":            {Sample(part("test", mixed...), "", 2), 8},
		"sample of slice":   {Sample(part("test[:4]", mixed...), "", 2), 4},
		"relabelled sample": {Sample(Relabel(part("test[:4]", mixed...), []int{1, 0}, nil), "", 2), 4},
		"half":              {half, 8},
		"without one":       {Without(half, []BadImage{{Index: 1}}), 8},
	} {
		if got := DrawnFrom(c.set); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestCheckLabels(t *testing.T) {
	set := memory{labels: []int{0, 9, 10}}
	if err := CheckLabels(set, 11); err != nil {
		t.Error(err)
	}
	if err := CheckLabels(set, 10); err == nil || !strings.Contains(err.Error(), "example 2 has label 10") {
		t.Errorf("got %v", err)
	}
	if err := CheckLabels(memory{}, 10); err == nil {
		t.Error("an empty set passed")
	}
}

// tree writes files; a name that ends in .png gets an image whose first pixel's
// red value is its content's length.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(name) == ".png" && content != "broken" {
			img := picture(2, 2)
			img.Pix[0] = uint8(len(content))
			err = png.Encode(f, img)
		} else {
			_, err = f.WriteString(content)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// describe lists a set as "class red-value" of each example.
func describe(t *testing.T, s Set) (list []string) {
	t.Helper()
	for i := range s.Len() {
		img, err := s.Image(i)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s.Classes()[s.Label(i)]+" "+strings.Repeat("*", int(toPixels(img).rgb[0])))
	}
	return list
}

func TestFolder(t *testing.T) {
	dir := tree(t, map[string]string{
		"training/train/b.png":  "**", // a class called train
		"training/cat/a.png":    "***",
		"training/cat/z/a.PNG":  "", // copied below
		"training/cat/b.png":    "*",
		"training/cat/notes.md": "not an image",
		"training/zebra/a.png":  "****",
		"val/zebra/a.png":       "*****",
		"val/cat/.hidden.png":   "*",
		"val/cat/a.png":         "******",
		"README.md":             "",
	})
	data, err := os.ReadFile(filepath.Join(dir, "val/zebra/a.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "training/cat/z/a.PNG"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := src.Splits(); !slices.Equal(got, []string{Train, Validation}) {
		t.Fatalf("splits %v", got)
	}
	for split, want := range map[string][]string{
		"train": {"cat ***", "cat *", "cat *****", "train **", "zebra ****"},
		"valid": {"cat ******", "zebra *****"},
	} {
		set, err := src.Split(split)
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(t, set); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", split, got, want)
		}
	}
	val, err := src.Split(Validation)
	if err != nil {
		t.Fatal(err)
	}
	if val.Label(1) != 2 {
		t.Errorf("label %d of zebra without the class train, want the training split's 2", val.Label(1))
	}
	some := Relabel(Subset(val, "some", []int{1}), []int{2, 1, 0}, val.Classes())
	if got, want := Where(some, 0), filepath.Join(dir, "val", "zebra", "a.png"); got != want {
		t.Errorf("the example comes from %s, want %s", got, want)
	}

	bare, err := Open(filepath.Join(dir, "training"))
	if err != nil {
		t.Fatal(err)
	}
	if got := bare.Splits(); !slices.Equal(got, []string{All}) {
		t.Errorf("bare folder of classes: splits %v", got)
	}
}

func TestBadFolder(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"empty":           {nil, "no class folders"},
		"class empty":     {map[string]string{"cat/": "", "dog/a.png": "*"}, "cat: class folder without images"},
		"undecodable":     {map[string]string{"cat/a.png": "broken"}, "a.png: cannot use the image: a text file"},
		"other format":    {map[string]string{"cat/a.png": "*", "cat/b.heic": ""}, "b.heic: an image in a format"},
		"extra class":     {map[string]string{"train/cat/a.png": "*", "test/cat/a.png": "*", "test/dog/a.png": "*"}, "dog: a class that"},
		"two validations": {map[string]string{"val/cat/a.png": "*", "valid/cat/a.png": "*"}, "two folders"},
		"bomb":            {map[string]string{"cat/a.jpg": bomb()}, "65500×65500"},
	} {
		dir := tree(t, c.files)
		src, err := Open(dir)
		if err == nil {
			var set Set
			if set, err = src.Split(src.Splits()[0]); err == nil {
				_, err = set.Image(0)
			}
		}
		var e *Error
		if !errors.As(err, &e) || e.Hint == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an *Error with %q and a hint", name, err, c.want)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "absent"), os.Args[0]} {
		var e *Error
		if _, err := Open(path); !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: got %v, want an *Error", path, err)
		}
	}
}

// bomb returns the header of a PNG file of 65,500×65,500 pixels.
func bomb() string {
	header := []byte("IHDR\x00\x00\xff\xdc\x00\x00\xff\xdc\x08\x02\x00\x00\x00")
	crc := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(header))
	return "\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + string(header) + string(crc)
}
