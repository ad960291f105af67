package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
)

// FixFile is what compare reads of a report that FixJSON has written.
type FixFile struct {
	Perturb, Update []string
	Before          metric.Figures
	Run             CompareRun
	CacheBytes      int64
	CacheInFile     bool
}

// readFigures are figures of which null stands for what is not finite.
type readFigures struct {
	Loss  *float64 `json:"loss"`
	Error *float64 `json:"error"`
	ECE   *float64 `json:"ece"`
}

func (f *readFigures) figures() metric.Figures {
	value := func(x *float64) float64 {
		if x == nil {
			return math.NaN()
		}
		return *x
	}
	return metric.Figures{Loss: value(f.Loss), Error: value(f.Error), ECE: value(f.ECE)}
}

// ReadFix reads a report of fix.
func ReadFix(r io.Reader) (*FixFile, error) {
	var j struct {
		SchemaVersion int `json:"schema_version"`
		Recipe        struct {
			Perturb []string `json:"perturb"`
			Update  []string `json:"update"`
		} `json:"recipe"`
		Before readFigures  `json:"before"`
		After  *readFigures `json:"after"`
		Gain   *struct {
			Loss float64    `json:"loss"`
			CI95 [2]float64 `json:"ci95"`
		} `json:"gain"`
		Accepted        bool    `json:"accepted"`
		Stopped         *string `json:"stopped"`
		SecondsPerEpoch float64 `json:"seconds_per_epoch"`
		PeakBytes       int64   `json:"peak_bytes"`
		Cache           struct {
			Bytes int64  `json:"bytes"`
			Where string `json:"where"`
		} `json:"cache"`
		Provenance struct {
			Seed      uint64 `json:"seed"`
			PeakBytes int64  `json:"peak_bytes"`
		} `json:"provenance"`
	}
	if err := json.NewDecoder(io.LimitReader(r, maxReport)).Decode(&j); err != nil {
		return nil, fmt.Errorf("no report of a treatment: %w", err)
	}
	if j.SchemaVersion != SchemaVersion {
		return nil, errors.New("no report of a treatment")
	}
	f := &FixFile{
		Perturb: j.Recipe.Perturb, Update: j.Recipe.Update, Before: j.Before.figures(),
		CacheBytes: j.Cache.Bytes, CacheInFile: j.Cache.Where == "file",
		Run: CompareRun{
			Seed: j.Provenance.Seed, SecondsPerEpoch: j.SecondsPerEpoch, PeakBytes: j.PeakBytes, ResidentBytes: j.Provenance.PeakBytes,
			Accepted: j.Accepted,
		},
	}
	if j.Stopped != nil {
		f.Run.Stopped = *j.Stopped
	}
	if a := j.After; a != nil {
		f.Run.Loss, f.Run.Error, f.Run.ECE = a.Loss, a.Error, a.ECE
	}
	if g := j.Gain; g != nil {
		f.Run.Gain, f.Run.GainCI95 = &g.Loss, &g.CI95
	}
	return f, nil
}

// Add adds a run to the row of its recipe.
func (r *CompareRow) Add(f *FixFile) {
	r.Perturb, r.Update = f.Perturb, f.Update
	r.Runs = append(r.Runs, f.Run)
	r.PeakBytes = max(r.PeakBytes, f.Run.PeakBytes)
	r.ResidentBytes = max(r.ResidentBytes, f.Run.ResidentBytes)
	r.CacheBytes = max(r.CacheBytes, f.CacheBytes)
	r.CacheInFile = r.CacheInFile || f.CacheInFile
	if f.Run.Accepted {
		r.Accepted++
	}
	var seconds, loss, wrong, ece, gain []float64
	for _, run := range r.Runs {
		if run.SecondsPerEpoch > 0 {
			seconds = append(seconds, run.SecondsPerEpoch)
		}
		if run.Loss != nil && run.Error != nil && run.ECE != nil {
			loss, wrong, ece = append(loss, *run.Loss), append(wrong, *run.Error), append(ece, *run.ECE)
		}
		if run.Gain != nil {
			gain = append(gain, *run.Gain)
		}
	}
	r.Loss, r.Error, r.ECE, r.Gain, r.SecondsPerEpoch = spreadOf(loss), spreadOf(wrong), spreadOf(ece), spreadOf(gain), spreadOf(seconds)
}

// spreadOf is the mean and the standard deviation (n − 1) of some runs; nil for
// none.
func spreadOf(x []float64) *Spread {
	if len(x) == 0 {
		return nil
	}
	mean, se := metric.MeanAndError(x)
	return &Spread{Mean: mean, SD: se * math.Sqrt(float64(len(x))), N: len(x)}
}
