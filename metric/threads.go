package metric

import "sync"

// enoughLogits is how many are worth a thread: it takes some 80 µs for their
// exponentials, many times what it takes to start.
const enoughLogits = 1 << 13

// each calls do for parts of the examples, from lo to hi, which together are all of
// them: on as many of the threads as there is enough to do for.
func (s Logits) each(do func(lo, hi int)) {
	n := s.Len()
	parts := max(1, min(s.Threads, n, n*s.Classes/enoughLogits))
	var wait sync.WaitGroup
	for k := 1; k < parts; k++ {
		wait.Go(func() { do(k*n/parts, (k+1)*n/parts) })
	}
	do(0, n/parts)
	wait.Wait()
}
