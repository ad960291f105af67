package pol

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// searchProblem is a search among five candidates on the layers of newProblem, with what
// carries it on to its end.
func searchProblem(t *testing.T) (m nn.Model, data Data, opt Options, candidates []Candidate, run func(s *LayerSearch, save func(*LayerSearch) error) (trials int, err error)) {
	p, layers, data := newProblem()
	opt = searchOptions(layers)
	opt.Epochs, opt.Identity = 4, map[string]string{"model": "a"}
	for _, c := range []struct{ p, u int }{{2, 1}, {1, 1}, {0, 2}, {2, 2}, {2, 0}} {
		candidates = append(candidates, Candidate{Perturb: layers[c.p], Update: layers[c.u], Why: WhyTop})
	}
	m = nntest.On(p)
	r := recipe(t, "pol")
	run = func(s *LayerSearch, save func(*LayerSearch) error) (trials int, err error) {
		err = s.Run(make([]int, len(s.Candidates)), save, func(rung int, some []int, tried func(int, Trial) error) error {
			var plans []Plan
			for _, c := range some {
				plans = append(plans, s.Candidates[c].Plan(r))
			}
			o := opt
			o.Epochs = s.Rungs[rung].Epochs
			return Try(t.Context(), m, data, plans, o, Tryout{func(int) {}, func(i int, trial Trial) error {
				trials++
				trial.StepTime, trial.ScanShare = 0, 0 // which no two runs have in common
				return tried(some[i], trial)
			}})
		})
		return trials, err
	}
	return m, data, opt, candidates, run
}

// TestLayerSearchResumes cuts a search short after each of its trials, and goes on from what
// was saved: to the same end, and with only the trials that are left.
func TestLayerSearchResumes(t *testing.T) {
	m, data, opt, candidates, run := searchProblem(t)
	whole := NewLayerSearch(m, data, candidates, opt)
	all, err := run(whole, nil)
	if err != nil || all != 5+3+2 || whole.Winner() < 0 {
		t.Fatalf("%d trials, winner %d, error %v", all, whole.Winner(), err)
	}
	_, layers, _ := newProblem()
	find := func(name string) (diag.Layer, error) {
		for _, l := range layers {
			if l.Name == name {
				return l, nil
			}
		}
		return diag.Layer{}, errInjected
	}
	for stop := 1; stop <= all; stop++ {
		var saved bytes.Buffer
		done := 0
		save := func(s *LayerSearch) error {
			saved.Reset()
			if err := s.Write(&saved); err != nil {
				return err
			}
			if done++; done == stop && stop < all {
				return errInjected
			}
			return nil
		}
		if _, err := run(NewLayerSearch(m, data, candidates, opt), save); stop < all && !errors.Is(err, errInjected) {
			t.Fatal(err)
		}
		s, err := ReadLayerSearch(&saved)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Resume(m, data, opt, find); err != nil {
			t.Fatal(err)
		}
		left, err := run(s, nil)
		if err != nil || left != all-stop {
			t.Errorf("after %d of %d trials %d are made, error %v", stop, all, left, err)
		}
		if !reflect.DeepEqual(s.Places, whole.Places) || !reflect.DeepEqual(s.Candidates, whole.Candidates) {
			t.Errorf("after %d trials the search ends otherwise", stop)
		}
		for r, trials := range whole.Trials {
			for c, want := range trials {
				switch got := s.Trials[r][c]; {
				case (got == nil) != (want == nil):
					t.Errorf("after %d trials candidate %d was tried in other rounds", stop, c)
				case want != nil: // this model rounds to float32 at the necks that it is run to alone
					near(t, "loss", *got.Loss, *want.Loss, 1e-6)
				}
			}
		}
	}
}

// TestLayerSearchWinner: the winner's loss on V is the lowest of its round.
func TestLayerSearchWinner(t *testing.T) {
	m, data, opt, candidates, run := searchProblem(t)
	s := NewLayerSearch(m, data, candidates, opt)
	if _, err := run(s, nil); err != nil {
		t.Fatal(err)
	}
	last := s.Trials[len(s.Trials)-1]
	for _, trial := range last {
		if trial != nil && *trial.Loss < *last[s.Winner()].Loss-lossResolution {
			t.Errorf("%v is lower than the winner's %v", *trial.Loss, *last[s.Winner()].Loss)
		}
	}
}

// TestLayerSearchRefuses: a state of another model, other data or options, or one that is
// damaged, is an error that says so.
func TestLayerSearchRefuses(t *testing.T) {
	m, data, opt, candidates, _ := searchProblem(t)
	s := NewLayerSearch(m, data, candidates, opt)
	var saved bytes.Buffer
	if err := s.Write(&saved); err != nil {
		t.Fatal(err)
	}
	find := func(string) (diag.Layer, error) { return candidates[0].Update, nil }
	for what, change := range map[string]func(o *Options, d *Data){
		"seed":                  func(o *Options, _ *Data) { o.Seed++ },
		"epochs":                func(o *Options, _ *Data) { o.Epochs++ },
		"loss":                  func(o *Options, _ *Data) { o.Loss, _ = metric.ParseLoss("smooth:0.1") },
		"views":                 func(_ *Options, d *Data) { d.Views = 2 },
		"identity of model":     func(o *Options, _ *Data) { o.Identity = map[string]string{"model": "b"} },
		"identity of something": func(o *Options, _ *Data) { o.Identity = map[string]string{"model": "a", "something": "b"} },
	} {
		again, err := ReadLayerSearch(bytes.NewReader(saved.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		o, d := opt, data
		change(&o, &d)
		var wrong *DataError
		if err := again.Resume(m, d, o, find); !errors.As(err, &wrong) || !strings.Contains(wrong.Msg, "its "+what+" was") {
			t.Errorf("another %s: %v", what, err)
		}
	}
	again, err := ReadLayerSearch(bytes.NewReader(saved.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var wrong *DataError
	if err := again.Resume(m, data, opt, func(string) (diag.Layer, error) { return diag.Layer{}, errInjected }); !errors.As(err, &wrong) {
		t.Errorf("a layer that is not there: %v", err)
	}
	for i := range saved.Len() {
		damaged := bytes.Clone(saved.Bytes())
		damaged[i] ^= 1
		if _, err := ReadLayerSearch(bytes.NewReader(damaged)); err == nil && i != saved.Len()-1 {
			t.Fatalf("a state whose byte %d is another is read", i)
		}
		if _, err := ReadLayerSearch(bytes.NewReader(saved.Bytes()[:i])); err == nil && i != saved.Len()-1 {
			t.Fatalf("%d bytes of a state are read", i)
		}
	}
}

// TestConcordances counts pairs of the same U, and leaves out those that say nothing.
func TestConcordances(t *testing.T) {
	number := func(x float64) *float64 { return &x }
	candidate := func(u string, neck int, kappa *float64) Candidate {
		return Candidate{Perturb: diag.Layer{Neck: neck}, Update: diag.Layer{Name: u}, Kappa: kappa}
	}
	trial := func(loss float64) *Trial { return &Trial{Loss: &loss} }
	s := &LayerSearch{
		Candidates: []Candidate{
			candidate("a", 1, number(3)), candidate("a", 2, number(2)), candidate("a", 3, nil), candidate("a", 3, number(1)),
			candidate("b", 9, number(9)), candidate("a", 4, number(0.5)),
		},
		// b is of another U, and the last one has diverged.
		Trials: [][]*Trial{{trial(1.0), trial(1.2), trial(1.1), trial(1.2001), trial(0.1), {}}},
	}
	want := []Concordance{{PredictKappa, 5, 5}, {PredictKappaScaled, 0, 0}, {PredictAgreement, 0, 0}, {PredictDepth, 1, 8}}
	if got := s.Concordances(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
