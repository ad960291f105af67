package lowering

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func einsumEntries() []Entry {
	return []Entry{{Name: "Einsum", Min: 12, Max: MaxOpset, Lower: lowerFormula(einsum)}}
}

// term is an operand of an Einsum, or a product of some: a label for each
// dimension. Labels are the equation's letters; the dimensions of an ellipsis
// are numbered from the last one, as -1, -2, …, because they broadcast.
type term struct {
	*op.Value
	labels []rune
}

func (t term) size(label rune) int { return t.Type.Shape[slices.Index(t.labels, label)] }

// einsum lowers to sums, products and transpositions: operands are multiplied
// from left to right, and a label is summed over as soon as no later operand
// and not the result has it.
func einsum(e *emitter) *op.Value {
	equation := strings.ReplaceAll(e.Node.Str("equation", ""), " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	names := strings.Split(left, ",")
	if len(names) != len(e.In) {
		e.fail("equation %q has %d operands, the node %d", equation, len(names), len(e.In))
		return nil
	}
	operands := make([]term, len(names))
	ellipsis := 0
	for i, name := range names {
		v := e.input(i)
		if e.err != nil {
			return nil
		}
		labels, err := readLabels(name, v.Type.Rank())
		if err != nil {
			e.fail("equation %q: operand %d, %v: %w", equation, i, v.Type, err)
			return nil
		}
		for _, l := range labels {
			ellipsis = max(ellipsis, int(-l))
		}
		operands[i] = term{v, labels}
	}
	result, err := resultLabels(right, explicit, operands, ellipsis)
	if err != nil {
		e.fail("equation %q: %w", equation, err)
		return nil
	}
	if err := agree(operands); err != nil {
		e.fail("equation %q: %w", equation, err)
		return nil
	}
	for i, o := range operands {
		operands[i] = e.diagonals(o)
	}
	if e.err != nil {
		e.err = fmt.Errorf("equation %q: %w", equation, e.err)
		return nil
	}
	product := operands[0]
	for i := range operands {
		needed := slices.Clone(result)
		for _, later := range operands[i+1:] {
			needed = append(needed, later.labels...)
		}
		if i == 0 {
			product = e.sumOut(product, needed)
			continue
		}
		product = e.contract(product, operands[i], needed)
	}
	return e.arrange(product, result).Value
}

// readLabels reads one operand's part of an equation, for a tensor of the given
// rank.
func readLabels(name string, rank int) ([]rune, error) {
	before, after, dots := strings.Cut(name, "...")
	for _, l := range before + after {
		if !(l >= 'a' && l <= 'z' || l >= 'A' && l <= 'Z') {
			return nil, fmt.Errorf("%q is not a label", l)
		}
	}
	rest := rank - len(before) - len(after)
	if rest < 0 || rest > 0 && !dots {
		return nil, fmt.Errorf("%q does not label its dimensions", name)
	}
	labels := []rune(before)
	for i := rest; i > 0; i-- {
		labels = append(labels, rune(-i))
	}
	return append(labels, []rune(after)...), nil
}

// resultLabels reads the result's part of an equation. Without one the result
// has the ellipsis and then, in alphabetical order, the labels that occur once.
func resultLabels(right string, explicit bool, operands []term, ellipsis int) ([]rune, error) {
	count := map[rune]int{}
	for _, o := range operands {
		for _, l := range o.labels {
			count[l]++
		}
	}
	if !explicit {
		var labels []rune
		for l, n := range count {
			if l < 0 || n == 1 {
				labels = append(labels, l)
			}
		}
		slices.Sort(labels) // the ellipsis is numbered below the letters
		return labels, nil
	}
	rank := len(strings.Replace(right, "...", "", 1))
	if strings.Contains(right, "...") {
		rank += ellipsis
	}
	labels, err := readLabels(right, rank)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	for i, l := range labels {
		if count[l] == 0 {
			return nil, fmt.Errorf("result: no operand has the label %q", l)
		}
		if slices.Contains(labels[:i], l) {
			return nil, fmt.Errorf("result: label %q occurs twice", l)
		}
	}
	return labels, nil
}

// agree checks that dimensions of one label have one size, or 1.
func agree(operands []term) error {
	sizes := map[rune]int{}
	for _, o := range operands {
		for i, l := range o.labels {
			d := o.Type.Shape[i]
			if old, ok := sizes[l]; ok && old != d && old != 1 && d != 1 {
				if l < 0 {
					return fmt.Errorf("sizes %d and %d in the ellipsis do not broadcast", old, d)
				}
				return fmt.Errorf("label %q has sizes %d and %d", l, old, d)
			} else if !ok || old == 1 {
				sizes[l] = d
			}
		}
	}
	return nil
}

// diagonals takes the diagonal of dimensions that share a label.
func (e *emitter) diagonals(t term) term {
	for i := 0; i < len(t.labels) && e.err == nil; i++ {
		j := slices.Index(t.labels[:i], t.labels[i])
		if j < 0 {
			continue
		}
		n := t.Type.Shape[i]
		if t.Type.Shape[j] != n {
			e.fail("label %q has sizes %d and %d", t.labels[i], t.Type.Shape[j], n)
			return t
		}
		shape := shapes.Ones(len(t.labels))
		shape[i], shape[j] = n, n
		on := e.array(op.Type{DType: onnx.Bool, Shape: shape})
		if e.err != nil {
			return t
		}
		for k := range n {
			op.Elem[bool](on)[k*n+k] = true
		}
		kept := e.emit(op.Where{}, e.Constant(on), t.Value, e.scalar(t.Value, 0))
		t = term{e.emit(op.Reduce{By: op.ReduceSum, Axes: []int{i}}, kept), slices.Delete(slices.Clone(t.labels), i, i+1)}
		i--
	}
	return t
}

// sumOut sums over the dimensions whose labels are not needed.
func (e *emitter) sumOut(t term, needed []rune) term {
	var axes []int
	var kept []rune
	for i, l := range t.labels {
		if slices.Contains(needed, l) {
			kept = append(kept, l)
		} else {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 || e.err != nil {
		return t
	}
	return term{e.emit(op.Reduce{By: op.ReduceSum, Axes: axes}, t.Value), kept}
}

// arrange transposes to the given order of the labels.
func (e *emitter) arrange(t term, labels []rune) term {
	if e.err != nil || slices.Equal(t.labels, labels) {
		return t
	}
	perm := make([]int, len(labels))
	for i, l := range labels {
		perm[i] = slices.Index(t.labels, l)
	}
	return term{e.emit(op.Transpose{Perm: perm}, t.Value), labels}
}

// contract multiplies two terms and sums over the labels that are not needed.
// Labels that both have and that stay are the stack of a matrix product, those
// that go are its inner dimension.
func (e *emitter) contract(a, b term, needed []rune) term {
	if e.err != nil {
		return a
	}
	a, b = e.sumOut(a, append(slices.Clone(needed), b.labels...)), e.sumOut(b, append(slices.Clone(needed), a.labels...))
	var stack, inner, rows, columns []rune
	for _, l := range a.labels {
		switch {
		case !slices.Contains(b.labels, l):
			rows = append(rows, l)
		case slices.Contains(needed, l):
			stack = append(stack, l)
		default:
			inner = append(inner, l)
		}
	}
	for _, l := range b.labels {
		if !slices.Contains(a.labels, l) {
			columns = append(columns, l)
		}
	}
	for _, l := range inner { // a size of 1 stands for any: the other's sum is what it is multiplied by
		if e.err == nil && a.size(l) != b.size(l) {
			drop := []rune{l}
			rest := func(t term) []rune {
				return slices.DeleteFunc(slices.Clone(t.labels), func(m rune) bool { return slices.Contains(drop, m) })
			}
			a, b = e.sumOut(a, rest(a)), e.sumOut(b, rest(b))
		}
	}
	inner = slices.DeleteFunc(inner, func(l rune) bool { return !slices.Contains(a.labels, l) })
	if e.err != nil {
		return a
	}
	labels := slices.Concat(stack, rows, columns)
	a = e.arrange(a, slices.Concat(stack, rows, inner))
	if len(inner) == 0 {
		b = e.arrange(b, slices.Concat(stack, columns))
		x := e.view(a.Value, a.Type.Shape, shapes.Ones(len(columns)))
		y := e.view(b.Value, b.Type.Shape[:len(stack)], shapes.Ones(len(rows)), b.Type.Shape[len(stack):])
		return term{e.emit(op.Mul{}, x, y), labels}
	}
	transposed := slices.Equal(b.labels, slices.Concat(stack, columns, inner))
	if !transposed {
		b = e.arrange(b, slices.Concat(stack, inner, columns))
	}
	if e.err != nil {
		return a
	}
	s, r, k := len(stack), len(rows), len(inner)
	shapeA, shapeB := a.Type.Shape, b.Type.Shape
	rowSizes, innerSizes := shapeA[s:s+r], shapeA[s+r:]
	columnSizes := shapeB[s+k:]
	matrix := []int{shapes.Elements(innerSizes), shapes.Elements(columnSizes)}
	if transposed {
		columnSizes = shapeB[s : s+len(columns)]
		matrix = []int{shapes.Elements(columnSizes), shapes.Elements(innerSizes)}
	}
	flat := []int{shapes.Elements(rowSizes)}
	if s == 0 && r > 0 {
		flat = rowSizes // one matrix for all rows: their dimensions are a stack
	}
	x := e.view(a.Value, shapeA[:s], flat, []int{shapes.Elements(innerSizes)})
	y := e.view(b.Value, shapeB[:s], matrix)
	v := e.emit(op.MatMul{TransB: transposed}, x, y)
	if e.err != nil {
		return a
	}
	return term{e.view(v, v.Type.Shape[:s], rowSizes, columnSizes), labels}
}
