package arrays

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// idx is an IDX file of bytes of a shape.
func idx(values []byte, shape ...int) []byte {
	file := []byte{0, 0, 8, byte(len(shape))}
	for _, d := range shape {
		file = binary.BigEndian.AppendUint32(file, uint32(d))
	}
	return append(file, values...)
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// npy is an array as NumPy writes it.
func npy(descr, shape string, data []byte) []byte {
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n", descr, shape)
	file := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	return append(append(file, header...), data...)
}

func write(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

func npz(t *testing.T, arrays map[string][]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.npz")
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range arrays {
		w, err := z.Create(name + ".npy")
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// contents are "label: red green blue" of the first pixel of each example.
func contents(t *testing.T, s dataset.Set) (list []string) {
	t.Helper()
	for i := range s.Len() {
		img, err := s.Image(i)
		if err != nil {
			t.Fatal(err)
		}
		c := color.NRGBAModel.Convert(img.At(0, 0)).(color.NRGBA)
		list = append(list, fmt.Sprintf("%d: %d %d %d", s.Label(i), c.R, c.G, c.B))
	}
	return list
}

func open(t *testing.T, path, split string) dataset.Set {
	t.Helper()
	if !Detect(path) {
		t.Fatalf("%s is not recognised", path)
	}
	source, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	set, err := source.Split(split)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestIDX(t *testing.T) {
	images, labels := idx([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 2, 2, 3), idx([]byte{7, 3}, 2)
	want := []string{"7: 1 1 1", "3: 7 7 7"}
	for name, files := range map[string]map[string][]byte{
		"plain":       {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels},
		"gzip":        {"train-images-idx3-ubyte.gz": zipped(t, images), "train-labels-idx1-ubyte.gz": zipped(t, labels)},
		"both":        {"train-images-idx3-ubyte.gz": nil, "train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels, "train-labels-idx1-ubyte.gz": nil},
		"dots":        {"train-images.idx3-ubyte": images, "train-labels.idx1-ubyte": labels},
		"torchvision": {"MNIST/raw/train-images-idx3-ubyte": images, "MNIST/raw/train-labels-idx1-ubyte": labels},
		"mixed":       {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte.gz": zipped(t, labels)},
	} {
		dir := t.TempDir()
		write(t, dir, files)
		set := open(t, dir, "train")
		if got := contents(t, set); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if img, _ := set.Image(0); img.Bounds() != image.Rect(0, 0, 3, 2) || set.Classes() != nil || dataset.ClassCount(set) != 8 {
			t.Errorf("%s: an image of %v, %d classes", name, img.Bounds(), dataset.ClassCount(set))
		}
	}
	dir := t.TempDir()
	write(t, dir, map[string][]byte{"t10k-images-idx3-ubyte": images, "t10k-labels-idx1-ubyte": labels})
	if got := contents(t, open(t, filepath.Join(dir, "t10k-images-idx3-ubyte"), "test")); !slices.Equal(got, want) {
		t.Errorf("one file: %q", got)
	}
}

func TestNPZ(t *testing.T) {
	grey := npy("|u1", "(2, 1, 2)", []byte{1, 2, 3, 4})
	for name, c := range map[string]struct {
		arrays map[string][]byte
		split  string
		want   []string
	}{
		"Keras":       {map[string][]byte{"x_train": grey, "y_train": npy("|u1", "(2,)", []byte{5, 6}), "x_test": grey, "y_test": npy("|u1", "(2,)", []byte{7, 8})}, "test", []string{"7: 1 1 1", "8: 3 3 3"}},
		"MedMNIST":    {map[string][]byte{"val_images": grey, "val_labels": npy("|u1", "(2, 1)", []byte{5, 6})}, "validation", []string{"5: 1 1 1", "6: 3 3 3"}},
		"no split":    {map[string][]byte{"images": grey, "labels": npy("<i8", "(2,)", binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 9), 300))}, "all", []string{"9: 1 1 1", "300: 3 3 3"}},
		"big endian":  {map[string][]byte{"X": grey, "y": npy(">i2", "(2,)", []byte{1, 0, 0, 2})}, "all", []string{"256: 1 1 1", "2: 3 3 3"}},
		"colours":     {map[string][]byte{"x": npy("|u1", "(1, 1, 2, 3)", []byte{1, 2, 3, 4, 5, 6}), "y": npy("|u1", "(1,)", []byte{0})}, "all", []string{"0: 1 2 3"}},
		"planes":      {map[string][]byte{"x": npy("|u1", "(1, 3, 1, 2)", []byte{1, 2, 3, 4, 5, 6}), "y": npy("|u1", "(1,)", []byte{0})}, "all", []string{"0: 1 3 5"}},
		"one channel": {map[string][]byte{"x": npy("|u1", "(1, 1, 2, 1)", []byte{1, 2}), "y": npy("|u1", "(1,)", []byte{0})}, "all", []string{"0: 1 1 1"}},
	} {
		if got := contents(t, open(t, npz(t, c.arrays), c.split)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestBadArrays: what cannot be right is refused with the reason.
func TestBadArrays(t *testing.T) {
	labels := npy("|u1", "(1,)", []byte{0})
	for name, c := range map[string]struct {
		arrays map[string][]byte
		want   string
	}{
		"no pair":       {map[string][]byte{"x_train": labels}, "found x_train"},
		"floats":        {map[string][]byte{"x": npy("<f4", "(1, 1, 1)", make([]byte, 4)), "y": labels}, `"<f4"`},
		"wide integers": {map[string][]byte{"x": npy("<i4", "(1, 1, 1)", make([]byte, 4)), "y": labels}, "uint8"},
		"one-hot":       {map[string][]byte{"x": npy("|u1", "(1, 1, 1)", []byte{1}), "y": npy("|u1", "(1, 3)", []byte{0, 1, 0})}, "labels of shape [1 3]"},
		"too few":       {map[string][]byte{"x": npy("|u1", "(2, 1, 1)", []byte{1, 2}), "y": labels}, "labels of shape [1] for 2"},
		"negative":      {map[string][]byte{"x": npy("|u1", "(1, 1, 1)", []byte{1}), "y": npy("|i1", "(1,)", []byte{255})}, "label -1"},
		"truncated":     {map[string][]byte{"x": npy("|u1", "(1, 9, 9)", []byte{1}), "y": labels}, "truncated"},
		"a bomb":        {map[string][]byte{"x": npy("|u1", "(99999, 99999, 99999)", nil), "y": labels}, "allowed"},
		"channels":      {map[string][]byte{"x": npy("|u1", "(1, 2, 2, 2)", make([]byte, 8)), "y": labels}, "images of shape [1 2 2 2]"},
		"pickle":        {map[string][]byte{"x": npy("|O", "(1, 1, 1)", []byte{1}), "y": labels}, `"|O"`},
		"not an array":  {map[string][]byte{"x": []byte("hello, world"), "y": labels}, "not a NumPy array"},
		"too long":      {map[string][]byte{"x": npy("|u1", "(1, 1, 1)", []byte{1, 2}), "y": labels}, "more than the 1 bytes"},
		"Fortran":       {map[string][]byte{"x": bytes.Replace(npy("|u1", "(1, 1, 1)", []byte{1}), []byte("False"), []byte("True "), 1), "y": labels}, "Fortran"},
	} {
		source, err := Open(npz(t, c.arrays))
		if err == nil {
			_, err = source.Split("all")
		}
		var e *dataset.Error
		if !errors.As(err, &e) || e.Hint == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an *Error with %q and a hint", name, err, c.want)
		}
	}
	dir := t.TempDir()
	write(t, dir, map[string][]byte{
		"train-images-idx3-ubyte": idx([]byte{1, 2}, 2, 1, 1), "train-labels-idx1-ubyte": idx([]byte{1}, 1),
		"lonely/t10k-images-idx3-ubyte": idx(nil, 0, 1, 1), "lonely/notes.txt": nil,
	})
	source, err := Open(dir)
	if err == nil {
		_, err = source.Split("train")
	}
	if err == nil || !strings.Contains(err.Error(), "labels of shape [1] for 2") {
		t.Errorf("an image without a label: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "lonely", "t10k-images-idx3-ubyte")); err == nil || !strings.Contains(err.Error(), "labels is missing: t10k-labels-idx1-ubyte") {
		t.Errorf("images without labels: %v", err)
	}
	for _, path := range []string{filepath.Join(dir, "lonely"), filepath.Join(dir, "absent"), filepath.Join(dir, "lonely", "notes.txt")} {
		if Detect(path) {
			t.Errorf("%s is taken for arrays", path)
		}
	}
}

// TestChecksums: what an archive says of its contents is compared, though as many
// bytes are there as should be.
func TestChecksums(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.npz")
	var file bytes.Buffer
	archive := zip.NewWriter(&file)
	for name, content := range map[string][]byte{"x.npy": npy("|u1", "(1, 1, 1)", []byte{1}), "y.npy": npy("|u1", "(1,)", []byte{0})} {
		size := uint64(len(content))
		w, err := archive.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Store, CRC32: 1, CompressedSize64: size, UncompressedSize64: size})
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	pair := zipped(t, idx([]byte{1}, 1, 1, 1))
	pair[len(pair)-8]++ // of the checksum at the end
	dir := filepath.Dir(path)
	write(t, dir, map[string][]byte{"x.npz": file.Bytes(), "train-images-idx3-ubyte.gz": pair, "train-labels-idx1-ubyte.gz": zipped(t, idx([]byte{0}, 1))})
	for path, split := range map[string]string{path: "all", dir: "train"} {
		source, err := Open(path)
		if err == nil {
			_, err = source.Split(split)
		}
		if err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("%s: got %v, want an error about the checksum", path, err)
		}
	}
}
