package graph

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// A span is a run of adjacent stages compiled into one Gorgonia graph. A
// forward span computes the neck it ends in; a backward span computes, from the
// cotangent of what it ends in, the gradients of some of its weights and the
// cotangent of the neck it begins at. One that ends at the logits goes on to
// the per-example losses.
type span struct {
	graph *op.Graph
	plan  *exec.Plan

	in        *gorgonia.Node // the neck it begins at
	out       *gorgonia.Node // the neck it ends in
	weights   []boundWeight
	constants []boundConstant

	labels, inverseTemperature, losses *gorgonia.Node // where it ends at the logits

	cotangent   *gorgonia.Node           // of out, or of losses
	gradients   map[*gorgonia.Node][]int // the weights whose gradient a node holds
	inCotangent *gorgonia.Node           // cotangent of in; nil where not wanted
}

type boundWeight struct {
	index int
	node  *gorgonia.Node
}

// spanKind chooses what compileSpan builds.
type spanKind struct {
	from, to    int
	loss        metric.Loss // where it ends at the logits
	backward    bool
	want        []int // weights whose gradients a backward span computes, ascending
	inCotangent bool  // and whether it computes the cotangent of its input
	losses      bool  // and whether, ending at the logits, it keeps the losses
}

// appendKey appends what tells the kind from any other to key.
func (k spanKind) appendKey(key []byte) []byte {
	key = binary.AppendUvarint(key, uint64(k.from))
	key = binary.AppendUvarint(key, uint64(k.to))
	key = append(key, flag(k.backward)|flag(k.inCotangent)<<1|flag(k.losses)<<2)
	key = appendLossKey(key, k.loss)
	for _, w := range k.want {
		key = binary.AppendUvarint(key, uint64(w))
	}
	return key
}

func (k spanKind) wants(weight int) bool {
	_, found := slices.BinarySearch(k.want, weight)
	return found
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// compileSpan builds, differentiates and plans a span for a device.
func (n *Network) compileSpan(k spanKind, on exec.Device) (*span, error) {
	s := &span{graph: op.NewGraph()}
	b := &spanBuilder{network: n, span: s, kind: k, nodes: map[*op.Value]*gorgonia.Node{}}
	start := n.Necks[k.from].value
	s.in = s.graph.Input("activations", start.Type, k.inCotangent)
	b.nodes[start] = s.in
	var err error
	if s.out, err = b.build(n.Necks[k.to].value); err != nil {
		return nil, err
	}
	result := s.out
	if k.to == len(n.Necks)-1 {
		if err := b.addLoss(); err != nil {
			return nil, err
		}
		result = s.losses
	}
	outputs := []*gorgonia.Node{s.out}
	if result != s.out {
		outputs = append(outputs, result)
	}
	var streamed []*gorgonia.Node
	if k.backward {
		if outputs, streamed, err = b.differentiate(result); err != nil {
			return nil, err
		}
	}
	config := exec.Config{Outputs: outputs, Streamed: streamed}
	if h, ok := on.(host); ok {
		config.OnHost, config.Threads = true, h.Threads()
	}
	if on.BFloat16() {
		config.BFloat16 = []*gorgonia.Node{s.in, s.cotangent}
	}
	s.plan, err = exec.Compile(s.graph, config)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// bindConstants gives the span its constants on the device that it is to run on.
func (s *span) bindConstants(d exec.Device) error {
	for _, c := range s.constants {
		shared, err := d.Share(c.array)
		if err != nil {
			return fmt.Errorf("memory for constants: %w", err)
		}
		s.plan.Bind(c.node, shared)
	}
	return nil
}

// spanBuilder turns steps into the nodes of one span.
type spanBuilder struct {
	network *Network
	span    *span
	kind    spanKind
	nodes   map[*op.Value]*gorgonia.Node
}

type boundConstant struct {
	node  *gorgonia.Node
	array op.Array
}

// build adds everything v depends on, down to the span's input.
func (b *spanBuilder) build(v *op.Value) (*gorgonia.Node, error) {
	needed := b.needed(v)
	for _, s := range b.network.steps {
		if !needed[s] {
			continue
		}
		in := make([]*gorgonia.Node, len(s.In))
		for i, u := range s.In {
			in[i] = b.leaf(u)
		}
		node, err := b.span.graph.Apply(s.Op, in...)
		if err != nil {
			if s.Node != nil {
				err = fmt.Errorf("%s: %w", s.Node.Label(), err)
			}
			return nil, err
		}
		if s.Node != nil {
			b.span.graph.SetLabel(node, s.Node.Label())
		}
		b.nodes[s.Out] = node
	}
	return b.nodes[v], nil
}

// needed marks the steps between the span's input and v.
func (b *spanBuilder) needed(v *op.Value) map[*op.Step]bool {
	needed := map[*op.Step]bool{}
	stack := []*op.Value{v}
	for len(stack) > 0 {
		u := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if u.Step == nil || needed[u.Step] || b.nodes[u] != nil {
			continue
		}
		needed[u.Step] = true
		stack = append(stack, u.Step.In...)
	}
	return needed
}

// leaf returns the node of a value, adding it where it is a constant or a
// weight.
func (b *spanBuilder) leaf(u *op.Value) *gorgonia.Node {
	if node := b.nodes[u]; node != nil {
		return node
	}
	g := b.span.graph
	var node *gorgonia.Node
	switch u.Kind {
	case op.Constant:
		node = g.Input(fmt.Sprintf("constant %d", len(b.span.constants)), u.Type, false)
		b.span.constants = append(b.span.constants, boundConstant{node, *u.Const})
	case op.Weight:
		i, ok := b.network.weightOf[u]
		if !ok {
			panic("graph: " + u.Name + " is no weight of the network")
		}
		node = g.Input(fmt.Sprintf("weight %d", i), u.Type, b.kind.wants(i))
		b.span.weights = append(b.span.weights, boundWeight{i, node})
	default:
		panic("graph: a span reads a value from outside of it")
	}
	b.nodes[u] = node
	return node
}

func (b *spanBuilder) addLoss() error {
	s, logits := b.span, b.network.Necks[b.kind.to].value.Type
	s.labels = s.graph.Input("labels", op.Type{DType: onnx.Int64, Shape: logits.Shape[:1]}, false)
	s.inverseTemperature = s.graph.Input("inverse temperature", logits.With(), false)
	var err error
	s.losses, err = s.graph.Apply(op.Loss{Of: lossOp(b.kind.loss)}, s.out, s.labels, s.inverseTemperature)
	return err
}

// differentiate appends the backward pass and returns the outputs that are kept
// and those that are handed out as soon as they are complete.
func (b *spanBuilder) differentiate(result *gorgonia.Node) (outputs, streamed []*gorgonia.Node, err error) {
	s := b.span
	s.cotangent = s.graph.Input("cotangent", s.graph.TypeOf(result), false)
	var wrt []*gorgonia.Node
	var indices []int
	for _, w := range s.weights {
		if b.kind.wants(w.index) {
			wrt = append(wrt, w.node)
			indices = append(indices, w.index)
		}
	}
	if b.kind.inCotangent {
		wrt = append(wrt, s.in)
	}
	gradients, err := s.graph.Backpropagate(result, s.cotangent, wrt)
	if err != nil {
		return nil, nil, err
	}
	s.gradients = map[*gorgonia.Node][]int{}
	for i, w := range indices {
		// Two weights that are added to one value share their gradient's node.
		s.gradients[gradients[i]] = append(s.gradients[gradients[i]], w)
		streamed = append(streamed, gradients[i])
	}
	if b.kind.inCotangent {
		s.inCotangent = gradients[len(gradients)-1]
		outputs = append(outputs, s.inCotangent)
	}
	if b.kind.losses && s.losses != nil {
		outputs = append(outputs, s.losses)
	}
	return outputs, streamed, nil
}
