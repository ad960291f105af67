package pol

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/nn"
)

// LayerSearch is a search for the layers to perturb and to update, as far as it has
// come: candidates, of which a successive halving by V's loss leaves one; see [Halve].
// That loss is the smallest of many noisy ones and so too low: what the winner is worth
// only H says.
type LayerSearch struct {
	Candidates []Candidate
	Rungs      []Rung
	// Trials are by round and candidate; nil where a candidate was not, or is not yet,
	// in a round.
	Trials [][]*Trial
	Places []Place // by candidate, once the search has ended

	identity map[string]string
}

// NewLayerSearch begins a search whose last round trains for opt.Epochs. The options,
// and what their Identity names, are what another run must have in common with this one
// to go on with it.
func NewLayerSearch(m nn.Model, data Data, candidates []Candidate, opt Options) *LayerSearch {
	s := &LayerSearch{Candidates: candidates, identity: searchIdentity(m, &data, &opt)}
	s.plan(opt.Epochs)
	return s
}

func searchIdentity(m nn.Model, data *Data, opt *Options) map[string]string {
	return identityOf(m, data, Plan{}, opt)
}

// plan makes room for the trials of all rounds.
func (s *LayerSearch) plan(epochs int) {
	s.Rungs = Rungs(len(s.Candidates), epochs)
	s.Trials = make([][]*Trial, len(s.Rungs))
	for r := range s.Trials {
		s.Trials[r] = make([]*Trial, len(s.Candidates))
	}
}

// Run carries the search on to its end. try treats some candidates for a number of
// epochs, in any order, and hands each trial to tried. work is a measure of what each
// candidate costs, by which ties are broken. save, if not nil, is called after each
// trial.
func (s *LayerSearch) Run(work []int, save func(*LayerSearch) error, try func(rung int, candidates []int, tried func(candidate int, t Trial) error) error) error {
	var err error
	s.Places, err = Halve(s.Rungs, work, func(rung int, candidates []int) ([]float64, error) {
		trials := s.Trials[rung]
		missing := slices.DeleteFunc(slices.Clone(candidates), func(c int) bool { return trials[c] != nil })
		err := try(rung, missing, func(c int, t Trial) error {
			trials[c] = &t
			if save == nil {
				return nil
			}
			return save(s)
		})
		if err != nil {
			return nil, err
		}
		losses := make([]float64, len(candidates))
		for i, c := range candidates {
			losses[i] = trials[c].loss()
		}
		return losses, nil
	})
	return err
}

// Winner is the number of the candidate that has won; -1 where none has.
func (s *LayerSearch) Winner() int {
	return slices.IndexFunc(s.Places, func(p Place) bool { return p.Won })
}

// savedSearch is what a search writes.
type savedSearch struct {
	Format     string            `json:"format"`
	Identity   map[string]string `json:"identity"`
	Candidates []Candidate       `json:"candidates"`
	Trials     [][]*Trial        `json:"trials"`
}

const (
	searchFormat = "modeldoctor layer search 1"
	maxSearch    = 16 << 20 // bytes of a saved search
)

// Write writes the search as one line of JSON and, in a second, its SHA-256 digest.
func (s *LayerSearch) Write(w io.Writer) error {
	text, err := json.Marshal(savedSearch{searchFormat, s.identity, s.Candidates, s.Trials})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n%x\n", text, sha256.Sum256(text))
	return err
}

// errNotSearch is what every malformed saved search is.
var errNotSearch = errors.New("not a saved search for layers, or a damaged one")

// ReadLayerSearch reads what [LayerSearch.Write] has written. It can be run once
// [LayerSearch.Resume] has found it to be of the same work.
func ReadLayerSearch(r io.Reader) (*LayerSearch, error) {
	all, err := io.ReadAll(io.LimitReader(r, maxSearch))
	if err != nil {
		return nil, err
	}
	text, digest, found := strings.Cut(strings.TrimSuffix(string(all), "\n"), "\n")
	sum := sha256.Sum256([]byte(text))
	var saved savedSearch
	if !found || digest != hex.EncodeToString(sum[:]) || json.Unmarshal([]byte(text), &saved) != nil || saved.Format != searchFormat || len(saved.Candidates) == 0 {
		return nil, errNotSearch
	}
	for _, trials := range saved.Trials {
		if len(trials) != len(saved.Candidates) {
			return nil, errNotSearch
		}
	}
	return &LayerSearch{Candidates: saved.Candidates, Trials: saved.Trials, identity: saved.Identity}, nil
}

// Resume makes a search that was read ready to be run. find finds a layer by its name.
// It is an error, of type [*DataError], if the search is of another model, other data
// or other options.
func (s *LayerSearch) Resume(m nn.Model, data Data, opt Options, find func(name string) (diag.Layer, error)) error {
	if err := sameIdentity("search", s.identity, searchIdentity(m, &data, &opt)); err != nil {
		return err
	}
	trials := s.Trials
	s.plan(opt.Epochs)
	if len(trials) != len(s.Trials) {
		return &DataError{"the saved search does not fit this one", "begin anew"}
	}
	s.Trials = trials
	for i := range s.Candidates {
		for _, l := range []*diag.Layer{&s.Candidates[i].Perturb, &s.Candidates[i].Update} {
			if len(l.Weights) == 0 {
				continue // nothing is perturbed
			}
			var err error
			if *l, err = find(l.Name); err != nil {
				return &DataError{fmt.Sprintf("the saved search does not fit this one: %v", err), "begin anew"}
			}
		}
	}
	return nil
}
