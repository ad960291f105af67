package onnx

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

// The rest of the program sees one list of nodes. This file makes it: the call
// of a function that the model defines is replaced by the nodes of its body, and
// the nodes of both branches of an If stand before it, each with a [Guard].
// Values inside get names that nothing else in the file has.

const (
	// Functions that call each other can ask for any number of nodes. Calls and
	// branches may add so many to the graph's own, and one more for so many bytes
	// of the file; and names of so many bytes.
	maxInlined      = 16 << 10
	bytesPerInlined = 1 << 10
	maxInlinedNames = 8 << 20
	// maxCalls bounds how deeply functions may call each other.
	maxCalls = 24

	identityOpset = 13 // in which Identity means what it does in all others

	exportPlain = "export the model without functions and control flow"
)

// Guard says that a node stands in a branch of an If: it may be computed only
// where all conditions, from the innermost If outwards, have their values.
type Guard struct {
	Condition string // the value that the If tests
	Then      bool   // what it must be
	Outer     *Guard // of the If itself; nil in the graph
}

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

// scope is where a NodeProto stands, which says what the names in it mean.
type scope struct {
	// names maps the file's names of values to those that they have in the list;
	// nil in the graph, where they are the same.
	names map[string]string
	// outer is the scope that a branch sees; nil in the graph and in the body of
	// a function, which sees nothing but its inputs.
	outer   *scope
	results map[string]string // the outputs of a function, by their names in its body
	prefix  string            // of the names that are made up here
	scopes  []string          // of the call or the If, for nodes that have none
	opsets  map[string]int64
	given   map[string]wire.Message // the attributes of the call; nil outside functions
	guard   *Guard
	calls   []*function // that are being inlined, outermost first
}

// value returns the name in the list of what is called name here.
func (s *scope) value(name string) string {
	if s.names == nil || name == "" {
		return name
	}
	if v, ok := s.names[name]; ok {
		return v
	}
	if s.outer != nil {
		return s.outer.value(name)
	}
	return s.prefix + name // made nowhere, which is found out when the nodes are sorted
}

// adopt gives a node of a function or a branch its names in the list.
func (s *scope) adopt(n *Node) {
	for _, names := range [][]string{n.Inputs, n.Outputs} {
		for i, name := range names {
			names[i] = s.value(name)
		}
	}
	if n.Scopes == nil {
		n.Scopes = s.scopes
	}
	if n.Name != "" && s.outer == nil {
		n.Name = s.prefix + n.Name // in every call the same
	}
}

// inliner makes the list of nodes.
type inliner struct {
	model *Model
	nodes []*Node
	added int             // nodes that are not the graph's own
	parts int             // fields that were read for them, over again for every call
	names int             // bytes of the names that were made up
	taken map[string]bool // names of values; nil until the first is made up
	next  map[string]int  // the number to try for a name that was taken
	// constants are the values made of one AttributeProto or initializer, by its
	// offset: it is one tensor of the file however often its function is called.
	constants map[int64]string
}

// nodesOf appends the nodes in a field of message, read in s.
func (l *inliner) nodesOf(message wire.Message, field protowire.Number, s *scope) error {
	for proto := range message.Each(field) {
		n, err := l.model.node(proto, s)
		if err != nil {
			return err
		}
		if n.inlined {
			l.added++
			l.parts += partsOf(proto)
			l.names += len(n.Name)
			if err := l.checkLimits(n); err != nil {
				return err
			}
		}
		switch f := l.model.functions[functionKey{n.Domain, n.OpType, n.Overload}]; {
		case f != nil:
			err = l.call(n, f, s)
		case n.OpType == "If" && n.Domain == "":
			if err = l.branches(n, s); err == nil {
				l.append(n)
			}
		case n.inlined && n.isConstant():
			l.constant(n, string(proto.Bytes(nodeOutput)), s)
		default:
			l.append(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkLimits bounds what calls and branches add.
func (l *inliner) checkLimits(n *Node) error {
	nodes := maxInlined + int(l.model.Size/bytesPerInlined)
	switch {
	case l.added > nodes:
		return l.model.failAt(n, exportPlain, "functions and branches add more than %d nodes to the graph", nodes)
	case l.parts > maxParts:
		return l.model.failAt(n, exportPlain, "functions and branches add nodes with more than %d operands, attributes and declarations to the graph", maxParts)
	case l.names > maxInlinedNames:
		return l.model.failAt(n, exportPlain, "functions and branches need names of more than %d bytes", maxInlinedNames)
	}
	return nil
}

// bytesPerPart is how many bytes of names, attributes and metadata are as much
// work to read as a field.
const bytesPerPart = 256

// partsOf is how much is read of a NodeProto: its fields, and long ones more than
// once. Of a tensor the data are not read with the node, and a graph is read
// afterwards.
func partsOf(node wire.Message) (parts int) {
	for f := range node.Fields() {
		parts++
		if f.Number() == nodeAttribute {
			attr := f.Message()
			for t := range attr.Each(attributeTensor) {
				for range t.Fields() {
					parts++
				}
			}
			if t := typeOf(attr); t == typeOfTensor || t == typeGraph {
				continue
			}
		}
		parts += len(f.Bytes()) / bytesPerPart
	}
	return parts
}

func (l *inliner) append(n *Node) {
	n.Index = len(l.nodes)
	l.nodes = append(l.nodes, n)
}

// constant appends a Constant node of a function or a branch, whose output is
// called own there, unless the same attribute has been the value of another.
func (l *inliner) constant(n *Node, own string, s *scope) {
	_, isResult := s.results[own]
	result := n.Outputs[0]
	offset := n.Offset
	for _, attr := range n.protos() {
		offset, _ = attr.Range()
	}
	name, known := l.constants[offset]
	if !known {
		if name = result; isResult {
			name = l.free(s.prefix+own, s)
		}
		l.constants[offset] = name
		n.Outputs[0], n.Guard = name, nil
		if t := n.Tensor("value"); t != nil {
			t.Name = name
		}
		l.append(n)
	}
	if isResult {
		l.identity(n, name, result, s)
		return
	}
	s.names[own] = name
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

// identity appends a node that gives a value of s, which stands for n, another
// name.
func (l *inliner) identity(n *Node, from, to string, s *scope) {
	l.append(&Node{Offset: n.Offset, Name: n.Name, OpType: "Identity", Opset: identityOpset,
		Inputs: []string{from}, Outputs: []string{to}, Scopes: n.Scopes, Guard: s.guard, inlined: true, given: s.given})
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

// branches appends the nodes of both branches of an If, and makes the outputs of
// the branches the inputs of the If, behind its condition: all of the first
// branch, then all of the second.
func (l *inliner) branches(n *Node, s *scope) error {
	if len(n.Inputs) != 1 || n.Inputs[0] == "" {
		return l.model.failAt(n, exportAgain, "%d inputs, expected the condition", len(n.Inputs))
	}
	condition := n.Inputs[0]
	for _, name := range []string{"then_branch", "else_branch"} {
		g, ok := n.branch(name)
		if !ok {
			return l.model.failAt(n, exportAgain, "it has no graph in its attribute %s", name)
		}
		for range g.Fields() {
			l.parts++
		}
		if err := l.checkLimits(n); err != nil {
			return err
		}
		inner := &scope{
			outer:  s,
			names:  map[string]string{},
			prefix: prefixOf(n) + name + "/",
			scopes: n.Scopes,
			opsets: s.opsets,
			given:  s.given,
			guard:  &Guard{Condition: condition, Then: name == "then_branch", Outer: s.guard},
			calls:  s.calls,
		}
		if err := l.initializers(n, g, inner); err != nil {
			return err
		}
		if err := l.declare(n, g, graphNode, inner); err != nil {
			return err
		}
		if err := l.nodesOf(g, graphNode, inner); err != nil {
			return err
		}
		outputs := 0
		for out := range g.Each(graphOutput) {
			n.Inputs = append(n.Inputs, inner.value(string(out.Bytes(valueName))))
			outputs++
		}
		if outputs != len(n.Outputs) {
			return l.model.failAt(n, exportAgain, "%s has %d outputs, expected %d", name, outputs, len(n.Outputs))
		}
	}
	n.subgraph = false
	return nil
}

// branch returns a graph among the node's own attributes. One that is given by
// the call of a function would see the values around that call.
func (n *Node) branch(name string) (g wire.Message, ok bool) {
	for attr := range n.message.Each(nodeAttribute) {
		if string(attr.Bytes(attributeName)) == name {
			for g = range attr.Each(attributeGraph) {
				ok = true
			}
		}
	}
	return g, ok
}

// initializers reads those of a branch of n.
func (l *inliner) initializers(n *Node, g wire.Message, s *scope) error {
	for range g.Each(graphSparse) {
		return l.model.failAt(n, exportPlain, "a branch has sparse initializers, which are not supported")
	}
	for message := range g.Each(graphInitializer) {
		offset, _ := message.Range()
		own := string(message.Bytes(tensorName))
		if name, ok := l.constants[offset]; ok {
			s.names[own] = name
			continue
		}
		t, err := l.model.initializer(message)
		if err != nil {
			return err
		}
		if _, twice := s.names[own]; twice {
			return t.fail("two initializers have this name", exportAgain)
		}
		t.Name = l.free(own, s)
		s.names[own], l.constants[offset] = t.Name, t.Name
		l.model.addTensor(t)
	}
	return nil
}

// declare gives names to the values that the nodes in a field of message make,
// so that a node may use what a later one makes; n is what they stand for.
func (l *inliner) declare(n *Node, message wire.Message, field protowire.Number, s *scope) error {
	for proto := range message.Each(field) {
		for f := range proto.Fields() {
			if f.Number() != nodeOutput {
				continue
			}
			own, err := l.model.name(f)
			if err != nil {
				return err
			}
			if own == "" {
				continue
			}
			if _, twice := s.names[own]; twice {
				offset, _ := proto.Range()
				return l.model.fail(offset, fmt.Sprintf("within %q the value %q is made a second time", s.prefix, own), exportAgain)
			}
			name, isResult := s.results[own]
			switch {
			case isResult:
			case s.outer != nil:
				// A branch sees the values around it, so that its names are new
				// ones as a rule, unless the other branch has them, too.
				name = l.free(own, s)
			default:
				name = l.free(s.prefix+own, s)
			}
			s.names[own] = name
			if err := l.checkLimits(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// prefixOf begins the names of what a node stands for.
func prefixOf(n *Node) string {
	return cmp.Or(n.Name, n.firstOutput(), n.OpType) + "/"
}

// free returns a name that no value has: the one that is asked for, or with the
// scope's prefix and a number.
func (l *inliner) free(name string, s *scope) string {
	if l.taken == nil {
		l.taken, l.next = l.model.valueNames(), map[string]int{}
	}
	if l.taken[name] && s.outer != nil {
		name = s.prefix + name
	}
	free := name
	if l.taken[name] {
		i := max(2, l.next[name])
		for l.taken[name+"_"+strconv.Itoa(i)] {
			i++
		}
		free, l.next[name] = name+"_"+strconv.Itoa(i), i+1
	}
	l.taken[free] = true
	l.names += len(free)
	return free
}

// valueNames returns the names of all values of the graph itself.
func (m *Model) valueNames() map[string]bool {
	names := map[string]bool{}
	for name := range m.constants {
		names[name] = true
	}
	for f := range m.graph.Fields() {
		switch message := f.Message(); f.Number() {
		case graphInput, graphOutput:
			names[string(message.Bytes(valueName))] = true
		case graphNode:
			for field := range message.Fields() {
				if num := field.Number(); num == nodeInput || num == nodeOutput {
					names[string(field.Bytes())] = true
				}
			}
		}
	}
	return names
}
