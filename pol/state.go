package pol

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/nn"
)

// State is a training after some of its epochs: all that [Options.Resume] needs
// to end in the same bits as if it had not been interrupted. It is written by
// [State.Write] as
//
//	one line of JSON: what is trained on what, and the epochs so far
//	the weights, the optimiser's buffers and the weights of the best epoch, as
//	little-endian float32
//	the SHA-256 digest of everything before
type State struct {
	identity                map[string]string // what must be the same to go on
	epochs                  []Epoch
	pace                    *Pace       // nil where the rate is given
	current, momentum, best [][]float32 // by index in the update's group
}

// stateHeader is the first line of a written state.
type stateHeader struct {
	Format   string            `json:"format"`
	Identity map[string]string `json:"identity"`
	Sizes    []int             `json:"sizes"`
	Epochs   []Epoch           `json:"epochs"`
	Pace     *Pace             `json:"pace"`
}

const (
	stateName      = "modeldoctor training state "
	stateFormat    = stateName + "4" // raised where a state of before would go on to other bits
	maxStateHeader = 1 << 20         // bytes
)

// state is the training as it is. It is valid until the training goes on.
func (t *trainer) state() (*State, error) {
	s := &State{identity: t.identity, epochs: t.epochs}
	if t.pacer != nil {
		s.pace = &t.pacer.Pace
	}
	for _, part := range []struct {
		to   *[][]float32
		from *nn.Vector
	}{{&s.current, t.parameters.values}, {&s.momentum, t.momentum}, {&s.best, t.best}} {
		for _, w := range t.parameters.weights {
			values, err := part.from.Values(w)
			if err != nil {
				return nil, err
			}
			*part.to = append(*part.to, values)
		}
	}
	return s, nil
}

// identityOf names everything that the bits of a training depend on.
func identityOf(m nn.Model, data *Data, plan Plan, o *Options) map[string]string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	id := map[string]string{
		"recipe": plan.Recipe.Name, "perturb": strings.Join(Names(plan.Perturb), ","), "update": strings.Join(Names(plan.Update), ","),
		"epochs": strconv.Itoa(o.Epochs), "batch": strconv.Itoa(o.Batch), "perturb-batch": strconv.Itoa(o.PerturbBatch),
		"lr": number(o.Rate), "momentum": number(o.Momentum), "weight-decay": number(o.WeightDecay), "schedule": string(o.Schedule),
		"loss": o.Loss.String(), "gamma-max": number(o.GammaMax), "rho": number(o.Rho), "perturb-every": strconv.Itoa(o.PerturbEvery),
		"seed": strconv.FormatUint(o.Seed, 10), "views": strconv.Itoa(data.views()), "temperature": number(o.Temperature),
		"run-batch": strconv.Itoa(m.Batch()), "weights": fmt.Sprint(newGroup(m, plan.Update...).weights, newGroup(m, plan.Perturb...).weights),
	}
	if o.RateFactor != 1 {
		id["lr-factor"] = number(o.RateFactor)
	}
	if o.Goal == LowerError {
		id["goal"] = o.Goal.String()
	}
	if o.Mix > 0 {
		id["mix"] = number(o.Mix)
	}
	if o.calibrated() {
		id["classifier"] = fmt.Sprint(o.Classifier.Weights)
	}
	for key, value := range o.Identity {
		id["identity of "+key] = value
	}
	return id
}

// sameIdentity is an error, of type [*DataError], unless what was saved is of the same
// work as what is done now. what names it.
func sameIdentity(what string, saved, now map[string]string) error {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(now)), maps.Keys(saved))
	slices.Sort(keys)
	for _, key := range keys {
		then, had := saved[key]
		is, has := now[key]
		if then != is || had != has {
			return &DataError{
				fmt.Sprintf("the saved %s is another one: its %s was %q and is %q now", what, key, then, is),
				"go on with the same model, data and flags, or begin anew",
			}
		}
	}
	return nil
}

// resume takes over a state. It is an error if that is of another training.
func (t *trainer) resume(s *State) error {
	if err := sameIdentity("training", s.identity, t.identity); err != nil {
		return err
	}
	var sizes []int
	for _, w := range t.parameters.weights {
		sizes = append(sizes, t.model.WeightElements(w))
	}
	if len(s.epochs) > t.opt.Epochs || !slices.Equal(s.sizes(), sizes) || (s.pace == nil) != (t.pacer == nil) {
		return &DataError{"the saved training does not fit this one", "begin anew"}
	}
	t.epochs = slices.Clone(s.epochs)
	if s.pace != nil {
		t.pacer.Pace = *s.pace
	}
	for i, w := range t.parameters.weights {
		if err := errors.Join(t.parameters.values.SetValues(w, s.current[i]), t.momentum.SetValues(w, s.momentum[i]), t.best.SetValues(w, s.best[i])); err != nil {
			return err
		}
	}
	return nil
}

// Epochs is the number of epochs that are done.
func (s *State) Epochs() int { return len(s.epochs) }

func (s *State) sizes() []int {
	sizes := make([]int, len(s.current))
	for i, w := range s.current {
		sizes[i] = len(w)
	}
	return sizes
}

func (s *State) arrays() [][]float32 { return slices.Concat(s.current, s.momentum, s.best) }

// Write writes the state.
func (s *State) Write(w io.Writer) error {
	header, err := json.Marshal(stateHeader{stateFormat, s.identity, s.sizes(), s.epochs, s.pace})
	if err != nil {
		return err
	}
	digest := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, digest), 1<<16)
	if _, err := out.Write(append(header, '\n')); err != nil {
		return err
	}
	var word [4]byte
	for _, a := range s.arrays() {
		for _, x := range a {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(x))
			if _, err := out.Write(word[:]); err != nil {
				return err
			}
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = w.Write(digest.Sum(nil))
	return err
}

// errNotState is what every malformed state is.
var errNotState = errors.New("not a saved training, or a damaged one")

// ReadState reads what [State.Write] has written. size is the number of bytes
// that r holds; no more memory than that is taken.
func ReadState(r io.Reader, size int64) (*State, error) {
	digest := sha256.New()
	in := bufio.NewReaderSize(r, 1<<16)
	line, err := readLine(in, digest)
	if err != nil {
		return nil, err
	}
	var header stateHeader
	if err := json.Unmarshal(line, &header); err != nil || !strings.HasPrefix(header.Format, stateName) {
		return nil, errNotState
	}
	if header.Format != stateFormat {
		return nil, fmt.Errorf("%q cannot be resumed by this version of modeldoctor, which reads %q: begin anew", header.Format, stateFormat)
	}
	elements := int64(0)
	for _, n := range header.Sizes {
		if n < 0 || int64(n) > size {
			return nil, errNotState
		}
		elements += int64(n)
	}
	if rest := size - int64(len(line)) - 1 - sha256.Size; rest < 0 || elements != rest/12 || rest%12 != 0 {
		return nil, errNotState
	}
	s := &State{identity: header.Identity, epochs: header.Epochs, pace: header.Pace}
	for _, part := range []*[][]float32{&s.current, &s.momentum, &s.best} {
		for _, n := range header.Sizes {
			a := make([]float32, n)
			if err := readFloats(in, digest, a); err != nil {
				return nil, err
			}
			*part = append(*part, a)
		}
	}
	var sum [sha256.Size]byte
	if _, err := io.ReadFull(in, sum[:]); err != nil || string(digest.Sum(nil)) != string(sum[:]) {
		return nil, errNotState
	}
	return s, nil
}

// readLine reads the header, without the end of the line.
func readLine(in *bufio.Reader, digest hash.Hash) ([]byte, error) {
	var line []byte
	for len(line) <= maxStateHeader {
		part, err := in.ReadSlice('\n')
		digest.Write(part)
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, errNotState
		}
	}
	return nil, errNotState
}

func readFloats(in io.Reader, digest hash.Hash, a []float32) error {
	var block [1 << 14]byte
	for len(a) > 0 {
		n := min(len(a), len(block)/4)
		if _, err := io.ReadFull(in, block[:4*n]); err != nil {
			return errNotState
		}
		digest.Write(block[:4*n])
		for i := range n {
			a[i] = math.Float32frombits(binary.LittleEndian.Uint32(block[4*i:]))
		}
		a = a[n:]
	}
	return nil
}
