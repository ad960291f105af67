package dataset

import (
	"archive/zip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCanonicalSplit(t *testing.T) {
	for want, names := range map[string][]string{
		Train:      {"train", "Training", "training_set", "trainset", "train-set", "seg_train", "train_images", "TRAIN", "train_data", "traindata", "trn"},
		Validation: {"val", "valid", "validation", "eval", "dev", "val_set", "validation-data", "devset", "valid.images"},
		Test:       {"test", "testing", "test_set", "seg_test", "testset", "tst", "Test Set"},
	} {
		for _, name := range names {
			if got := CanonicalSplit(name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
	for _, name := range []string{"cat", "latest", "train_test", "training wheels", "set", "images", "steam train", "contest", "holdout"} {
		if got := CanonicalSplit(name); got != name {
			t.Errorf("%s is %s", name, got)
		}
	}
}

// TestLayouts finds the splits of folders as people publish them.
func TestLayouts(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string // splits and the classes of the first, or an error
	}{
		"cats and dogs":           {[]string{"training_set/cats/1.png", "training_set/dogs/1.png", "test_set/cats/2.png", "test_set/dogs/2.png"}, "train test: cats dogs"},
		"Intel's":                 {[]string{"seg_train/seg_train/sea/1.png", "seg_train/seg_train/street/1.png", "seg_test/seg_test/sea/1.png", "seg_pred/seg_pred/1.png"}, "train test: sea street"},
		"Roboflow's":              {[]string{"train/a/1.png", "valid/a/1.png", "test/a/1.png", "README.roboflow.txt"}, "train validation test: a"},
		"dev":                     {[]string{"train/a/1.png", "dev/a/1.png"}, "train validation: a"},
		"an archive's top folder": {[]string{"flowers/train/a/1.png", "flowers/val/a/1.png", "__MACOSX/flowers/._x"}, "train validation: a"},
		"two top folders":         {[]string{"x/y/train/a/1.png", "x/y/val/a/1.png"}, "train validation: a"},
		"classes below one":       {[]string{"flowers/rose/1.png", "flowers/tulip/1.png"}, "all: rose tulip"},
		"classes":                 {[]string{"rose/1.png", "tulip/1.png"}, "all: rose tulip"},
		"one class":               {[]string{"rose/1.png"}, "all: rose"},
		"classes with folders":    {[]string{"rose/red/1.png", "tulip/1.png"}, "all: rose tulip"},
		"one split":               {[]string{"val/a/1.png", "val/b/1.png"}, "validation: a b"},
		"one split of one class":  {[]string{"val/a/1.png"}, "validation: a"},
		"a class called train":    {[]string{"train/1.png", "plane/1.png"}, "all: plane train"},
		"strange splits":          {[]string{"part1/a/1.png", "part1/b/1.png", "part2/a/1.png", "part2/b/1.png"}, "error: look like splits"},
		"strange splits, deeper":  {[]string{"data/fold_0/a/1.png", "data/fold_1/a/1.png"}, "error: look like splits"},
		"two folders of a split":  {[]string{"test/a/1.png", "test_set/a/1.png"}, "error: two folders"},
		"nothing":                 {[]string{"notes.txt"}, "error: no class folders"},
	} {
		files := map[string]string{}
		for _, file := range c.files {
			files[file] = "*"
		}
		dir := tree(t, files)
		for _, path := range []string{dir, zipOf(t, dir)} {
			src, err := Open(path)
			if wanted, fails := strings.CutPrefix(c.want, "error: "); fails {
				var e *Error
				if !errors.As(err, &e) || e.Hint == "" || !strings.Contains(err.Error(), wanted) {
					t.Errorf("%s: got %v, want an error with %q and a hint", name, err, wanted)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			set, err := src.Split(src.Splits()[0])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := strings.Join(src.Splits(), " ") + ": " + strings.Join(set.Classes(), " "); got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
			if _, err := set.Image(0); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// zipOf packs a folder.
func zipOf(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	})
	if err := errors.Join(err, z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestZIPIsTheFolder: an archive has the folder's images in the same order, whatever
// order its entries have.
func TestZIPIsTheFolder(t *testing.T) {
	dir := tree(t, map[string]string{"val/b/2.png": "**", "val/b/10.png": "***", "val/a/z/1.png": "*", "val/a/9.png": "****"})
	want := describe(t, openSplit(t, dir, Validation))
	got := describe(t, openSplit(t, zipOf(t, dir), Validation))
	if !slices.Equal(got, want) || len(got) != 4 {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := Open(filepath.Join(dir, "val", "a", "9.png")); err == nil {
		t.Error("an image is a data set")
	}
	broken := filepath.Join(t.TempDir(), "x.zip")
	if err := os.WriteFile(broken, []byte("PK\x03\x04 and no more"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(broken); err == nil || !strings.Contains(err.Error(), "archive") {
		t.Errorf("a broken archive: %v", err)
	}
}

// TestSlicesOfSorted: every slice of a split that is sorted by class has the classes
// in about the shares of the whole, and slices that do not overlap share nothing.
func TestSlicesOfSorted(t *testing.T) {
	var labels []int
	sizes := []int{100, 30, 30, 240, 1}
	for class, n := range sizes {
		labels = append(labels, slices.Repeat([]int{class}, n)...)
	}
	src := memory{labels: labels, splits: []string{Validation}}
	seen := map[int]bool{}
	for _, expr := range []string{"val[:100]", "val[100:37%]", "val[37%:-50]", "val[-50:]"} {
		s, err := ParseSlice(expr)
		if err != nil {
			t.Fatal(err)
		}
		set, err := s.Apply(src)
		if err != nil {
			t.Fatal(err)
		}
		counts := make([]int, len(sizes))
		for i := range set.Len() {
			counts[set.Label(i)]++
			from := set.(*subset).index[i]
			if seen[from] {
				t.Fatalf("%s: example %d is in two slices", expr, from)
			}
			seen[from] = true
		}
		for class, n := range sizes {
			share := float64(n) * float64(set.Len()) / float64(len(labels))
			if d := float64(counts[class]) - share; d > 1.01 || d < -1.01 {
				t.Errorf("%s: %d examples of class %d, expected about %.1f", expr, counts[class], class, share)
			}
		}
	}
	if len(seen) != len(labels) {
		t.Errorf("the slices have %d of %d examples", len(seen), len(labels))
	}
	// Data that are not sorted keep their order.
	mixed := memory{labels: []int{2, 0, 1, 0, 2, 1}, splits: []string{Validation}}
	s, err := ParseSlice("val[1:4]")
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.Apply(mixed)
	if err != nil || !slices.Equal(set.(*subset).index, []int{1, 2, 3}) {
		t.Errorf("of a split in no order: %v, %v", set, err)
	}
}

// TestLinks: links to folders are followed at any depth, as torchvision does, and one
// that leads nowhere or around in a circle is an error, not an image fewer.
func TestLinks(t *testing.T) {
	files := map[string]string{"data/a/0.png": "*", "data/b/0.png": "**", "more/1.png": "***", "more/deep/2.png": "****"}
	link := func(t *testing.T, target, at string) string {
		root := tree(t, files)
		if err := os.Symlink(target, filepath.Join(root, filepath.FromSlash(at))); err != nil {
			t.Skip(err)
		}
		return filepath.Join(root, "data")
	}
	for at, want := range map[string][]string{
		"data/a/more": {"a *", "a ***", "a ****", "b **"}, "data/c": {"a *", "b **", "c ***", "c ****"},
	} {
		target := map[string]string{"data/a/more": "../../more", "data/c": "../more"}[at]
		if got := describe(t, openSplit(t, link(t, target, at), All)); !slices.Equal(got, want) {
			t.Errorf("with the link %s: %q, want %q", at, got, want)
		}
	}
	for at, c := range map[string]struct{ target, want string }{
		"data/c":      {"absent", "c: a link that leads nowhere"},
		"data/val":    {"absent", "val: a link that leads nowhere"},
		"data/a/b":    {"..", "b/a: a link to a folder that it lies in"},
		"data/a/loop": {".", "loop: a link to a folder that it lies in"},
	} {
		source, err := Open(link(t, c.target, at))
		if err == nil {
			_, err = source.Split(All)
		}
		var e *Error
		if !errors.As(err, &e) || e.Hint == "" || !strings.Contains(filepath.ToSlash(err.Error()), c.want) {
			t.Errorf("with the link %s to %s: got %v, want an *Error with %q and a hint", at, c.target, err, c.want)
		}
	}
}
