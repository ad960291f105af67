package graph

import "github.com/modeldoctor/modeldoctor/metric"

// WorkingBytes is about how much memory the runner takes itself for a backward pass
// that wants these weights, in bytes: its arena, and the activations of a batch on their
// way in and between spans. A model whose weights are not float32 in the file takes
// their values, too, which are not counted. The pass is compiled.
func (r *Runner) WorkingBytes(want []int) int64 {
	from := len(r.network.Necks) - 1
	for _, w := range want {
		from = min(from, r.network.Weights[w].Neck)
	}
	widest := 0
	for k := range r.network.Necks {
		widest = max(widest, r.NeckElements(k))
	}
	b := r.backwardPass(metric.Loss{}, from, want, false)
	var arena int64
	elements := 0
	for i, k := range b.chain {
		bytes := r.network.stageBytes(k.from, k.to)
		if s, err := r.compiled(b, i); err == nil { // else the pass itself says what is wrong
			bytes = s.plan.ArenaBytes()
		}
		arena = max(arena, bytes)
		if i > 0 {
			elements += r.NeckElements(k.from)
		}
	}
	// A batch that is read, one that is filled up, and the cotangents of two necks.
	elements += 4 * widest
	return arena + int64(elements)*int64(r.Batch())*float32Bytes
}

const float32Bytes = 4
