//go:build gpu && linux && cgo

package driver

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// addTest is a product with what is added to it, of which C's rows are longer than they need be.
type addTest struct {
	d              *Device
	p              Precision
	transA, transB bool
	bias, residual bool
	half           bool // the result is bfloat16, and what is added to it
	skip           int  // numbers before the bias, which it is less aligned for
}

const addRows, addColumns, addInner, addPad = 5, 12, 7, 4

// run multiplies, and compares the result if there is one.
func (k addTest) run(t *testing.T) (done bool, err error) {
	t.Helper()
	const m, n, inner = addRows, addColumns, addInner
	r := rand.New(rand.NewPCG(5, 6))
	const lead = n + addPad // of all, whichever way they are stored
	a, b, residual, bias := random(r, lead*n), random(r, lead*n), random(r, lead*m), random(r, n)
	var pa, pb Ptr
	if k.p == BF16 {
		pa, pb = uploadBytes(t, k.d, Bytes(bfloat16(a))), uploadBytes(t, k.d, Bytes(bfloat16(b)))
	} else {
		pa, pb = upload(t, k.d, a), upload(t, k.d, b)
	}
	c := make([]float32, m*lead)
	for i := range c {
		c[i] = float32(math.NaN())
	}
	result, size := func(x []float32) Ptr { return upload(t, k.d, x) }, 4
	if k.half {
		result, size = func(x []float32) Ptr { return uploadBytes(t, k.d, Bytes(bfloat16(x))) }, 2
	}
	pc, presidual := result(c), result(residual)
	skipped := append(make([]float32, k.skip), bias...)
	pbias := result(skipped) + Ptr(size*k.skip)
	bias = skipped[k.skip:] // rounded
	if !k.bias {
		pbias = 0
	}
	if !k.residual {
		presidual = 0
	}
	done, err = k.d.GemmAdd(k.p, m, n, inner, Matrix{Data: pa, Lead: lead, Trans: k.transA, BFloat16: k.p == BF16},
		Matrix{Data: pb, Lead: lead, Trans: k.transB, BFloat16: k.p == BF16}, pbias, presidual, Matrix{Data: pc, Lead: lead, BFloat16: k.half})
	if !done || err != nil {
		return done, err
	}
	product(m, n, inner, 1, a, lead, k.transA, b, lead, k.transB, 0, c, lead)
	var got []float32
	tolerance := 4e-6
	switch {
	case k.half:
		got, tolerance = downloadBFloat16(t, k.d, pc, len(c)), 3e-2 // of numbers below 8, rounded to 8 bits
	default:
		got = download(t, k.d, pc, len(c))
	}
	for i := range m {
		want := c[i*lead:][:n]
		for j := range want {
			if k.bias {
				want[j] += bias[j]
			}
			if k.residual {
				want[j] += residual[i*lead+j]
			}
		}
		if k.p == TF32 {
			tolerance = 8e-3 // two factors of 10 bits, 7 terms below 1
		}
		compare(t, got[i*lead:][:n], want, tolerance)
		for _, v := range got[i*lead+n:][:addPad] {
			if v == v {
				t.Fatal("written beside the result")
			}
		}
	}
	return done, nil
}

// Every way to lay the factors out and to add, twice: the second time with the algorithm of the first.
func TestGemmAdd(t *testing.T) {
	d := openDevice(t)
	for _, p := range []Precision{FP32, TF32, BF16} {
		for way := range 32 {
			k := addTest{d, p, way&1 != 0, way&2 != 0, way&4 != 0, way&8 != 0, way&16 != 0, 0}
			if k.half && p != BF16 {
				continue
			}
			t.Run(fmt.Sprintf("%v,transA=%v,transB=%v,bias=%v,residual=%v,half=%v", p, k.transA, k.transB, k.bias, k.residual, k.half), func(t *testing.T) {
				for range 2 {
					done, err := k.run(t)
					if err != nil {
						t.Fatal(err)
					}
					if !done {
						t.Skip("this cuBLASLt has no such product")
					}
				}
			})
		}
	}
}

// C may be what is added to it.
func TestGemmAddInPlace(t *testing.T) {
	d := openDevice(t)
	r := rand.New(rand.NewPCG(7, 8))
	const m, n, k = 4, 8, 16
	a, b, c := random(r, m*k), random(r, k*n), random(r, m*n)
	pc := upload(t, d, c)
	done, err := d.GemmAdd(FP32, m, n, k, Matrix{Data: upload(t, d, a), Lead: k}, Matrix{Data: upload(t, d, b), Lead: n}, 0, pc, Matrix{Data: pc, Lead: n})
	do(t, err)
	if !done {
		t.Skip("this cuBLASLt has no such product")
	}
	product(m, n, k, 1, a, k, false, b, n, false, 1, c, n)
	compare(t, download(t, d, pc, len(c)), c, 4e-6)
}

// What cuBLASLt cannot compute, or where there is none, is the caller's to compute otherwise; what fails is named.
func TestGemmAddIsNotThere(t *testing.T) {
	useFakes(t)
	for _, c := range []struct {
		name, status string
		alone        bool // without a cuBLASLt
		skip         int
		done         bool
		want         string
	}{
		{name: "as it should be", done: true},
		{name: "no library", alone: true},
		{name: "not aligned", skip: 1},
		{name: "not supported after all", status: "15"},
		{name: "fails", status: "13", want: "bf16 product, 1 of 5×7 by 7×12: cublasLtMatmul: cuBLAS error (13)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.alone {
				dir := compiledFakes(t)
				setLibraries(t, filepath.Join(dir, "libcuda.so"), filepath.Join(dir, "libcublas-alone.so"))
			}
			t.Setenv("FAKE_CUBLASLT_FAIL", c.status)
			k := addTest{d: openDevice(t), p: BF16, bias: true, residual: true, skip: c.skip}
			for range 2 {
				done, err := k.run(t)
				if done != c.done || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("done %v, error %v; want %v, %q", done, err, c.done, c.want)
				}
			}
		})
	}
}

// The algorithm is asked for once.
func TestGemmAddAsksOnce(t *testing.T) {
	useFakes(t)
	k := addTest{d: openDevice(t), p: TF32, bias: true}
	for range 2 {
		if done, err := k.run(t); !done || err != nil {
			t.Fatalf("done %v, error %v", done, err)
		}
		t.Setenv("FAKE_CUBLASLT_NONE", "1")
	}
	k.residual = true // another product
	if done, err := k.run(t); done || err != nil {
		t.Errorf("without an algorithm: done %v, error %v", done, err)
	}
}

func TestGemmAddSizes(t *testing.T) {
	d := openDevice(t)
	p := alloc(t, d, 64)
	m := Matrix{Data: p, Lead: 4}
	for _, size := range [][3]int{{0, 4, 4}, {4, 0, 4}, {4, 4, 0}} {
		if done, err := d.GemmAdd(FP32, size[0], size[1], size[2], m, m, 0, 0, m); done || err != nil {
			t.Errorf("%v: done %v, error %v", size, done, err)
		}
	}
	if _, err := d.GemmAdd(FP32, 1<<31, 4, 4, m, m, 0, 0, m); err == nil {
		t.Error("2³¹ rows are taken")
	}
}
