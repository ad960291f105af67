package onnx

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// pair is a field of one file and the one that corresponds to it in another.
type pair struct {
	a, b wire.Field
	name string // of the field, with a key or an index where there are several
}

// matching pairs the fields of two messages.
type matching struct {
	pairs        []pair // in the order of b
	onlyA, onlyB []wire.Field
	ordered      bool // the pairs are in the order of a, too
}

// identity tells the fields of a message apart: by number, by the key of what
// they hold, and by how many of the same have come before.
type identity struct {
	number protowire.Number
	key    string
	nth    int
}

// in returns the field's name in a message of the given kind.
func (id identity) in(kind wire.Kind, several bool) string {
	name := kind.FieldName(id.number)
	switch {
	case id.key != "":
		name = fmt.Sprintf("%s[%q]", name, id.key)
		if id.nth > 0 {
			name = fmt.Sprintf("%s (no. %d)", name, id.nth+1)
		}
	case several:
		name = fmt.Sprintf("%s[%d]", name, id.nth)
	}
	return name
}

// key returns what names a message among others in the same field, "" where only
// its place does.
func key(m wire.Message) string {
	switch m.Kind() {
	case wire.Tensor:
		return string(m.Bytes(tensorName))
	case wire.ValueInfo:
		return string(m.Bytes(valueName))
	case wire.Attribute:
		return string(m.Bytes(attributeName))
	case wire.Entry:
		return string(m.Bytes(entryKey))
	case wire.Opset:
		return string(m.Bytes(opsetDomain))
	case wire.Function:
		return string(m.Bytes(functionDomain)) + "/" + string(m.Bytes(functionName)) + "/" + string(m.Bytes(functionOverload))
	case wire.Node: // a value is made once
		for f := range m.Fields() {
			if f.Number() == nodeOutput && len(f.Bytes()) > 0 {
				return string(f.Bytes())
			}
		}
	}
	return ""
}

// identities numbers the fields of a message.
func identities(m wire.Message) (fields []wire.Field, ids []identity) {
	seen := map[identity]int{} // with nth 0
	for f := range m.Fields() {
		id := identity{number: f.Number()}
		if m.Kind() != wire.Attribute { // whose one tensor may have any name
			id.key = key(f.Message())
		}
		id.nth = seen[id]
		seen[identity{id.number, id.key, 0}]++
		fields, ids = append(fields, f), append(ids, id)
	}
	return fields, ids
}

// match pairs fields by number and key, or by number and place. Nodes, inputs
// and outputs whose names have changed are paired by their order as far as that
// is clear.
func match(a, b wire.Message) matching {
	fieldsA, idsA := identities(a)
	fieldsB, idsB := identities(b)
	place := make(map[identity]int, len(idsA))
	for i, id := range idsA {
		place[id] = i
	}
	partner := make([]int, len(fieldsB)) // in a, or -1
	taken := make([]bool, len(fieldsA))
	for j, id := range idsB {
		partner[j] = -1
		if i, ok := place[id]; ok {
			partner[j], taken[i] = i, true
		}
	}
	restA, restB := leftover(fieldsA, func(i int) bool { return taken[i] }), leftover(fieldsB, func(j int) bool { return partner[j] >= 0 })
	for number, js := range restB {
		is := restA[number]
		like := func(i, j int) bool { return alike(fieldsA[i], fieldsB[j]) }
		for len(is) > 0 && len(js) > 0 && like(is[0], js[0]) {
			partner[js[0]], taken[is[0]] = is[0], true
			is, js = is[1:], js[1:]
		}
		for len(is) > 0 && len(js) > 0 && like(is[len(is)-1], js[len(js)-1]) {
			partner[js[len(js)-1]], taken[is[len(is)-1]] = is[len(is)-1], true
			is, js = is[:len(is)-1], js[:len(js)-1]
		}
	}
	m := matching{ordered: true}
	last := -1
	for j, f := range fieldsB {
		i := partner[j]
		if i < 0 {
			m.onlyB = append(m.onlyB, f)
			continue
		}
		m.ordered = m.ordered && i > last
		last = i
		id := idsB[j]
		_, several := place[identity{id.number, "", 1}]
		m.pairs = append(m.pairs, pair{fieldsA[i], f, id.in(b.Kind(), several || id.nth > 0)})
	}
	for i, f := range fieldsA {
		if !taken[i] {
			m.onlyA = append(m.onlyA, f)
		}
	}
	return m
}

// leftover groups the fields that have no partner and may get one by their
// order.
func leftover(fields []wire.Field, paired func(int) bool) map[protowire.Number][]int {
	rest := map[protowire.Number][]int{}
	for i, f := range fields {
		if !paired(i) {
			switch f.Message().Kind() {
			case wire.Node, wire.ValueInfo:
				rest[f.Number()] = append(rest[f.Number()], i)
			}
		}
	}
	return rest
}

// alike reports whether two fields with names of their own can be the same thing
// renamed: nodes of one operator; declarations of equal type.
func alike(a, b wire.Field) bool {
	x, y := a.Message(), b.Message()
	if x.Kind() == wire.Node {
		return string(x.Bytes(nodeOpType)) == string(y.Bytes(nodeOpType)) && string(x.Bytes(nodeDomain)) == string(y.Bytes(nodeDomain))
	}
	return string(x.Bytes(valueType)) == string(y.Bytes(valueType))
}
