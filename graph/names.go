package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// FromPosition is the source of a name that the file does not give: where the
// weight is used, and as what.
const FromPosition onnx.NameSource = "position"

// nameWeights names the weights for which the file gives no usable name, from
// their position and role: patch_embed.weight, blocks.3.attn.qkv.weight,
// head.bias. Blocks are told by their attention: block i begins at the last
// neck before its attention and ends where the next one begins; the head begins
// after the last residual addition.
func (n *Network) nameWeights() {
	var named []*Weight
	for _, w := range n.Weights {
		if w.Name != "" {
			named = append(named, w)
		}
	}
	if len(named) < len(n.Weights) {
		p := n.plan()
		p.named = named
		for _, w := range n.Weights {
			if w.Name == "" {
				w.Name, w.Source = p.name(w), FromPosition
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

// structure is what naming by position needs to know.
type structure struct {
	steps      []*op.Step
	named      []*Weight // those for which the file gives a name, in order of first use
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
		if !s.Out.OnDataPath || !isAttention(s) {
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
		if s := k.value.Step; s != nil && s.Op.Name() == "Add" && s.In[0].OnDataPath && s.In[1].OnDataPath {
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
	b := p.blocks[block]
	prefix := p.prefix(w, block)
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

// prefix is what the name of a weight in a block begins with: what those around
// it have in common for which the file gives names, provided that it is an
// element of a list; else blocks.3. Around it are those up to the end of the
// attention's stage if it is there, else all of the block's.
func (p *structure) prefix(w *Weight, block int) string {
	b := p.blocks[block]
	end := p.headStart
	if block+1 < len(p.blocks) {
		end = min(end, p.blocks[block+1].start)
	}
	if w.first < b.attentionEnd {
		end = min(end, b.attentionEnd)
	}
	var common []string
	modules := map[string]bool{}
	from, _ := slices.BinarySearchFunc(p.named, b.start, func(w *Weight, start int) int { return w.first - start })
	for _, other := range p.named[from:] {
		if other.first >= end {
			break
		}
		path := strings.Split(other.Name, ".")
		module := path[:len(path)-1]
		if len(modules) == 0 {
			common = module
		}
		modules[strings.Join(module, ".")] = true
		k := 0
		for k < min(len(common), len(module)) && common[k] == module[k] {
			k++
		}
		common = common[:k]
	}
	if _, inList := splitList(append(slices.Clone(common), w.role)); len(modules) < 2 || !inList {
		return fmt.Sprintf("blocks.%d.", block)
	}
	return strings.Join(common, ".") + "."
}

// linearsBefore counts the linear maps of the data between a block's start and
// its attention.
func (p *structure) linearsBefore(b blockSpan) int {
	count := 0
	for _, s := range p.steps[b.start:b.attention] {
		if s.Out.OnDataPath && len(s.In) > 1 && s.In[0].OnDataPath && !s.In[1].OnDataPath && operandRole(s.Op, 1) == "weight" && !isNormalization(s.Op) {
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
