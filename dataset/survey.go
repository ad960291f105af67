package dataset

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// A Survey is what is found when all images of a set are decoded once.
type Survey struct {
	Bad     []BadImage // in data order
	Turned  int        // images whose EXIF orientation is not upright
	Clipped int        // images of 16 bits of grey, of which some were above 255
}

// A BadImage is an example whose image cannot be used.
type BadImage struct {
	Index int
	Err   error
}

// Look decodes all images of a set, if they lie in files of their own; others are
// whole once they are read. It calls progress, from one goroutine at a time, with
// how many are done. The only error is the context's.
func Look(ctx context.Context, s Set, progress func(done, total int)) (Survey, error) {
	if !OfFolders(s) {
		return Survey{}, nil
	}
	var (
		survey   Survey
		mu       sync.Mutex
		done     int
		next     atomic.Int64
		all      sync.WaitGroup
		problems = make([]error, s.Len())
	)
	for range min(runtime.GOMAXPROCS(0), s.Len()) {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= s.Len() {
					return
				}
				img, err := s.Image(i)
				mu.Lock()
				problems[i] = err
				if file, ok := img.(*fileImage); ok && err == nil {
					if file.orientation != 1 {
						survey.Turned++
					}
					if file.clipped {
						survey.Clipped++
					}
				}
				done++
				progress(done, s.Len())
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return Survey{}, err
	}
	for i, err := range problems {
		if err != nil {
			survey.Bad = append(survey.Bad, BadImage{i, err})
		}
	}
	return survey, nil
}

// Without returns a set without the bad images.
func Without(s Set, bad []BadImage) Set {
	isBad := make(map[int]bool, len(bad))
	for _, b := range bad {
		isBad[b.Index] = true
	}
	var good []int
	for i := range s.Len() {
		if !isBad[i] {
			good = append(good, i)
		}
	}
	return byClass(s, s.Name(), good) // few are bad, and so the shares are about those of s
}
