package main

import (
	"runtime/metrics"
	"sync"
	"time"
)

// memoryWatch samples how much memory the program holds for itself: the heap,
// which the arenas are part of, with its garbage and the runtime's own. Pages of
// mapped files are not in it.
type memoryWatch struct {
	end  chan struct{}
	done chan struct{}
	once sync.Once
	peak int64
}

// watchInterval is short beside the time for which a large allocation lives.
const watchInterval = 20 * time.Millisecond

func watchMemory() *memoryWatch {
	w := &memoryWatch{end: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		for {
			metrics.Read(samples)
			w.peak = max(w.peak, int64(samples[0].Value.Uint64()-samples[1].Value.Uint64()))
			select {
			case <-w.end:
				return
			case <-tick.C:
			}
		}
	}()
	return w
}

// stop ends the sampling and returns the most bytes that were held at a time. It
// may be called again.
func (w *memoryWatch) stop() int64 {
	w.once.Do(func() { close(w.end) })
	<-w.done
	return w.peak
}
