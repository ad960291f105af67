package kernel

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// bitsInput draws operands that are the same on every machine: in binary fixed point, which no
// instruction rounds.
func bitsInput() rowInput[float32] {
	const rows, d = 333, 130
	rng := rand.New(rand.NewPCG(15, 16))
	draw := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.IntN(1<<20)-1<<19) / (1 << 17) // from -4 to 4
		}
		return x
	}
	return rowInput[float32]{draw(rows * d), draw(rows * d), draw(d), draw(d), rows, d}
}

// bitsOf computes a result of each kernel.
func bitsOf(c *Context, in rowInput[float32]) map[string][]float32 {
	rows, d := in.rows, in.d
	m := map[string][]float32{}
	for _, k := range rowKernels {
		m[k.name] = make([]float32, k.rows(in)*d)
		k.f32(c, in, m[k.name])
	}
	for _, k := range unaryKernels {
		m[k.name] = make([]float32, rows*d)
		k.f32(c, in.x, m[k.name])
	}
	for _, k := range binaryKernels {
		m[k.name] = make([]float32, rows*d)
		k.f32(c, in.x, in.dy, m[k.name])
	}
	m["Axpy"] = slices.Clone(in.x)
	Axpy(c, 0.3, in.dy, m["Axpy"])
	m["Gemm NN"] = make([]float32, rows*70)
	Gemm(c, false, false, rows, 70, d, 0.7, in.x, d, in.dy, 70, 0, m["Gemm NN"], 70)
	m["Gemm TN"] = make([]float32, d*d)
	Gemm(c, true, false, d, d, rows, 1, in.x, d, in.dy, d, 0, m["Gemm TN"], d)
	m["Gemm NT"] = make([]float32, rows*rows)
	Gemm(c, false, true, rows, rows, d, 1, in.x, d, in.dy, d, 0, m["Gemm NT"], rows)
	m["GemmBatch"] = make([]float32, 37*9*9)
	GemmBatch(c, 37, false, true, 9, 9, d, 1, in.x, d, 9*d, in.dy, d, 9*d, 0, m["GemmBatch"], 9, 81)
	return m
}

// Results have the same bits for any number of threads, and for all vector widths.
func TestSameBits(t *testing.T) {
	in := bitsInput()
	wide := bitsOf(NewContext(1, WithVariant(Best())), in)
	plain := bitsOf(NewContext(1, WithVariant(Plain)), in)
	for _, v := range Variants() {
		want := wide
		if v == Plain {
			want = plain
		}
		for threads := 1; threads <= 4; threads++ {
			for name, got := range bitsOf(NewContext(threads, WithVariant(v)), in) {
				equalBits(t, name+" "+v.String(), got, want[name])
			}
		}
	}
}

// digests are hashes of the results of the vector kernels, whose bits are those of amd64 and
// arm64 alike. A change of a kernel that changes its last bits changes its digest here.
var digests = map[string]string{
	"Add":                "eb99a4d1fbfda0b2",
	"Axpy":               "1e93b0d45079d113",
	"Erf":                "f86b9926abd3f17d",
	"Exp":                "0e2ec3a4f377c21a",
	"GELU":               "6a3beebfa78ccea7",
	"GELUGrad":           "1aae387cc1fdb96a",
	"GELUTanh":           "4dadb3fbeddf1f19",
	"GELUTanhGrad":       "f45cbf40f1ec5628",
	"Gemm NN":            "2dc0cbb184e969b7",
	"Gemm NT":            "238d2d89b49f2ba0",
	"Gemm TN":            "1237ef5dff0be919",
	"GemmBatch":          "ea0579c40a54e00c",
	"LayerNorm":          "9f4aa6bc972ae597",
	"LayerNormGradBias":  "6cb419eb7d21b28b",
	"LayerNormGradScale": "753d76c442253271",
	"LayerNormGradX":     "3dcd80ff8e8d87c2",
	"LayerNormUnbiased":  "9151f06e6ccf399b",
	"Mul":                "20d865e0fd91d9dd",
	"RMSNorm":            "ea02906750beb513",
	"RMSNormGradScale":   "cede01ecffef2d03",
	"RMSNormGradX":       "93ddf52240a4b7ba",
	"Sigmoid":            "0280dc36b5886fd7",
	"Softmax":            "f65218984cce4bc1",
	"SoftmaxGrad":        "58dcbac29d002b19",
	"SoftmaxColumns":     "e24b39db44afcfbf",
	"SoftmaxColumnsGrad": "cc74d80d3b9c3d28",
	"SumRows":            "a363f21eb6a09b33",
	"Tanh":               "3679e18c02e7a6ce",
}

func TestSameBitsOnAllMachines(t *testing.T) {
	if Best() == Plain {
		t.Skip("this CPU has no vector kernels")
	}
	got := bitsOf(NewContext(1), bitsInput())
	for name, x := range got {
		h := fnv.New64a()
		for _, v := range x {
			b := math.Float32bits(v)
			h.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
		}
		if digest := fmt.Sprintf("%016x", h.Sum64()); digest != digests[name] {
			t.Errorf("%v: the digest of %s is %s, not %s", Best(), name, digest, digests[name])
		}
	}
	if len(got) != len(digests) {
		t.Errorf("%d results, %d digests", len(got), len(digests))
	}
}
