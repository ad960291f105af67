package examples

import (
	"context"
	"fmt"
	"sync"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/nn"
)

// detectionImages is how many images preprocessing is detected on.
const detectionImages = 64

// DetectPreprocess returns the preset with the lowest loss on some of the images,
// evenly spaced in order of class. Where the model is better than guessing with
// none of them, the error is a [*diag.ChanceError].
func DetectPreprocess(ctx context.Context, m nn.Model, images dataset.Set, in graph.InputSpec, progress func(phase string, done, total int)) (dataset.Preprocess, error) {
	some := dataset.Sample(images, images.Name(), detectionImages)
	presets := dataset.Presets()
	candidates := make([]diag.Candidate, len(presets))
	byName := map[string]dataset.Preprocess{}
	var mu sync.Mutex // guards done
	done := 0
	for i, p := range presets {
		p, err := p.ForInput(in.Height, in.Width)
		if err != nil {
			return dataset.Preprocess{}, err
		}
		byName[p.Name] = p
		candidates[i] = diag.Candidate{Name: p.Name, Examples: &announced{New(some, p, in), func() {
			mu.Lock()
			defer mu.Unlock()
			progress("preprocessing", done, some.Len()*len(presets))
			done++
		}}}
	}
	scores, err := diag.Detect(ctx, m, candidates)
	if err != nil {
		return dataset.Preprocess{}, err
	}
	best := byName[scores[0].Name]
	best.Source = fmt.Sprintf("detected on %d images: loss %s, next best %s with %s", some.Len(), lossText(scores[0]), scores[1].Name, lossText(scores[1]))
	return best, nil
}

// announced examples say so before one is read.
type announced struct {
	*Set
	reading func()
}

func (a *announced) Read(i int, dst []float32) error {
	a.reading()
	return a.Set.Read(i, dst)
}

func lossText(s diag.Score) string {
	if s.Loss == nil {
		return "not finite"
	}
	return fmt.Sprintf("%.3f", *s.Loss)
}
