package nntest

import (
	"errors"
	"fmt"

	"github.com/modeldoctor/modeldoctor/nn"
)

// ErrDevice is what a [Device] fails with.
var ErrDevice = errors.New("injected failure of the device")

// Device computes as the host does, but in memory that only it can look into, as
// that of a card: a [Block] or a part of one. It tells of its memory that is in
// use, and fails when a test wants it.
type Device struct {
	storage
	arithmetic
	*State
}

// NewDevice returns a device.
func NewDevice() Device {
	s := &State{live: map[*float32]string{}}
	return Device{storage{s}, arithmetic{s}, s}
}

// State is what a [Device] has counted.
type State struct {
	Calls  int // that may fail
	FailAt int // the call, from 1, that fails; 0: none
	live   map[*float32]string
}

// Live lists the memory that was allocated and not freed.
func (s *State) Live() []string {
	var all []string
	for _, what := range s.live {
		all = append(all, what)
	}
	return all
}

// call counts a call.
func (s *State) call() error {
	if s.Calls++; s.Calls == s.FailAt {
		return ErrDevice
	}
	return nil
}

// Block is memory of a [Device].
type Block struct{ Values []float32 }

// values looks into memory.
func values(m nn.Memory) []float32 { return m.(*Block).Values }

var host nn.Host

type storage struct{ *State }

func (s storage) Alloc(n int) (nn.Memory, error) { return s.allocate("allocated", make([]float32, n)) }

func (s storage) Import(src []float32) (nn.Memory, error) {
	return s.allocate("imported", append([]float32(nil), src...))
}

func (s storage) allocate(what string, v []float32) (nn.Memory, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	if len(v) > 0 {
		s.live[&v[0]] = fmt.Sprintf("%d elements, %s", len(v), what)
	}
	return &Block{v}, nil
}

func (s storage) Free(m nn.Memory) {
	if m == nil {
		return
	}
	v := values(m)
	if len(v) == 0 {
		return
	}
	if _, ok := s.live[&v[0]]; !ok {
		panic("nntest: memory is freed that is not in use")
	}
	delete(s.live, &v[0])
	clear(v) // what still reads it will show
}

func (storage) Slice(m nn.Memory, lo, hi int) nn.Memory { return &Block{values(m)[lo:hi]} }

func (storage) InPlace(nn.Memory) []float32 { return nil }

func (s storage) Upload(dst nn.Memory, src []float32) error {
	return errors.Join(s.call(), host.Upload(values(dst), src))
}

func (s storage) UploadCoded(dst nn.Memory, src []byte, code *nn.Code) error {
	return errors.Join(s.call(), host.UploadCoded(values(dst), src, code))
}

func (s storage) Download(dst []float32, src nn.Memory) error {
	return errors.Join(s.call(), host.Download(dst, values(src)))
}

func (s storage) Copy(dst, src nn.Memory) error {
	return errors.Join(s.call(), host.Copy(values(dst), values(src)))
}

func (s storage) Gather(dst, src nn.Memory, rows []int, size int) error {
	return errors.Join(s.call(), host.Gather(values(dst), values(src), rows, size))
}

type arithmetic struct{ *State }

func (a arithmetic) Clear(m nn.Memory) error { return errors.Join(a.call(), host.Clear(values(m))) }

func (a arithmetic) Add(sum, x nn.Memory) error {
	return errors.Join(a.call(), host.Add(values(sum), values(x)))
}

func (a arithmetic) Combine(dst, base nn.Memory, c []float64, x []nn.Memory) error {
	terms := make([]nn.Memory, len(x))
	for k := range x {
		terms[k] = values(x[k])
	}
	return errors.Join(a.call(), host.Combine(values(dst), values(base), c, terms))
}

func (a arithmetic) Scale(m nn.Memory, c float64) error {
	return errors.Join(a.call(), host.Scale(values(m), c))
}

func (a arithmetic) Dot(start float64, x, y nn.Memory) (float64, error) {
	sum, _ := host.Dot(start, values(x), values(y))
	return sum, a.call()
}

func (a arithmetic) SquaredDistance(start float64, x, y nn.Memory) (float64, error) {
	sum, _ := host.SquaredDistance(start, values(x), values(y))
	return sum, a.call()
}

func (a arithmetic) SGD(w, b, sum nn.Memory, s nn.SGD) error {
	return errors.Join(a.call(), host.SGD(values(w), values(b), values(sum), s))
}
