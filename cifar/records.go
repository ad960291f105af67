package cifar

import (
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/modeldoctor/modeldoctor/cifar/internal/pickle"
	"github.com/modeldoctor/modeldoctor/dataset"
)

const (
	edge       = 32          // pixels
	planeBytes = edge * edge // one channel of an image
	imageBytes = 3 * planeBytes
)

// records are images in memory. It implements [dataset.Set].
type records struct {
	name    string
	classes []string
	count   int // of classes; 0: not known
	labels  []uint8
	pixels  []byte // imageBytes each: red, green, blue plane, row by row
}

func (r *records) Name() string      { return r.name }
func (r *records) Len() int          { return len(r.labels) }
func (r *records) Label(i int) int   { return int(r.labels[i]) }
func (r *records) Classes() []string { return r.classes }

// ClassCount is that of the data set, of which a set may lack some.
func (r *records) ClassCount() int {
	if r.count > 0 {
		return r.count
	}
	return int(slices.Max(r.labels)) + 1
}

// Image never fails.
func (r *records) Image(i int) (image.Image, error) {
	planes := r.pixels[i*imageBytes : (i+1)*imageBytes]
	img := image.NewNRGBA(image.Rect(0, 0, edge, edge))
	for j := range planeBytes {
		p := img.Pix[4*j : 4*j+4]
		p[0], p[1], p[2], p[3] = planes[j], planes[planeBytes+j], planes[2*planeBytes+j], 255
	}
	return img, nil
}

// add appends other's records, or takes them over if there are none yet.
func (r *records) add(other *records) {
	if r.Len() == 0 {
		r.labels, r.pixels = other.labels, other.pixels
		return
	}
	r.labels = append(r.labels, other.labels...)
	r.pixels = append(r.pixels, other.pixels...)
}

// binaryRecord is the size of a record in the binary form, in bytes: the label,
// in CIFAR-100 after the coarse label, and the pixels.
func binaryRecord(classes int) int64 {
	if classes == 100 {
		return 2 + imageBytes
	}
	return 1 + imageBytes
}

// parseBinary reads the binary form. It overwrites data, in which the pixels
// stay.
func parseBinary(data []byte, classes int) (*records, error) {
	size := int(binaryRecord(classes))
	n := len(data) / size
	if rest := len(data) % size; rest != 0 || n == 0 {
		return nil, fmt.Errorf("partial record at byte %d: %d bytes, expected %d (the file has %d whole records)", n*size, rest, size, n)
	}
	r := &records{labels: make([]uint8, n)}
	for i := range n {
		record := data[i*size : (i+1)*size]
		label := record[size-imageBytes-1]
		if int(label) >= classes {
			return nil, fmt.Errorf("record %d has label %d at byte %d: expected 0 to %d", i, label, i*size+size-imageBytes-1, classes-1)
		}
		r.labels[i] = label
		copy(data[i*imageBytes:], record[size-imageBytes:])
	}
	r.pixels = data[:n*imageBytes]
	return r, nil
}

// parsePython reads the Python form: a pickled dictionary with the pixels under
// "data" and the labels under "fine_labels" (100 classes) or "labels" (10). With
// classes 0 the keys decide which.
func parsePython(data []byte, classes int) (*records, error) {
	dict, err := decodeDict(data)
	if err != nil {
		return nil, err
	}
	if _, fine := dict["fine_labels"]; classes == 0 && fine {
		classes = 100
	} else if classes == 0 {
		classes = 10
	}
	key := "labels"
	if classes == 100 {
		key = "fine_labels"
	}
	array, ok := dict["data"].(*pickle.Array)
	if !ok {
		return nil, errors.New(`no array under "data"`)
	}
	r := &records{}
	if r.labels, err = pythonLabels(dict[key], classes); err != nil {
		return nil, fmt.Errorf("%q: %w", key, err)
	}
	if n := len(r.labels); n == 0 || len(array.Shape) < 2 || array.Shape[0] != n || len(array.Data) != n*imageBytes {
		return nil, fmt.Errorf("array of shape %v for %d labels: expected %d images of %d bytes", array.Shape, n, n, imageBytes)
	}
	r.pixels = array.Data
	if array.Fortran {
		if len(array.Shape) != 2 {
			return nil, fmt.Errorf("array of shape %v in Fortran order: expected 2 dimensions", array.Shape)
		}
		r.pixels = transpose(array.Data, array.Shape[0], array.Shape[1])
	}
	return r, nil
}

func decodeDict(data []byte) (pickle.Dict, error) {
	value, err := pickle.Decode(data)
	if err != nil {
		return nil, err
	}
	dict, ok := value.(pickle.Dict)
	if !ok {
		return nil, errors.New("the pickle is not a dictionary")
	}
	return dict, nil
}

// pythonLabels reads a list or an array of labels.
func pythonLabels(value any, classes int) ([]uint8, error) {
	var labels []uint8
	switch v := value.(type) {
	case *pickle.List:
		labels = make([]uint8, len(v.Items))
		for i, item := range v.Items {
			label, ok := item.(int64)
			if !ok || label < 0 || label >= int64(classes) {
				return nil, fmt.Errorf("label %v of record %d: expected 0 to %d", item, i, classes-1)
			}
			labels[i] = uint8(label)
		}
	case *pickle.Array:
		labels = slices.Clone(v.Data)
		for i, label := range labels {
			if int(label) >= classes {
				return nil, fmt.Errorf("label %d of record %d: expected 0 to %d", label, i, classes-1)
			}
		}
	default:
		return nil, errors.New("expected a list of labels")
	}
	return labels, nil
}

// transpose turns a matrix of the given shape from column after column into row
// after row.
func transpose(columns []byte, rows, width int) []byte {
	out := make([]byte, len(columns))
	for i := range rows {
		for j := range width {
			out[i*width+j] = columns[j*rows+i]
		}
	}
	return out
}

// pythonNames reads the class names from the meta file of a Python form.
func pythonNames(data []byte) ([]string, error) {
	dict, err := decodeDict(data)
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"fine_label_names", "label_names"} {
		list, ok := dict[key].(*pickle.List)
		if !ok {
			continue
		}
		names := make([]string, len(list.Items))
		for i, item := range list.Items {
			text, ok := item.(pickle.Text)
			if !ok {
				return nil, fmt.Errorf("%q: item %d is not a string", key, i)
			}
			names[i] = string(text)
		}
		return names, nil
	}
	return nil, errors.New("no list of class names in it")
}

var _ dataset.Set = (*records)(nil)
