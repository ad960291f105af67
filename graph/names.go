package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// nameWeights names the weights for which the file gives no usable name, and says
// which block each weight is of. Blocks are the elements of the lists that names tell
// of, such as blocks.3 or layer1.0; where they tell of none, the file's names or those
// made up for a transformer, blocks are seen in what is computed (see [Network.units]).
//
// A transformer's weights are named from their position and role:
// patch_embed.weight, blocks.3.attn.qkv.weight, head.bias. Its blocks are told by
// their attention: block i begins at the last neck before its attention and ends where
// the next one begins; the head begins after the last residual addition.
func (n *Network) nameWeights() {
	p := newNamer(n)
	if len(p.blocks) == 0 {
		n.nameBySiblings()
	}
	p.named = n.named()
	if len(p.blocks) == 0 && len(blockLists(pathsOf(p.named))) == 0 {
		n.structure()
	}
	for _, w := range n.Weights {
		if w.Name == "" {
			w.Name, w.Source = p.name(w), onnx.FromPosition
		}
	}
	seen := map[string]int{}
	for _, w := range n.Weights {
		seen[w.Name]++
		if k := seen[w.Name]; k > 1 {
			w.Name = fmt.Sprintf("%s_%d", w.Name, k)
		}
	}
	if n.structured {
		return
	}
	members, ok := membershipsOf(pathsOf(n.Weights))
	if !ok {
		n.structure()
		return
	}
	for i, w := range n.Weights {
		w.member = members[i]
	}
	n.keepBiases()
	n.divideEnds()
}

// keepBiases has each bias for which the file has no name in the layer of the map that
// it is added to.
func (n *Network) keepBiases() {
	for _, o := range n.operators() {
		var of *Weight
		for _, i := range o.weights {
			w := n.Weights[i]
			switch {
			case w.first == o.step && of == nil:
				of = w
			case of != nil && (w.Source == onnx.FromPosition || w.Source == onnx.FromSibling) && n.roleIn(o, w) == string(roleBias) && w.member.block != of.member.block && isVector(w.Tensor.Shape):
				module := of.member.module(strings.Split(of.Name, "."))
				w.member = of.member
				w.member.named = module
			}
		}
	}
}

// isVector reports whether one dimension at most has more than one element.
func isVector(shape []int) bool {
	wide := 0
	for _, d := range shape {
		if d > 1 {
			wide++
		}
	}
	return wide <= 1
}

// pathsOf are the weights' names, split.
func pathsOf(weights []*Weight) [][]string {
	paths := make([][]string, len(weights))
	for i, w := range weights {
		paths[i] = strings.Split(w.Name, ".")
	}
	return paths
}

// named are the weights that have a name.
func (n *Network) named() []*Weight {
	var named []*Weight
	for _, w := range n.Weights {
		if w.Name != "" {
			named = append(named, w)
		}
	}
	return named
}

// nameBySiblings names the weights that have no name by the module of the operator that
// they belong to, where its own weight has a path.
func (n *Network) nameBySiblings() {
	for _, o := range n.operators() {
		module := ""
		for _, i := range o.weights {
			if w := n.Weights[i]; w.first == o.step && module == "" && strings.Contains(w.Name, ".") {
				module = moduleOf(strings.Split(w.Name, "."))
			}
		}
		for _, i := range o.weights {
			if w := n.Weights[i]; w.Name == "" && module != "" {
				w.Name, w.Source = module+"."+n.roleIn(o, w), onnx.FromSibling
			}
		}
	}
}

// namer names weights by their position, in order of first use.
type namer struct {
	steps     []*op.Step
	named     []*Weight // those for which the file gives a name, in order of first use
	blocks    []blockSpan
	headStart int            // step at which the head begins
	modules   map[int]string // step of a weight's use -> module name
	counts    []counts       // of what lies before the blocks, in each of them, and in the head
}

// blockSpan is one block: its first step, the step of its attention, and the
// end of the stage that holds it.
type blockSpan struct{ start, attention, attentionEnd int }

// counts numbers the modules of one kind that have been named so far.
type counts struct {
	norms   int
	convs   int // of a stem, but for that of patches
	linears int // in a block, those before the attention
	mlp     int // linear ones behind the attention
}

func newNamer(n *Network) *namer {
	p := &namer{steps: n.steps, headStart: len(n.steps), modules: map[int]string{}}
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
	p.counts = make([]counts, len(p.blocks)+2)
	for _, k := range n.Necks {
		if isResidual(k.value.Step) {
			p.headStart = k.position
		}
	}
	return p
}

// isResidual reports whether a step, nil for the image's, adds two values that
// depend on the image.
func isResidual(s *op.Step) bool {
	if s == nil {
		return false
	}
	return adds(s) && s.In[0].OnDataPath && s.In[1].OnDataPath
}

// adds reports whether a step is a sum, of floats or of integers.
func adds(s *op.Step) bool {
	switch s.Op.(type) {
	case op.Add, op.QLinearAdd:
		return true
	}
	return false
}

// isAttention reports whether a step is a fused attention or the Softmax of a
// plain one.
func isAttention(s *op.Step) bool {
	switch s.Op.(type) {
	case op.PackedAttention:
		return true
	case op.Softmax:
		return s.Out.Type.Rank() > 2
	}
	return false
}

// name names a weight by the step that uses it first.
func (p *namer) name(w *Weight) string {
	module, ok := p.modules[w.first]
	if !ok {
		module = p.module(w)
		p.modules[w.first] = module
	}
	if module == "" {
		return w.Tensor.Name
	}
	if w.role == roleTensor {
		return module
	}
	return module + "." + string(w.role)
}

// module names the module that a weight belongs to, "" where nothing tells.
func (p *namer) module(w *Weight) string {
	block := -1
	for i, b := range p.blocks {
		if b.start <= w.first {
			block = i
		}
	}
	if w.first >= p.headStart {
		block = len(p.blocks)
	}
	seen := &p.counts[block+1]
	switch block {
	case -1:
		return p.embedding(w, seen)
	case len(p.blocks):
		return p.head(w, seen)
	}
	return joined(p.prefix(w, block), p.inBlock(w, p.blocks[block], seen))
}

// joined puts the name of a module in a block behind the block's prefix. That may end in
// the attention, or the MLP, that the name begins with, where all names around are of
// modules in it: LeViT's norms lie in attn.qkv.
func joined(prefix, name string) string {
	part, _, inside := strings.Cut(name, ".")
	path := strings.Split(prefix, ".")
	for i := len(path) - 1; inside && i > 0; i-- {
		if isElement(path[i]) {
			break
		}
		if strings.Contains(path[i], part) {
			path = append(path[:i], "")
		}
	}
	return strings.Join(path, ".") + name
}

// embedding names a module before the first block.
func (p *namer) embedding(w *Weight, seen *counts) string {
	if w.role != roleTensor {
		if conv, ok := p.steps[w.first].Op.(op.Conv); ok && !conv.Patches() {
			seen.convs++
			return fmt.Sprintf("conv%d", seen.convs)
		}
		seen.linears++
		if p.isNorm(w) {
			return fmt.Sprintf("embed_norm%d", seen.linears)
		}
		return ordinal("patch_embed", seen.linears)
	}
	switch p.steps[w.first].Op.(type) {
	case op.Concat, op.Expand:
		return "cls_token"
	}
	return "pos_embed"
}

// head names a module behind the last block.
func (p *namer) head(w *Weight, seen *counts) string {
	switch {
	case p.isNorm(w):
		seen.norms++
		return ordinal("norm", seen.norms)
	case w.role != roleTensor:
		seen.linears++
		return ordinal("head", seen.linears)
	}
	return ""
}

// inBlock names a module within a block.
func (p *namer) inBlock(w *Weight, b blockSpan, seen *counts) string {
	switch {
	case w.role == roleTensor && p.biasesScores(w, b):
		return "attn.scores.bias"
	case w.role == roleTensor:
		return fmt.Sprintf("scale%d", w.first-b.start)
	case p.isNorm(w):
		seen.norms++
		return fmt.Sprintf("norm%d", seen.norms)
	case w.first < b.attention:
		seen.linears++
		switch count := p.linearsBefore(b); {
		case count == 3:
			return "attn." + [...]string{"q", "k", "v"}[min(seen.linears-1, 2)]
		case count > 1:
			return fmt.Sprintf("attn.in%d", seen.linears)
		}
		return "attn.qkv"
	case w.first < b.attentionEnd:
		return "attn.proj"
	}
	seen.mlp++
	return fmt.Sprintf("mlp.fc%d", seen.mlp)
}

// biasesScores reports whether a weight is what is added to the scores of a plain
// attention, or a table that this is looked up in.
func (p *namer) biasesScores(w *Weight, b blockSpan) bool {
	stack := []*op.Value{p.steps[b.attention].In[0]}
	for len(stack) > 0 {
		s := stack[len(stack)-1].Step
		stack = stack[:len(stack)-1]
		switch {
		case s == nil:
		case s.Out.OnDataPath:
			if adds(s) {
				if s == p.steps[w.first] {
					return true
				}
				stack = append(stack, s.In...)
			} else if _, views := s.Op.(op.View); views {
				stack = append(stack, s.In[0])
			}
		case s == p.steps[w.first]:
			return true
		default:
			stack = append(stack, s.In...)
		}
	}
	return false
}

// isNorm reports whether a weight is the scale or the shift of a normalisation.
func (p *namer) isNorm(w *Weight) bool {
	return w.role != roleTensor && isNormalization(p.steps[w.first].Op)
}

// prefix is what the name of a weight in a block begins with: what those around
// it have in common for which the file gives names, or in a stage of blocks the module
// that holds the norm before it, provided that it is an element of a list; else blocks.3.
// Around it are those up to the end of the attention's stage if it is there, else all of
// the block's.
func (p *namer) prefix(w *Weight, block int) string {
	b := p.blocks[block]
	end := p.headStart
	if block+1 < len(p.blocks) {
		end = min(end, p.blocks[block+1].start)
	}
	if w.first < b.attentionEnd {
		end = min(end, b.attentionEnd)
	}
	var common, normed []string // normed: the module of the last norm before
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
		if other.first <= w.first && p.isNorm(other) && len(module) > 0 {
			normed = module[:len(module)-1]
		}
		modules[strings.Join(module, ".")] = true
		k := 0
		for k < min(len(common), len(module)) && common[k] == module[k] {
			k++
		}
		common = common[:k]
	}
	if len(modules) == 1 && len(common) > 0 { // one module of the block, such as the norm before its attention
		common = upToElement(common[:len(common)-1])
	}
	inStage := false // what they have in common is a stage, of which the blocks are elements of a list
	for module := range modules {
		inStage = inStage || slices.ContainsFunc(strings.Split(module, ".")[len(common):], isElement)
	}
	if inStage && len(normed) > len(common) { // in one of the blocks, or what leads out of the stage
		common = normed
	}
	if _, inList := splitList(append(slices.Clone(common), string(w.role))); !inList {
		return fmt.Sprintf("blocks.%d.", block)
	}
	return strings.Join(common, ".") + "."
}

// isElement reports whether a component of a path is an element of a list.
func isElement(component string) bool {
	_, _, ok := element(component)
	return ok
}

// upToElement cuts what follows the last element of a list off a path.
func upToElement(path []string) []string {
	for len(path) > 0 && !isElement(path[len(path)-1]) {
		path = path[:len(path)-1]
	}
	return path
}

// linearsBefore counts the linear maps of the data between a block's start and
// its attention.
func (p *namer) linearsBefore(b blockSpan) int {
	count := 0
	for _, s := range p.steps[b.start:b.attention] {
		if s.Out.OnDataPath && len(s.In) > 1 && s.In[0].OnDataPath && !s.In[1].OnDataPath && roleOf(s.Op, 1) == roleWeight && !isNormalization(s.Op) {
			count++
		}
	}
	return count
}

func isNormalization(o op.Op) bool {
	switch o.(type) {
	case op.LayerNormalization, op.RMSNormalization, op.BatchNormalization:
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
