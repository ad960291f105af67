package graph

import (
	"fmt"

	"modeldoctor/graph/op"
	"modeldoctor/onnx"
)

// nameWeights names the weights for which the file gives no usable name, from
// their position and role: patch_embed.weight, blocks.3.attn.qkv.weight,
// head.bias. Blocks are told by their attention: block i begins at the last
// neck before its attention and ends where the next one begins; the head begins
// after the last residual addition.
func (n *Network) nameWeights() {
	nameless := false
	for _, w := range n.Weights {
		nameless = nameless || w.Name == ""
	}
	if nameless {
		p := n.plan()
		for _, w := range n.Weights {
			if w.Name == "" {
				w.Name = p.name(w)
			}
		}
	}
	seen := map[string]int{}
	for _, w := range n.Weights {
		seen[w.Name]++
		if k := seen[w.Name]; k > 1 {
			w.Name = fmt.Sprintf("%s_%d", w.Name, k)
		}
	}
}

// namesByTensor returns the weights' names, for another reading of the same
// file to take over.
func (n *Network) namesByTensor() map[*onnx.Tensor]string {
	names := map[*onnx.Tensor]string{}
	for _, w := range n.Weights {
		names[w.Tensor] = w.Name
	}
	return names
}

// structure is what naming by position needs to know.
type structure struct {
	steps      []*op.Step
	blocks     []blockSpan
	headStart  int            // step at which the head begins
	modules    map[int]string // step of a weight's use -> module name
	normsSeen  map[int]int
	linearSeen map[int]int
}

// blockSpan is one block: its first step, the step of its attention, and the
// end of the stage that holds it.
type blockSpan struct{ start, attention, attentionEnd int }

func (n *Network) plan() *structure {
	p := &structure{steps: n.steps, headStart: len(n.steps), modules: map[int]string{}, normsSeen: map[int]int{}, linearSeen: map[int]int{}}
	for i, s := range n.steps {
		if !s.Out.Data || !isAttention(s) {
			continue
		}
		b := blockSpan{attention: i, attentionEnd: len(n.steps)}
		for _, k := range n.Necks {
			if k.position <= i {
				b.start = k.position
			} else if k.position < b.attentionEnd {
				b.attentionEnd = k.position
			}
		}
		if len(p.blocks) == 0 || p.blocks[len(p.blocks)-1].start != b.start {
			p.blocks = append(p.blocks, b)
		}
	}
	for _, k := range n.Necks {
		if s := k.value.Step; s != nil && s.Op.Name() == "Add" && s.In[0].Data && s.In[1].Data {
			p.headStart = k.position
		}
	}
	return p
}

// isAttention reports whether a step is a fused attention or the Softmax of a
// plain one.
func isAttention(s *op.Step) bool {
	switch s.Op.Name() {
	case "Attention", "PackedAttention":
		return true
	case "Softmax":
		return s.Out.Type.Rank() > 2
	}
	return false
}

// name names a weight by the step that uses it first.
func (p *structure) name(w *Weight) string {
	module, ok := p.modules[w.first]
	if !ok {
		module = p.module(w)
		p.modules[w.first] = module
	}
	if module == "" {
		return w.Tensor.Name
	}
	if w.role == "tensor" {
		return module
	}
	return module + "." + w.role
}

func (p *structure) module(w *Weight) string {
	step := p.steps[w.first]
	block := -1
	for i, b := range p.blocks {
		if b.start <= w.first {
			block = i
		}
	}
	if w.first >= p.headStart {
		block = len(p.blocks)
	}
	linear := w.role != "tensor"
	norm := linear && isNormalization(step.Op)
	switch {
	case block < 0 && linear:
		p.linearSeen[block]++
		if norm {
			return fmt.Sprintf("embed_norm%d", p.linearSeen[block])
		}
		return ordinal("patch_embed", p.linearSeen[block])
	case block < 0 && step.Op.Name() == "Concat", block < 0 && step.Op.Name() == "Expand":
		return "cls_token"
	case block < 0:
		return "pos_embed"
	case block == len(p.blocks) && norm:
		p.normsSeen[block]++
		return ordinal("norm", p.normsSeen[block])
	case block == len(p.blocks) && linear:
		p.linearSeen[block]++
		return ordinal("head", p.linearSeen[block])
	case block == len(p.blocks):
		return ""
	}
	prefix := fmt.Sprintf("blocks.%d.", block)
	b := p.blocks[block]
	switch {
	case norm:
		p.normsSeen[block]++
		return fmt.Sprintf("%snorm%d", prefix, p.normsSeen[block])
	case linear && w.first < b.attention:
		p.linearSeen[block]++
		if count := p.linearsBefore(b); count == 3 {
			return prefix + "attn." + [...]string{"q", "k", "v"}[min(p.linearSeen[block]-1, 2)]
		} else if count > 1 {
			return fmt.Sprintf("%sattn.in%d", prefix, p.linearSeen[block])
		}
		return prefix + "attn.qkv"
	case linear && w.first < b.attentionEnd:
		return prefix + "attn.proj"
	case linear:
		fc := p.linearSeen[-2-block] + 1
		p.linearSeen[-2-block] = fc
		return fmt.Sprintf("%smlp.fc%d", prefix, fc)
	}
	return fmt.Sprintf("%sscale%d", prefix, w.first-b.start)
}

// linearsBefore counts the linear maps of the data between a block's start and
// its attention.
func (p *structure) linearsBefore(b blockSpan) int {
	count := 0
	for _, s := range p.steps[b.start:b.attention] {
		if s.Out.Data && len(s.In) > 1 && s.In[0].Data && !s.In[1].Data && operandRole(s.Op, 1) == "weight" && !isNormalization(s.Op) {
			count++
		}
	}
	return count
}

func isNormalization(o op.Op) bool {
	switch o.Name() {
	case "LayerNormalization", "RMSNormalization", "BatchNormalization", "InstanceNormalization":
		return true
	}
	return false
}

func ordinal(name string, k int) string {
	if k == 1 {
		return name
	}
	return fmt.Sprintf("%s%d", name, k)
}
