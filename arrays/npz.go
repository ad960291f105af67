package arrays

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// openNPZ finds the arrays of images and labels in a NumPy archive.
func openNPZ(path string) ([]split, error) {
	// Closed by the garbage collector: a source lasts as long as the program.
	archive, err := zip.OpenReader(path)
	if err != nil {
		return nil, &dataset.Error{Path: path, Msg: "cannot read the .npz", Hint: "write it with numpy.savez", Err: err}
	}
	type pair struct{ images, labels *zip.File }
	pairs := map[string]*pair{}
	var names, found []string
	for _, f := range archive.File {
		key, ok := strings.CutSuffix(f.Name, ".npy")
		found = append(found, key)
		role, name := roleOf(key)
		if !ok || role == "" {
			continue
		}
		if pairs[name] == nil {
			pairs[name] = &pair{}
			names = append(names, name)
		}
		if role == "images" {
			pairs[name].images = f
		} else {
			pairs[name].labels = f
		}
	}
	var splits []split
	for _, name := range names {
		if p := pairs[name]; p.images != nil && p.labels != nil {
			splits = append(splits, split{name: name, images: entry(p.images), labels: entry(p.labels), path: path})
		}
	}
	if splits == nil {
		return nil, &dataset.Error{
			Path: path,
			Msg:  "no arrays of images and labels: found " + strings.Join(found[:min(len(found), 10)], ", "),
			Hint: "name them x_train, y_train, x_test, y_test, or train_images, train_labels and so on, or images and labels",
		}
	}
	return splits, nil
}

// entry reads an array of an archive.
func entry(f *zip.File) func() (*array, error) {
	return func() (*array, error) {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		a, err := readNPY(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		return a, nil
	}
}

// roleOf is what an array's name says that it holds, "images" or "labels", and of
// which split; "" where it is neither.
func roleOf(key string) (role, name string) {
	var rest []string
	for _, word := range strings.Split(strings.ToLower(key), "_") {
		switch {
		case slices.Contains([]string{"x", "images", "image", "imgs", "data"}, word) && role == "":
			role = "images"
		case slices.Contains([]string{"y", "labels", "label", "targets", "target"}, word) && role == "":
			role = "labels"
		default:
			rest = append(rest, word)
		}
	}
	if len(rest) == 0 {
		return role, dataset.All
	}
	return role, dataset.CanonicalSplit(strings.Join(rest, "_"))
}

// readNPY reads an array as numpy.lib.format describes it, of whole numbers, in C
// order.
func readNPY(r io.Reader) (*array, error) {
	var start [8]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return nil, err
	}
	if string(start[:6]) != "\x93NUMPY" {
		return nil, errors.New("not a NumPy array")
	}
	length := make([]byte, 2)
	if start[6] > 1 {
		length = make([]byte, 4)
	}
	if _, err := io.ReadFull(r, length); err != nil {
		return nil, err
	}
	size := int(binary.LittleEndian.Uint16(length))
	if len(length) == 4 {
		size = int(binary.LittleEndian.Uint32(length))
	}
	if size > 1<<16 {
		return nil, fmt.Errorf("a header of %d bytes", size)
	}
	header, err := readExactly(r, size)
	if err != nil {
		return nil, err
	}
	descr, shape, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	n, err := elements(shape)
	if err != nil {
		return nil, err
	}
	width := int(descr[2] - '0')
	if n > maxBytes/width {
		return nil, fmt.Errorf("an array of shape %v, more than the %d bytes allowed", shape, maxBytes)
	}
	data, err := readRest(r, n*width)
	if err != nil {
		return nil, err
	}
	a := &array{shape: shape}
	if len(shape) > 2 {
		if descr[1:] != "u1" {
			return nil, fmt.Errorf("images of type %s, expected uint8: values that were scaled or normalised cannot be told from others", descr)
		}
		a.bytes = data
		return a, nil
	}
	a.ints = make([]int64, n)
	var order binary.ByteOrder = binary.LittleEndian
	if descr[0] == '>' {
		order = binary.BigEndian
	}
	for i := range a.ints {
		a.ints[i] = wholeNumber(data[i*width:(i+1)*width], order, descr[1] == 'i')
	}
	return a, nil
}

// parseHeader reads type and shape out of a header: a dict as Python prints it.
func parseHeader(header []byte) (descr string, shape []int, err error) {
	v, err := dataset.ParseLiteral(header)
	if err != nil {
		return "", nil, err
	}
	dict, _ := v.(map[string]any)
	descr, _ = dict["descr"].(string)
	dims, ok := dict["shape"].([]any)
	if !ok {
		return "", nil, errors.New("a header without a shape")
	}
	for _, d := range dims {
		n, ok := d.(float64)
		if !ok || n != float64(int(n)) {
			return "", nil, fmt.Errorf("a shape of %v", dims)
		}
		shape = append(shape, int(n))
	}
	if dict["fortran_order"] == true && len(shape) > 1 {
		return "", nil, errors.New("an array in Fortran order: save numpy.ascontiguousarray of it")
	}
	if len(descr) != 3 || !strings.Contains("|<>=", descr[:1]) || !strings.Contains("iu", descr[1:2]) || !strings.Contains("1248", descr[2:]) {
		return "", nil, fmt.Errorf("numbers of type %q, expected whole numbers", descr)
	}
	return descr, shape, nil
}

// wholeNumber reads an integer of 1, 2, 4 or 8 bytes.
func wholeNumber(data []byte, order binary.ByteOrder, signed bool) int64 {
	switch {
	case len(data) == 1 && signed:
		return int64(int8(data[0]))
	case len(data) == 1:
		return int64(data[0])
	case len(data) == 2 && signed:
		return int64(int16(order.Uint16(data)))
	case len(data) == 2:
		return int64(order.Uint16(data))
	case len(data) == 4 && signed:
		return int64(int32(order.Uint32(data)))
	case len(data) == 4:
		return int64(order.Uint32(data))
	}
	return int64(order.Uint64(data))
}
