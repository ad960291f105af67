package nn

import "github.com/modeldoctor/modeldoctor/internal/vec"

// Host is the device of the program itself: its memory is []float32, none of its
// methods fails, and sums are in order of the elements.
type Host struct {
	hostStorage
	hostArithmetic
}

var _ Device = Host{}

type hostStorage struct{}

func (hostStorage) Alloc(n int) (Memory, error)             { return make([]float32, n), nil }
func (hostStorage) Import(values []float32) (Memory, error) { return values, nil }
func (hostStorage) Free(Memory)                             {}
func (hostStorage) InPlace(m Memory) []float32              { return m.([]float32) }
func (hostStorage) Slice(m Memory, lo, hi int) Memory {
	all := m.([]float32)
	if lo == 0 && hi == len(all) {
		return m // another would be allocated
	}
	return all[lo:hi]
}

func (hostStorage) Upload(dst Memory, src []float32) error {
	copy(dst.([]float32)[:len(src)], src)
	return nil
}
func (hostStorage) UploadCoded(dst Memory, src []byte, code *Code) error {
	code.Decode(dst.([]float32)[:len(src)], src)
	return nil
}

func (hostStorage) Download(dst []float32, src Memory) error {
	copy(dst, src.([]float32)[:len(dst)])
	return nil
}

func (hostStorage) Copy(dst, src Memory) error {
	from := src.([]float32)
	copy(dst.([]float32)[:len(from)], from)
	return nil
}

func (hostStorage) Gather(dst, src Memory, rows []int, size int) error {
	to, from := dst.([]float32), src.([]float32)
	for j, row := range rows {
		copy(to[j*size:][:size], from[row*size:][:size])
	}
	return nil
}

type hostArithmetic struct{}

func (hostArithmetic) Clear(m Memory) error {
	clear(m.([]float32))
	return nil
}

func (hostArithmetic) Add(sum, x Memory) error {
	vec.Add(sum.([]float32), x.([]float32))
	return nil
}

func (hostArithmetic) Combine(dst, base Memory, c []float64, x []Memory) error {
	if len(x) == 1 {
		vec.AddScaled(dst.([]float32), base.([]float32), c[0], x[0].([]float32))
		return nil
	}
	terms := make([][]float32, len(x))
	for k := range x {
		terms[k] = x[k].([]float32)
	}
	vec.Combine(dst.([]float32), base.([]float32), c, terms)
	return nil
}

func (hostArithmetic) Scale(m Memory, c float64) error {
	vec.Scale(m.([]float32), c)
	return nil
}

func (hostArithmetic) Dot(start float64, a, b Memory) (float64, error) {
	return vec.DotFrom(start, a.([]float32), b.([]float32)), nil
}

func (hostArithmetic) SquaredDistance(start float64, a, b Memory) (float64, error) {
	return vec.SquaredDistanceFrom(start, a.([]float32), b.([]float32)), nil
}

func (hostArithmetic) SGD(w, b, sum Memory, s SGD) error {
	vec.Nesterov(w.([]float32), b.([]float32), sum.([]float32), s.Scale, s.Rate, s.Momentum, s.Decay)
	return nil
}
