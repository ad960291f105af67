package graph

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Loss chooses what training lowers: the cross-entropy or one of its
// surrogates. The zero value is the cross-entropy. Losses can be compared with
// == and used as keys.
type Loss struct {
	kind      lossKind
	parameter float64 // ε or γ; 0 for a loss without one
}

type lossKind uint8

const (
	crossEntropy lossKind = iota
	labelSmoothing
	focal
	margin
)

// lossName is how a loss is written: its name, and for those with a parameter
// what that may be.
type lossName struct {
	kind      lossKind
	name      string
	parameter string  // "" where there is none
	standard  float64 // where the text does not say
	largest   float64
}

// lossNames lists the losses, the cross-entropy first.
func lossNames() []lossName {
	return []lossName{
		{kind: crossEntropy, name: "ce"},
		{kind: labelSmoothing, name: "smooth", parameter: "EPSILON", standard: 0.1, largest: 1},
		{kind: focal, name: "focal", parameter: "GAMMA", standard: 2, largest: math.MaxFloat64},
		{kind: margin, name: "margin"},
	}
}

// usage writes the form that ParseLoss takes.
func (n lossName) usage() string {
	switch {
	case n.parameter == "":
		return n.name
	case n.largest < math.MaxFloat64:
		return fmt.Sprintf("%s[:%s] (0 to %v, default %v)", n.name, n.parameter, n.largest, n.standard)
	}
	return fmt.Sprintf("%s[:%s] (0 or more, default %v)", n.name, n.parameter, n.standard)
}

// ParseLoss reads a loss as it is written on a command line:
//
//	ce              cross-entropy
//	smooth:0.3      cross-entropy with label smoothing ε, from 0 to 1; smooth is smooth:0.1
//	focal:2         focal loss with exponent γ, 0 or more; focal is focal:2
//	margin          multi-class hinge of margin 1
//
// The formulas are those of [op.CrossEntropy], [op.LabelSmoothing], [op.Focal]
// and [op.Margin]. The error says what is allowed.
func ParseLoss(text string) (Loss, error) {
	name, parameter, given := strings.Cut(text, ":")
	usages := make([]string, 0, 4)
	for _, n := range lossNames() {
		if n.name != name {
			usages = append(usages, n.usage())
			continue
		}
		switch {
		case !given:
			return Loss{n.kind, n.standard}, nil
		case n.parameter == "":
			return Loss{}, fmt.Errorf("loss %q: %s takes no parameter", text, n.name)
		}
		x, err := strconv.ParseFloat(parameter, 64)
		if err != nil || !(x >= 0 && x <= n.largest) {
			return Loss{}, fmt.Errorf("loss %q: expected %s", text, n.usage())
		}
		return Loss{n.kind, x + 0}, nil // + 0 makes -0 the same loss as 0
	}
	return Loss{}, fmt.Errorf("unknown loss %q: expected %s", text, strings.Join(usages, ", "))
}

// String writes the loss as [ParseLoss] reads it, its parameter included.
func (l Loss) String() string {
	n := lossNames()[l.kind]
	if n.parameter == "" {
		return n.name
	}
	return n.name + ":" + strconv.FormatFloat(l.parameter, 'g', -1, 64)
}

// appendKey appends what tells the loss from any other to key.
func (l Loss) appendKey(key []byte) []byte {
	key = append(key, byte(l.kind))
	return binary.LittleEndian.AppendUint64(key, math.Float64bits(l.parameter))
}

// example returns the loss of one example.
func (l Loss) example() op.ExampleLoss {
	switch l.kind {
	case labelSmoothing:
		return op.LabelSmoothing{Epsilon: l.parameter}
	case focal:
		return op.Focal{Gamma: l.parameter}
	case margin:
		return op.Margin{}
	}
	return op.CrossEntropy{}
}
