// Package peak watches how much memory the program takes.
package peak

import (
	"runtime/metrics"
	"sync"
	"time"
)

// Watch samples how much memory the program holds for itself: the heap,
// which the arenas are part of, with its garbage and the runtime's own. Pages of
// mapped files are not in it.
type Watch struct {
	end  chan struct{}
	done chan struct{}
	once sync.Once
	peak int64
}

// Start samples until Stop, at intervals that should be short beside the time for
// which a large allocation lives.
func Start(interval time.Duration) *Watch {
	w := &Watch{end: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(interval)
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

// Stop ends the sampling and returns the most bytes that were held at a time. It
// may be called again.
func (w *Watch) Stop() int64 {
	w.once.Do(func() { close(w.end) })
	<-w.done
	return w.peak
}
