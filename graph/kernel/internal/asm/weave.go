package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/ir"
)

// A kernel that computes a long chain of dependent steps for one vector leaves the CPU waiting:
// the next vector's chain begins further down than it looks ahead. So the chains of a few
// vectors are emitted one by one, marked, and then woven into one stream of instructions.

// woven is the number of chains woven together, as far as 16 registers go.
const woven = 2

const (
	threadMark = "weave: thread"
	endMark    = "weave: end"
)

// weave emits n threads of instructions without jumps that do not depend on each other, to be
// executed in turns.
func (g *generator) weave(n int, thread func(i int)) {
	for i := range n {
		g.Comment(threadMark)
		thread(i)
	}
	g.Comment(endMark)
}

// weaveThreads replaces the marked threads of a function.
func weaveThreads(f *ir.Function) error {
	var out []ir.Node
	var threads [][]ir.Node
	for _, node := range f.Nodes {
		mark := ""
		if c, ok := node.(*ir.Comment); ok && len(c.Lines) == 1 {
			mark = c.Lines[0]
		}
		switch {
		case mark == threadMark:
			threads = append(threads, nil)
		case mark == endMark:
			out = append(out, inTurns(threads)...)
			threads = nil
		case threads == nil:
			out = append(out, node)
		default:
			if i, ok := node.(*ir.Instruction); !ok || i.IsBranch {
				return fmt.Errorf("%s: a label or jump in a woven thread", f.Name)
			}
			last := len(threads) - 1
			threads[last] = append(threads[last], node)
		}
	}
	f.Nodes = out
	return nil
}

func inTurns(threads [][]ir.Node) []ir.Node {
	var out []ir.Node
	for i := 0; ; i++ {
		before := len(out)
		for _, t := range threads {
			if i < len(t) {
				out = append(out, t[i])
			}
		}
		if len(out) == before {
			return out
		}
	}
}
