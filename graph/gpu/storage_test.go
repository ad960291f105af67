//go:build gpu && linux && cgo

package gpu_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// TestVectors: the device's storage and arithmetic against the host's.
func TestVectors(t *testing.T) {
	d := testdevice.Open(t, gpu.Options{Threads: 1})
	for _, n := range []int{1, 7, 6000} {
		for name, f := range map[string]func(d nn.Device, m []nn.Memory) (float64, error){
			"Clear": func(d nn.Device, m []nn.Memory) (float64, error) { return 0, d.Clear(m[0]) },
			"Add":   func(d nn.Device, m []nn.Memory) (float64, error) { return 0, d.Add(m[0], m[1]) },
			"Scale": func(d nn.Device, m []nn.Memory) (float64, error) { return 0, d.Scale(m[0], -0.3) },
			"Copy":  func(d nn.Device, m []nn.Memory) (float64, error) { return 0, d.Copy(m[0], m[1]) },
			"Copy in place": func(d nn.Device, m []nn.Memory) (float64, error) {
				return 0, d.Copy(d.Slice(m[0], 0, n-n/3), d.Slice(m[0], n/3, n))
			},
			"Copy up": func(d nn.Device, m []nn.Memory) (float64, error) {
				return 0, d.Copy(d.Slice(m[0], n/3, n), d.Slice(m[0], 0, n-n/3))
			},
			"Dot":             func(d nn.Device, m []nn.Memory) (float64, error) { return d.Dot(1.5, m[0], m[1]) },
			"SquaredDistance": func(d nn.Device, m []nn.Memory) (float64, error) { return d.SquaredDistance(2.5, m[0], m[1]) },
			"Combine 1": func(d nn.Device, m []nn.Memory) (float64, error) {
				return 0, d.Combine(m[0], m[1], []float64{0.3}, m[2:3])
			},
			"Combine 4": func(d nn.Device, m []nn.Memory) (float64, error) {
				return 0, d.Combine(m[0], m[0], []float64{0.3, -2, 1, 0.01}, m[1:5])
			},
			"Combine 5": func(d nn.Device, m []nn.Memory) (float64, error) {
				return 0, d.Combine(m[0], m[5], []float64{0.3, -2, 1, 0.01, 4}, m[0:5])
			},
			"SGD": func(d nn.Device, m []nn.Memory) (float64, error) {
				return 0, d.SGD(m[0], m[1], m[2], nn.SGD{Scale: 0.1, Rate: 0.2, Momentum: 0.9, Decay: 0.01})
			},
			"Gather": func(d nn.Device, m []nn.Memory) (float64, error) {
				return 0, d.Gather(m[0], m[1], []int{n - 1, 0, n / 2}[:min(n, 3)], 1)
			},
			"UploadCoded": func(d nn.Device, m []nn.Memory) (float64, error) {
				return 0, d.UploadCoded(m[0], letters(n-n%3, 1), code(3, 1))
			},
			"UploadCoded planes": func(d nn.Device, m []nn.Memory) (float64, error) {
				return 0, d.UploadCoded(m[0], letters(n-n%14, 2), code(2, 7))
			},
			"Alloc": func(d nn.Device, m []nn.Memory) (float64, error) {
				zero, err := d.Alloc(n)
				if err != nil {
					return 0, err
				}
				defer d.Free(zero)
				return 0, d.Copy(m[0], zero)
			},
		} {
			result := func(d nn.Device) (values [6][]float32, scalar float64) {
				var m []nn.Memory
				for i := range values {
					values[i] = append([]float32{}, op.Elem[float32](normal(i+1, n))[i*n:]...)
					piece, err := d.Import(values[i])
					if err != nil {
						t.Fatal(err)
					}
					defer d.Free(piece)
					m = append(m, piece)
				}
				scalar, err := f(d, m)
				if err != nil {
					t.Fatal(err)
				}
				for i := range values {
					if err := d.Download(values[i], m[i]); err != nil {
						t.Fatal(err)
					}
				}
				return values, scalar
			}
			want, wantScalar := result(nn.Host{})
			got, scalar := result(d)
			if math.Abs(scalar-wantScalar) > 1e-6*max(1, math.Abs(wantScalar)) {
				t.Errorf("%s of %d: %v, want %v", name, n, scalar, wantScalar)
			}
			for k := range want {
				for i, w := range want[k] {
					if math.Abs(float64(got[k][i]-w)) > 1e-6*max(1, math.Abs(float64(w))) {
						t.Fatalf("%s of %d: element %d of memory %d is %v, want %v", name, n, i, k, got[k][i], w)
					}
				}
			}
		}
	}
}

// letters are n bytes.
func letters(n int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	some := make([]byte, n)
	for i := range some {
		some[i] = byte(random.IntN(256))
	}
	return some
}

// code has another value for each byte of each channel.
func code(channels, run int) *nn.Code {
	c := &nn.Code{Values: make([][256]float32, channels), Run: run}
	for ch := range c.Values {
		for b := range c.Values[ch] {
			c.Values[ch][b] = float32(ch) + float32(b)/256
		}
	}
	return c
}

// TestLimit: beyond the memory that may be taken there is none, and what is given
// back can be taken again.
func TestLimit(t *testing.T) {
	d := testdevice.Open(t, gpu.Options{Threads: 1, Memory: driver.WorkspaceBytes + 1000})
	a, err := d.Alloc(200)
	if err != nil {
		t.Fatal(err)
	}
	var e *driver.Error
	if _, err := d.Alloc(51); !errors.As(err, &e) || !e.OutOfMemory() {
		t.Errorf("beyond the limit: %v", err)
	}
	d.Free(a)
	b, err := d.Alloc(250)
	if err != nil {
		t.Fatal(err)
	}
	d.Free(b)
	fake.Set(t, fake.Faults{Alloc: 1})
	if _, err := d.Alloc(1); !errors.As(err, &e) || !e.OutOfMemory() {
		t.Errorf("beyond the device's memory: %v", err)
	}
}

// TestUpload: what is uploaded in pieces, one after the other through the same pinned
// memory, arrives, and the source may be written again at once.
func TestUpload(t *testing.T) {
	d := testdevice.Open(t, gpu.Options{Threads: 1})
	source := make([]float32, 11<<20+3)
	m, err := d.Alloc(len(source))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Free(m)
	got := make([]float32, len(source))
	for round, n := range []int{len(source), 5, 1 << 14, 1<<14 + 1, 4<<20 + 1, 4 << 20, len(source) - 1} {
		for i := range source[:n] {
			source[i] = float32(i*7 + round)
		}
		if err := d.Upload(m, source[:n]); err != nil {
			t.Fatal(err)
		}
		clear(source)
		if err := d.Download(got[:n], m); err != nil {
			t.Fatal(err)
		}
		for i, x := range got[:n] {
			if x != float32(i*7+round) {
				t.Fatalf("%d elements: element %d is %v", n, i, x)
			}
		}
	}
}

// TestUploadFails: memory whose first values cannot be copied to it is given back.
func TestUploadFails(t *testing.T) {
	for lost := 1; lost <= 12; lost++ {
		d := testdevice.Open(t, gpu.Options{Threads: 1, Memory: driver.WorkspaceBytes + 1<<20})
		fake.Set(t, fake.Faults{Lost: lost})
		values := make([]float32, 1<<15)
		var err error
		for err == nil {
			var m nn.Memory
			if m, err = d.Import(values); err == nil {
				defer d.Free(m)
				_, err = d.Share(op.Array{Type: op.Type{DType: onnx.Float, Shape: []int{len(values)}}, Data: values})
			}
		}
		var e *driver.Error
		if !errors.As(err, &e) || !e.DeviceLost() {
			t.Fatalf("error %v", err)
		}
		fake.Set(t, fake.Faults{})
	}
}
