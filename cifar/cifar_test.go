package cifar

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// pixel is byte j of image i of every set that these tests and
// testdata/python.py write.
func pixel(i, j int) byte { return byte((i*7 + j) % 251) }

// images returns the bytes of n images.
func images(n int) []byte {
	b := make([]byte, n*imageBytes)
	for k := range b {
		b[k] = pixel(k/imageBytes, k%imageBytes)
	}
	return b
}

// binaryFile writes records with the given labels.
func binaryFile(classes int, labels ...byte) []byte {
	var b []byte
	for i, label := range labels {
		if classes == 100 {
			b = append(b, 19) // coarse
		}
		b = append(b, label)
		b = append(b, images(len(labels))[i*imageBytes:][:imageBytes]...)
	}
	return b
}

// python2 writes a data_batch as Python 2's cPickle did, which made the
// published files.
func python2(labels ...byte) []byte {
	n := len(labels)
	b := []byte("\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x05dummyq\x03U\x06labelsq\x04]q\x05(")
	for _, l := range labels {
		b = append(b, 'K', l)
	}
	b = append(b, "eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01"...)
	b = append(b, 'K', byte(n), 'M', 0, 12)
	b = append(b, "\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(n*imageBytes))
	b = append(b, images(n)...)
	return append(b, "tbu."...)
}

// write makes a folder of files and returns its path.
func write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// targz makes an archive.
func targz(t *testing.T, headers []tar.Header, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// labels opens a split, checks its images and returns its labels.
func labels(t *testing.T, path, split string, ramps ...int) []int {
	t.Helper()
	if !Detect(path) {
		t.Errorf("%s is not detected", path)
	}
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	set, err := src.Split(split)
	if err != nil {
		t.Fatal(err)
	}
	if len(ramps) != set.Len() {
		t.Fatalf("%d examples, want %d", set.Len(), len(ramps))
	}
	for i := range set.Len() {
		img, err := set.Image(i)
		if err != nil {
			t.Fatal(err)
		}
		// x = 3, y = 2
		got := img.(*image.NRGBA).NRGBAAt(3, 2)
		if j := 2*edge + 3; got.R != pixel(ramps[i], j) || got.G != pixel(ramps[i], 1024+j) || got.B != pixel(ramps[i], 2048+j) || got.A != 255 {
			t.Errorf("image %d: pixel %v", i, got)
		}
	}
	return dataset.Labels(set)
}

func TestForms(t *testing.T) {
	c100 := map[string][]byte{
		"train.bin":            binaryFile(100, 99, 0, 50),
		"test.bin":             binaryFile(100, 1, 2),
		"fine_label_names.txt": []byte(strings.Repeat("name\n", 100) + "\n"),
	}
	c10 := map[string][]byte{
		"cifar-10-batches-bin/data_batch_1.bin": binaryFile(10, 9, 8),
		"cifar-10-batches-bin/data_batch_2.bin": binaryFile(10, 7),
		"cifar-10-batches-bin/test_batch.bin":   binaryFile(10, 1),
	}
	py2 := map[string][]byte{"data_batch_1": python2(3, 1), "data_batch_2": python2(4), "test_batch": python2(2)}
	dir100, dir10, dirPy := write(t, c100), write(t, c10), write(t, py2)
	loose := write(t, map[string][]byte{
		"mine.bin": binaryFile(100, 42), "ten.bin": binaryFile(10, 4), "batch.p": python2(5),
		"x.tar.gz": targz(t, []tar.Header{{Name: "deep/../../../test.bin"}, {Name: "other/._test.bin"}}, binaryFile(100, 6, 7)),
	})
	for _, c := range []struct {
		path, split string
		ramps, want []int
	}{
		{dir100, "train", []int{0, 1, 2}, []int{99, 0, 50}},
		{dir100, "test", []int{0, 1}, []int{1, 2}},
		{filepath.Join(dir100, "test.bin"), "test", []int{0, 1}, []int{1, 2}},
		{dir10, "train", []int{0, 1, 0}, []int{9, 8, 7}},
		{filepath.Join(dir10, "cifar-10-batches-bin"), "test", []int{0}, []int{1}},
		{dirPy, "train", []int{0, 1, 0}, []int{3, 1, 4}},
		{filepath.Join(dirPy, "test_batch"), "test", []int{0}, []int{2}},
		{filepath.Join(loose, "mine.bin"), "all", []int{0}, []int{42}},
		{filepath.Join(loose, "ten.bin"), "all", []int{0}, []int{4}},
		{filepath.Join(loose, "batch.p"), "all", []int{0}, []int{5}},
		{filepath.Join(loose, "x.tar.gz"), "test", []int{0, 1}, []int{6, 7}},
		{"testdata/cifar-100-python.tar.gz", "train", []int{0, 1, 2}, []int{99, 98, 97}},
		{"testdata/cifar-100-python.tar.gz", "test", []int{0, 1}, []int{99, 98}},
		{"testdata/cifar-10-python.tar.gz", "train", []int{0, 1, 0}, []int{0, 1, 0}},
		{"testdata/cifar-10-python.tar.gz", "test", []int{0, 1, 2}, []int{0, 1, 2}},
	} {
		t.Run(filepath.Base(c.path)+" "+c.split, func(t *testing.T) {
			if got := labels(t, c.path, c.split, c.ramps...); !slices.Equal(got, c.want) {
				t.Errorf("labels %v, want %v", got, c.want)
			}
		})
	}
}

func TestClassNames(t *testing.T) {
	src, err := Open("testdata/cifar-100-python.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	set, err := src.Split("test")
	if err != nil {
		t.Fatal(err)
	}
	if names := set.Classes(); len(names) != 100 || names[99] != "class_99" {
		t.Errorf("class names %q", names)
	}
	dir := write(t, map[string][]byte{"test.bin": binaryFile(100, 1), "fine_label_names.txt": []byte("cat\ndog\n")})
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "2 class names") {
		t.Errorf("got %v, want an error about the number of names", err)
	}
}

func TestBadData(t *testing.T) {
	archived := func(content []byte) []byte { return targz(t, []tar.Header{{Name: "test.bin"}}, content) }
	whole := archived(binaryFile(100, 1))
	changed := bytes.Clone(whole)
	changed[len(changed)-8]++ // of the checksum at the end
	for name, c := range map[string]struct {
		file    string
		content []byte
		want    string
	}{
		"partial record":   {"test.bin", binaryFile(100, 1, 2)[:3074+1000], "partial record at byte 3074: 1000 bytes, expected 3074 (the file has 1 whole records)"},
		"empty":            {"test.bin", nil, "partial record at byte 0"},
		"label":            {"test.bin", binaryFile(100, 1, 100), "record 1 has label 100 at byte 3075"},
		"CIFAR-10 label":   {"test_batch.bin", binaryFile(10, 10), "record 0 has label 10 at byte 0"},
		"LFS pointer":      {"test.bin", []byte("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"},
		"pickled label":    {"test_batch", python2(1, 10), "label 10 of record 1"},
		"truncated pickle": {"test_batch", python2(1)[:500], "truncated"},
		"code":             {"test_batch", []byte("\x80\x02cos\nsystem\nU\x02ls\x85R."), `names "os.system", which is not part of image data; it is not run`},
		"not a dictionary": {"test_batch", []byte("\x80\x02K\x01."), "not a dictionary"},
		"missing data":     {"test_batch", []byte("\x80\x02}U\x06labels]s."), `no array under "data"`},
		"too few labels":   {"test_batch", bytes.Replace(python2(1, 1), []byte("(K\x01K\x01e"), []byte("(K\x01e"), 1), "array of shape [2 3072] for 1 labels"},
		"cut archive":      {"x.tar.gz", whole[:len(whole)/2], "unexpected EOF"},
		"changed archive":  {"x.tar.gz", changed, "checksum"},
		"other archive":    {"x.tar.gz", targz(t, []tar.Header{{Name: "README"}}, nil), "not CIFAR data"},
		"link in archive":  {"x.tar.gz", targz(t, []tar.Header{{Name: "test.bin", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}, nil), "not CIFAR data"},
		"archived partial": {"x.tar.gz", archived([]byte("abc")), "x.tar.gz: test.bin: cannot read the data: partial record"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(write(t, map[string][]byte{c.file: c.content}), c.file)
			src, err := Open(path)
			if err == nil {
				_, err = src.Split("test")
			}
			var e *dataset.Error
			if !errors.As(err, &e) || e.Hint == "" || !strings.Contains(e.Error()+e.Hint, c.want) {
				t.Errorf("got %v, want a *dataset.Error with %q", err, c.want)
			}
		})
	}
	if dir := write(t, map[string][]byte{"train/cat/1.png": nil}); Detect(dir) {
		t.Error("a folder of class folders is taken for CIFAR")
	}
	var e *dataset.Error
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v", err)
	}
}

// endless is a reader of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestArchivesAreBounded(t *testing.T) {
	r := &limitedReader{endless{}, 1000}
	n := 0
	for p := make([]byte, 300); ; {
		k, err := r.Read(p)
		if n += k; err != nil {
			break
		}
		if n > 1000 {
			t.Fatal("read beyond the limit")
		}
	}
	if n != 900 {
		t.Errorf("read %d bytes in pieces of 300, want 900", n)
	}
}

func FuzzBinary(f *testing.F) {
	f.Add(binaryFile(100, 1, 99), true)
	f.Add(binaryFile(10, 9), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, fine bool) {
		classes := 10
		if fine {
			classes = 100
		}
		size := int(binaryRecord(classes))
		original := bytes.Clone(data)
		r, err := parseBinary(data, classes)
		if err != nil {
			return
		}
		// What was read, written again, is the file, coarse labels apart.
		if r.Len()*size != len(original) {
			t.Fatalf("%d records from %d bytes", r.Len(), len(original))
		}
		for i := range r.Len() {
			record := original[i*size:][:size]
			if r.Label(i) != int(record[size-imageBytes-1]) || !bytes.Equal(r.pixels[i*imageBytes:][:imageBytes], record[size-imageBytes:]) {
				t.Fatalf("record %d is not what the file holds", i)
			}
		}
	})
}

// FuzzArchive reads tar files, which it compresses so that what is in them is
// reached. Names of members lead nowhere, and a member is no longer than the archive.
func FuzzArchive(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"cifar-100-binary/test.bin", "../../etc/passwd", "/train"} {
		content := binaryFile(100, 6)
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}), func() error { _, err := w.Write(content); return err }()); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), true)
	f.Add(b.Bytes()[:700], true)
	f.Add([]byte{0x1f, 0x8b, 8, 0}, false)
	file := filepath.Join(f.TempDir(), "x.tar.gz")
	f.Fuzz(func(t *testing.T, data []byte, compress bool) {
		written := data
		if compress {
			var packed bytes.Buffer
			z, err := gzip.NewWriterLevel(&packed, gzip.HuffmanOnly)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := z.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			written = packed.Bytes()
		}
		if err := os.WriteFile(file, written, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := openArchive(file)
		if err != nil {
			return
		}
		for _, name := range a.members {
			if strings.Contains(name, "/") && name != "/" {
				t.Fatalf("a member is called %q", name)
			}
		}
		contents, err := a.read(a.members)
		if err != nil {
			return
		}
		for i, c := range contents {
			if compress && len(c) > len(data) {
				t.Fatalf("%q has %d bytes in an archive of %d", a.members[i], len(c), len(data))
			}
		}
	})
}

func FuzzPython(f *testing.F) {
	f.Add(python2(1, 2))
	f.Add([]byte("\x80\x02}U\x06labels]s."))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parsePython(data, 0)
		if err == nil && (r.Len() == 0 || len(r.pixels) != r.Len()*imageBytes) {
			t.Fatal(fmt.Sprint(r.Len(), " labels for ", len(r.pixels), " bytes"))
		}
	})
}

// TestStrayNames: the size of the records tells CIFAR-10 from CIFAR-100, whatever
// the files are called and whatever names lie beside them.
func TestStrayNames(t *testing.T) {
	fine := []byte(strings.Repeat("x\n", 100))
	for name, files := range map[string]map[string][]byte{
		"batches":                 {"test_batch.bin": binaryFile(10, 3, 9), "fine_label_names.txt": fine},
		"called like CIFAR-100's": {"test.bin": binaryFile(10, 3, 9), "fine_label_names.txt": fine},
	} {
		dir := t.TempDir()
		for file, data := range files {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for file := range files {
			path := filepath.Join(dir, file)
			if filepath.Ext(file) == ".txt" {
				path = dir
			}
			src, err := Open(path)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set, err := src.Split("test")
			if err != nil || set.Len() != 2 || set.Label(1) != 9 || set.Classes() != nil || dataset.ClassCount(set) != 10 {
				t.Errorf("%s: %+v, %v", name, set, err)
			}
		}
	}
}
