package onnx

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

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

// declare gives names to the values that the nodes in a field of message make,
// so that a node may use what a later one makes; n is what they stand for.
func (l *inliner) declare(n *Node, message wire.Message, field protowire.Number, s *scope) error {
	for proto := range message.Each(field) {
		for f := range proto.Fields() {
			if f.Number() != nodeOutput {
				continue
			}
			own, err := l.decoder.name(f)
			if err != nil {
				return err
			}
			if own == "" {
				continue
			}
			if _, twice := s.names[own]; twice {
				offset, _ := proto.Range()
				return l.decoder.fail(offset, fmt.Sprintf("within %q the value %q is made a second time", s.prefix, own), exportAgain)
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
		l.taken, l.next = valueNames(l.decoder.Model), map[string]int{}
	}
	if l.taken[name] && s.outer != nil {
		name = s.prefix + name
	}
	free := name
	if l.taken[name] {
		var i int
		free, i = numbered(name, max(2, l.next[name]), l.taken)
		l.next[name] = i + 1
	}
	l.taken[free] = true
	l.names += len(free)
	return free
}

// numbered returns name with the first number from i on that makes it one that is
// not taken, and the number.
func numbered(name string, i int, taken map[string]bool) (string, int) {
	for ; ; i++ {
		if free := name + "_" + strconv.Itoa(i); !taken[free] {
			return free, i
		}
	}
}

// valueNames returns the names of all values of the graph itself.
func valueNames(m *Model) map[string]bool {
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
