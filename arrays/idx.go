package arrays

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// idxImages are the names of IDX files of images: MNIST's, and those that derive
// from it, with a dash or a dot.
var idxImages = regexp.MustCompile(`^(?i)(.*)images([-.]idx)3(-ubyte(?:\.gz)?)$`)

// findIDX finds pairs of IDX files in a folder, or where torchvision keeps them
// below it; none where they do not lie together.
func findIDX(dir string) []split {
	for _, sub := range []string{".", "raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw"} {
		folder := filepath.Join(dir, filepath.FromSlash(sub))
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		var splits []split
		seen := map[string]bool{}
		for _, e := range entries {
			parts := idxImages.FindStringSubmatch(e.Name())
			// torchvision leaves the archive beside what it unpacked.
			if parts == nil || seen[strings.TrimSuffix(e.Name(), ".gz")] {
				continue
			}
			pair, err := pairIDX(filepath.Join(folder, e.Name()))
			if err != nil {
				continue
			}
			seen[strings.TrimSuffix(e.Name(), ".gz")] = true
			splits = append(splits, pair)
		}
		if splits != nil {
			return splits
		}
	}
	return nil
}

// pairIDX is the split that a file of images and its file of labels make up.
func pairIDX(images string) (split, error) {
	parts := idxImages.FindStringSubmatch(filepath.Base(images))
	if parts == nil {
		return split{}, errors.New("not called like MNIST's files")
	}
	name := dataset.All
	switch prefix := strings.ToLower(parts[1]); {
	case strings.Contains(prefix, "train"):
		name = dataset.Train
	case strings.Contains(prefix, "t10k"), strings.Contains(prefix, "test"):
		name = dataset.Test
	}
	labels := ""
	for _, ending := range []string{parts[3], strings.TrimSuffix(parts[3], ".gz"), parts[3] + ".gz"} {
		path := filepath.Join(filepath.Dir(images), parts[1]+"labels"+parts[2]+"1"+ending)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			labels = path
			break
		}
	}
	if labels == "" {
		return split{}, fmt.Errorf("its file of labels is missing: %slabels%s1%s", parts[1], parts[2], parts[3])
	}
	read := func(path string) func() (*array, error) {
		return func() (*array, error) {
			a, err := readIDX(path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
			}
			return a, nil
		}
	}
	return split{name: name, images: read(images), labels: read(labels), path: images}, nil
}

// isIDX reports whether a file is called like one of images.
func isIDX(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && idxImages.MatchString(filepath.Base(path))
}

func singleIDX(path string) ([]split, error) {
	pair, err := pairIDX(path)
	if err != nil {
		return nil, &dataset.Error{Path: path, Msg: "cannot open the data", Hint: "keep the files of images and of labels together, under the names they were published by", Err: err}
	}
	return []split{pair}, nil
}

// readIDX reads an IDX file of unsigned bytes, compressed or not.
func readIDX(path string) (*array, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(strings.ToLower(path), ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	const unsignedByte = 8
	if header[0] != 0 || header[1] != 0 || header[2] != unsignedByte {
		return nil, fmt.Errorf("not an IDX file of unsigned bytes: it begins with %x", header)
	}
	a := &array{shape: make([]int, header[3])}
	for i := range a.shape {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return nil, err
		}
		a.shape[i] = int(binary.BigEndian.Uint32(size[:]))
	}
	n, err := elements(a.shape)
	if err != nil {
		return nil, err
	}
	if a.bytes, err = readRest(r, n); err != nil {
		return nil, err
	}
	for _, b := range a.bytes {
		if len(a.shape) > 1 {
			break // images
		}
		a.ints = append(a.ints, int64(b))
	}
	return a, nil
}

// elements is how many numbers an array has, at most maxBytes.
func elements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > maxBytes/d {
			return 0, fmt.Errorf("an array of shape %v, more than the %d bytes allowed", shape, maxBytes)
		}
		n *= d
	}
	return n, nil
}

// readExactly reads n bytes, which are not allocated before they are there.
func readExactly(r io.Reader, n int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(data) < n {
		err = fmt.Errorf("truncated: %d bytes of data, expected %d", len(data), n)
	}
	return data, err
}

// readRest is readExactly of all that is left. It reads on to the end, where an archive
// compares its checksum.
func readRest(r io.Reader, n int) ([]byte, error) {
	data, err := readExactly(r, n)
	if err != nil {
		return nil, err
	}
	switch more, err := r.Read(make([]byte, 1)); {
	case more > 0:
		return nil, fmt.Errorf("more than the %d bytes of data that its shape has", n)
	case err != nil && err != io.EOF:
		return nil, err
	}
	return data, nil
}
