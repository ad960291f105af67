package onnx

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

// maxCalls bounds how deeply functions may call each other.
const maxCalls = 24

// function is a FunctionProto.
type function struct {
	label           string
	inputs, outputs []string
	opsets          map[string]int64
	message         wire.Message
	fields          int // of message
}

type functionKey struct{ domain, name, overload string }

func (k functionKey) String() string {
	s := k.name
	if k.domain != "" {
		s = k.domain + "." + s
	}
	if k.overload != "" {
		s += " (overload " + k.overload + ")"
	}
	return s
}

// readFunctions reads the heads of the model-local functions.
func (m *Model) readFunctions() error {
	m.functions = map[functionKey]*function{}
	for message := range m.index.Root().Each(modelFunction) {
		key := functionKey{canonicalDomain(string(message.Bytes(functionDomain))), string(message.Bytes(functionName)), string(message.Bytes(functionOverload))}
		f := &function{label: fmt.Sprintf("function %q", key), opsets: opsets(message, functionOpset), message: message}
		offset, _ := message.Range()
		seen := map[string]bool{}
		for field := range message.Fields() {
			f.fields++
			var list *[]string
			switch field.Number() {
			case functionInput:
				list = &f.inputs
			case functionOutput:
				list = &f.outputs
			default:
				continue
			}
			if err := m.appendName(list, field); err != nil {
				return err
			}
			if name := (*list)[len(*list)-1]; list == &f.inputs {
				if seen[name] {
					return m.fail(offset, fmt.Sprintf("%s has two inputs of the name %q", f.label, name), exportAgain)
				}
				seen[name] = true
			}
		}
		if m.functions[key] != nil {
			return m.fail(offset, fmt.Sprintf("%s is defined twice", f.label), exportAgain)
		}
		m.functions[key] = f
	}
	return nil
}

// call appends the body of a function in place of a call.
func (l *inliner) call(n *Node, f *function, s *scope) error {
	switch {
	case slices.Contains(s.calls, f):
		return l.model.failAt(n, exportAgain, "%s calls itself", f.label)
	case len(s.calls) == maxCalls:
		return l.model.failAt(n, exportPlain, "functions call each other more than %d deep", maxCalls)
	case len(n.Inputs) > len(f.inputs) || len(n.Outputs) > len(f.outputs):
		return l.model.failAt(n, exportAgain, "%d inputs and %d outputs, but %s has %d and %d", len(n.Inputs), len(n.Outputs), f.label, len(f.inputs), len(f.outputs))
	}
	l.parts += f.fields
	if err := l.checkLimits(n); err != nil {
		return err
	}
	inner := &scope{
		names:   make(map[string]string, len(f.inputs)),
		results: make(map[string]string, len(f.outputs)),
		prefix:  prefixOf(n),
		scopes:  n.Scopes,
		opsets:  f.opsets,
		given:   l.model.givenBy(n, f),
		guard:   s.guard,
		calls:   append(slices.Clone(s.calls), f),
	}
	for i, name := range f.inputs {
		inner.names[name] = ""
		if i < len(n.Inputs) {
			inner.names[name] = n.Inputs[i]
		}
	}
	for i, name := range f.outputs[:len(n.Outputs)] {
		if _, twice := inner.results[name]; !twice && n.Outputs[i] != "" {
			inner.results[name] = n.Outputs[i]
		}
	}
	if err := l.declare(n, f.message, functionNode, inner); err != nil {
		return err
	}
	if err := l.nodesOf(f.message, functionNode, inner); err != nil {
		return err
	}
	for i, name := range f.outputs[:len(n.Outputs)] {
		// What is an input, or another output, too has two names now.
		if result := n.Outputs[i]; result != "" && inner.value(name) != result {
			l.identity(n, inner.value(name), result, inner)
		}
	}
	return nil
}

// givenBy returns the attributes that the body of f sees when n calls it: the
// call's own, and the defaults of the others.
func (m *Model) givenBy(n *Node, f *function) map[string]wire.Message {
	given := map[string]wire.Message{}
	for attr := range f.message.Each(functionAttribute) {
		given[string(attr.Bytes(attributeName))] = attr
	}
	for name, attr := range n.protos() {
		given[name] = attr
	}
	return given
}
