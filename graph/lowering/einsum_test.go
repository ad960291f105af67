package lowering

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// einsumByDefinition sums the products of the operands over all values of the
// labels. labels and result are those of the equation, without ellipsis.
func einsumByDefinition(labels []string, result string, operands []op.Array) []float64 {
	sizes := map[rune]int{}
	var order []rune
	for i, o := range operands {
		for k, l := range labels[i] {
			if _, ok := sizes[l]; !ok {
				order = append(order, l)
			}
			sizes[l] = o.Shape[k]
		}
	}
	index := func(name string, at map[rune]int) int {
		i := 0
		for _, l := range name {
			i = i*sizes[l] + at[l]
		}
		return i
	}
	n := 1
	for _, l := range result {
		n *= sizes[l]
	}
	y := make([]float64, n)
	at := map[rune]int{}
	var visit func(depth int)
	visit = func(depth int) {
		if depth < len(order) {
			for at[order[depth]] = range sizes[order[depth]] {
				visit(depth + 1)
			}
			return
		}
		p := 1.0
		for i, o := range operands {
			p *= op.Elem[float64](o)[index(labels[i], at)]
		}
		y[index(result, at)] += p
	}
	visit(0)
	return y
}

func TestEinsum(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		for _, k := range []struct {
			equation string
			shapes   [][]int
			labels   []string // the same without ellipsis
			result   string
		}{
			{"ij->ji", [][]int{{2, 3}}, []string{"ij"}, "ji"},
			{"ij->i", [][]int{{2, 3}}, []string{"ij"}, "i"},
			{"ij->", [][]int{{2, 3}}, []string{"ij"}, ""},
			{"ba", [][]int{{2, 3}}, []string{"ba"}, "ab"},
			{"ii->i", [][]int{{3, 3}}, []string{"ii"}, "i"},
			{"ii", [][]int{{3, 3}}, []string{"ii"}, ""},
			{"...ii->...i", [][]int{{2, 3, 3}}, []string{"bii"}, "bi"},
			{"ijij->ij", [][]int{{2, 3, 2, 3}}, []string{"ijij"}, "ij"},
			{"ij, jk -> ik", [][]int{{2, 3}, {3, 4}}, []string{"ij", "jk"}, "ik"},
			{"ij,kj", [][]int{{2, 3}, {4, 3}}, []string{"ij", "kj"}, "ik"},
			{"bij,bjk->bik", [][]int{{2, 2, 3}, {2, 3, 4}}, []string{"bij", "bjk"}, "bik"},
			{"bhqd,bhkd->bhqk", [][]int{{2, 2, 3, 4}, {2, 2, 5, 4}}, []string{"bhqd", "bhkd"}, "bhqk"},
			{"bqhd,bkhd->bhqk", [][]int{{2, 3, 2, 4}, {2, 5, 2, 4}}, []string{"bqhd", "bkhd"}, "bhqk"},
			{"bhqk,bkhd->bqhd", [][]int{{2, 2, 3, 5}, {2, 5, 2, 4}}, []string{"bhqk", "bkhd"}, "bqhd"},
			{"bhwc,hkc->bhwk", [][]int{{2, 3, 4, 5}, {3, 6, 5}}, []string{"bhwc", "hkc"}, "bhwk"},
			{"bnd,dhe->bhne", [][]int{{2, 3, 4}, {4, 2, 5}}, []string{"bnd", "dhe"}, "bhne"},
			{"bnhe,hed->bnd", [][]int{{2, 3, 2, 4}, {2, 4, 5}}, []string{"bnhe", "hed"}, "bnd"},
			{"...d,de->...e", [][]int{{2, 3, 4}, {4, 5}}, []string{"bnd", "de"}, "bne"},
			{"...ij,...jk->...ik", [][]int{{2, 2, 3}, {2, 3, 4}}, []string{"bij", "bjk"}, "bik"},
			{"...ij,...jk", [][]int{{2, 3}, {5, 3, 4}}, []string{"ij", "bjk"}, "bik"},
			{"i,j->ij", [][]int{{2}, {3}}, []string{"i", "j"}, "ij"},
			{"bi,bi->bi", [][]int{{2, 3}, {2, 3}}, []string{"bi", "bi"}, "bi"},
			{"bi,bi->b", [][]int{{2, 3}, {2, 3}}, []string{"bi", "bi"}, "b"},
			{"bi,i->b", [][]int{{2, 3}, {3}}, []string{"bi", "i"}, "b"},
			{"i,i->", [][]int{{3}, {3}}, []string{"i", "i"}, ""},
			{"ij,kl->ki", [][]int{{2, 3}, {4, 2}}, []string{"ij", "kl"}, "ki"},
			{"bn,anm,bm->ba", [][]int{{2, 3}, {5, 3, 4}, {2, 4}}, []string{"bn", "anm", "bm"}, "ba"},
			{",ij->ij", [][]int{{}, {2, 3}}, []string{"", "ij"}, "ij"},
		} {
			t.Run(k.equation, func(t *testing.T) {
				var in []op.Array
				for _, shape := range k.shapes {
					in = append(in, optest.Normal(r, shape...))
				}
				build := func(p *op.Program, in []*op.Value) (*op.Value, error) {
					out, err := lowerValues(t, p, 12, "Einsum", 1, in, onnxtest.String("equation", k.equation))
					if err != nil {
						return nil, err
					}
					return out[0], nil
				}
				p := op.NewProgram(0)
				var known []*op.Value
				for _, a := range in {
					known = append(known, p.Constant(a))
				}
				got, err := build(p, known)
				if err != nil {
					t.Fatal(err)
				}
				testdevice.CloseTo(t, "result", got.Const.AsFloats(), einsumByDefinition(k.labels, k.result, in), 1e-13)
				optest.ProgramGradient(t, on, build, in...)
			})
		}
	})
}

// TestEinsumBroadcasts: dimensions of size 1, in the ellipsis and under a label,
// stand for any size.
func TestEinsumBroadcasts(t *testing.T) {
	r := optest.Random()
	x, w := optest.Normal(r, 2, 2, 3), optest.Normal(r, 4, 3, 5)
	got, err := lowerNode(t, 12, "Einsum", 1, []*op.Array{&x, &w}, onnxtest.String("equation", "...j,...jk->...k"))
	if err == nil {
		t.Fatalf("sizes 2 and 4 were broadcast to %v", got[0].Type)
	}
	y := optest.Normal(r, 2, 3, 4)
	for _, equation := range []string{"...ij,...jk->...ik", "bij,bjk->bik"} {
		one := optest.Normal(r, 1, 2, 3)
		both, err := lowerNode(t, 12, "Einsum", 1, []*op.Array{&one, &y}, onnxtest.String("equation", equation))
		if err != nil {
			t.Fatal(err)
		}
		want := optest.Apply(t, op.MatMul{}, one, y)
		testdevice.CloseTo(t, equation, both[0].Const.AsFloats(), want.AsFloats(), 1e-13)
	}
	single := optest.Normal(r, 2, 1)
	row, err := lowerNode(t, 12, "Einsum", 1, []*op.Array{&single, array(optest.Normal(r, 3, 2))}, onnxtest.String("equation", "ij,jk->ik"))
	if err != nil || fmt.Sprint(row[0].Type.Shape) != "[2 2]" {
		t.Errorf("a label of sizes 1 and 3: %v, %v", row, err)
	}
}

func TestEinsumRefuses(t *testing.T) {
	m, v := array(optest.Counting(2, 3)), array(optest.Counting(3))
	equation := func(s string) []onnxtest.Attr { return attributes(onnxtest.String("equation", s)) }
	checkLowerings(t, []lowering{
		{operator: "Einsum", opset: 12, attrs: equation("ij,jk->ik"), in: []*op.Array{m}, fails: "has 2 operands, the node 1"},
		{operator: "Einsum", opset: 12, attrs: equation("ijk->i"), in: []*op.Array{m}, fails: "does not label its dimensions"},
		{operator: "Einsum", opset: 12, attrs: equation("i->i"), in: []*op.Array{m}, fails: "does not label its dimensions"},
		{operator: "Einsum", opset: 12, attrs: equation("i2->i"), in: []*op.Array{m}, fails: "is not a label"},
		{operator: "Einsum", opset: 12, attrs: equation("i.j->i"), in: []*op.Array{m}, fails: "is not a label"},
		{operator: "Einsum", opset: 12, attrs: equation("...i...->i"), in: []*op.Array{m}, fails: "is not a label"},
		{operator: "Einsum", opset: 12, attrs: equation("ij->k"), in: []*op.Array{m}, fails: `no operand has the label 'k'`},
		{operator: "Einsum", opset: 12, attrs: equation("ij->ii"), in: []*op.Array{m}, fails: "occurs twice"},
		{operator: "Einsum", opset: 12, attrs: equation("ij->i->j"), in: []*op.Array{m}, fails: "is not a label"},
		{operator: "Einsum", opset: 12, attrs: equation("ij,i->j"), in: []*op.Array{m, v}, fails: "has sizes 2 and 3"},
		{operator: "Einsum", opset: 12, attrs: equation("ii->i"), in: []*op.Array{m}, fails: "has sizes 2 and 3"},
		{operator: "Einsum", opset: 12, in: []*op.Array{m}, fails: "does not label"},
	})
}
