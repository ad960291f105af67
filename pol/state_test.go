package pol

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// savedState is what a state is written as after some of a treatment's epochs.
func savedState(t testing.TB, m nntest.Slices, data Data, plan Plan, opt Options, epochs int) []byte {
	t.Helper()
	var written bytes.Buffer
	opt.Save = func(s *State) error {
		if s.Epochs() != epochs {
			return nil
		}
		return s.Write(&written)
	}
	treat(t, m, data, plan, opt)
	if written.Len() == 0 {
		t.Fatalf("nothing was saved after epoch %d", epochs)
	}
	return written.Bytes()
}

func readState(t testing.TB, written []byte) *State {
	t.Helper()
	s, err := ReadState(bytes.NewReader(written), int64(len(written)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// withoutTimes are epochs in which nothing is left that a clock decides.
func withoutTimes(epochs []Epoch) []Epoch {
	epochs = slices.Clone(epochs)
	for i := range epochs {
		epochs[i].Duration, epochs[i].Scanning = 0, 0
	}
	return epochs
}

// TestResume interrupts a training after each of its epochs: what follows is bit
// for bit what would have followed.
func TestResume(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		for _, rate := range []float64{smallOptions().Rate, 0} {
			t.Run(fmt.Sprintf("%s at %v", name, rate), func(t *testing.T) { checkResume(t, plan, rate) })
		}
	}
}

func checkResume(t *testing.T, plan Plan, rate float64) {
	m, _, data := newProblem()
	data.Views = 2 // 20 images: drawn views must not depend on the interruption either
	opt := smallOptions()
	opt.Rate, opt.Batch, opt.PerturbEvery, opt.Identity = rate, 6, 2, map[string]string{"model": "abc"}
	var saves []int
	opt.Save = func(s *State) error {
		saves = append(saves, s.Epochs())
		return nil
	}
	want := treat(t, m, data, plan, opt)
	if !slices.Equal(saves, []int{1, 2, 3}) {
		t.Errorf("saved after epochs %v, want each", saves)
	}
	opt.Save = nil
	for epochs := 1; epochs <= opt.Epochs; epochs++ {
		opt.Resume = nil
		opt.Resume = readState(t, savedState(t, m, data, plan, opt, epochs))
		check := untouched(&m.weightTable)
		got := treat(t, m, data, plan, opt)
		check(t)
		if !sameWeights(got.Weights, want.Weights) {
			t.Errorf("resumed after epoch %d, other weights", epochs)
		}
		if !reflect.DeepEqual(withoutTimes(got.Epochs), withoutTimes(want.Epochs)) || got.Best != want.Best || got.Steps != want.Steps {
			t.Errorf("resumed after epoch %d:\n%+v, want\n%+v", epochs, got.Epochs, want.Epochs)
		}
		if *got.Gain != *want.Gain || *got.After != *want.After {
			t.Errorf("resumed after epoch %d, other figures: %+v, want %+v", epochs, got.Gain, want.Gain)
		}
		if (rate == 0) != (got.Pace != nil) || !reflect.DeepEqual(got.Pace, want.Pace) {
			t.Errorf("resumed after epoch %d: pace %+v, want %+v", epochs, got.Pace, want.Pace)
		}
	}
}

// TestResumeKeepsBest resumes after epochs of which the best is not the last, and
// no later one is better.
func TestResumeKeepsBest(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["sgd"], smallOptions()
	data.Train = contrary(data.Train.(*samples), m.Classes())
	want := treat(t, m, data, plan, opt)
	if want.Best != 1 {
		t.Fatalf("the best epoch is %d, want 1", want.Best)
	}
	opt.Resume = readState(t, savedState(t, m, data, plan, opt, 2))
	if got := treat(t, m, data, plan, opt); got.Best != 1 || !sameWeights(got.Weights, want.Weights) {
		t.Errorf("best epoch %d, or other weights", got.Best)
	}
}

// contrary is the examples with wrong labels: training on them harms.
func contrary(s *samples, classes int) *samples {
	c := &samples{images: s.images}
	for _, l := range s.labels {
		c.labels = append(c.labels, (l+1)%classes)
	}
	return c
}

// TestResumeRefused changes everything that the bits of a training depend on, one
// at a time. A field that is added to Options has to be listed here: as a change,
// or as one that changes no bits.
func TestResumeRefused(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	opt.Identity = map[string]string{"model": "abc", "data": "def"}
	written := savedState(t, m, data, plan, opt, 1)
	smooth, err := metric.ParseLoss("smooth:0.3")
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(*Options){
		"Epochs":       func(o *Options) { o.Epochs = 4 },
		"Batch":        func(o *Options) { o.Batch = 11 },
		"PerturbBatch": func(o *Options) { o.PerturbBatch = 16 },
		"Rate":         func(o *Options) { o.Rate = 0.050000000000000001 * 1.0000000000000003 },
		"Momentum":     func(o *Options) { o.Momentum = 0.8 },
		"WeightDecay":  func(o *Options) { o.WeightDecay = 0 },
		"Schedule":     func(o *Options) { o.Schedule = Constant },
		"Loss":         func(o *Options) { o.Loss = smooth },
		"RateFactor":   func(o *Options) { o.RateFactor = 2 },
		"Goal":         func(o *Options) { o.Goal = LowerError },
		"Mix":          func(o *Options) { o.Mix = 1 },
		"GammaMax":     func(o *Options) { o.GammaMax = 1 },
		"Rho":          func(o *Options) { o.Rho = 0.1 },
		"PerturbEvery": func(o *Options) { o.PerturbEvery = 2 },
		"Seed":         func(o *Options) { o.Seed = 1 << 63 },
		"Temperature":  func(o *Options) { o.Temperature = 2 },
		"Identity":     func(o *Options) { o.Identity = map[string]string{"model": "abc", "data": "another"} },
	}
	unimportant := []string{"Classifier", "Stored", "NoCache", "Memory", "HostMemory", "TempDir", "Save", "Resume", "Progress"}
	fields := reflect.TypeFor[Options]()
	for i := range fields.NumField() {
		if name := fields.Field(i).Name; changes[name] == nil && !slices.Contains(unimportant, name) {
			t.Errorf("Options.%s: is a training with another value refused?", name)
		}
	}
	refused := func(what string, data Data, plan Plan, opt Options) {
		t.Helper()
		opt.Classifier = layers[2]
		opt.Resume = readState(t, written)
		check := untouched(&m.weightTable)
		_, err := Treat(t.Context(), nntest.On(m), data, plan, opt)
		var refusal *DataError
		if !errors.As(err, &refusal) || refusal.Hint() == "" {
			t.Errorf("%s: error %v, want a DataError with a hint", what, err)
		}
		check(t)
	}
	for name, change := range changes {
		other := opt
		change(&other)
		refused(name, data, plan, other)
	}
	other := opt
	other.Identity = map[string]string{"model": "abc", "data": "def", "third": ""}
	refused("more in Identity", data, plan, other)
	for name, otherPlan := range plans(t, layers) {
		if name != "pol above" {
			refused(name, data, otherPlan, opt)
		}
	}
	views := data
	views.Views = 2
	refused("Views", views, plan, opt)

	// The message names what differs.
	other = opt
	other.Seed, other.Resume = 9, readState(t, written)
	if _, err := Treat(t.Context(), nntest.On(m), data, plan, other); err == nil || !strings.Contains(err.Error(), `its seed was "1" and is "9" now`) {
		t.Errorf("error %v does not name the seed", err)
	}
	// What changes no bits may change.
	other = opt
	other.NoCache, other.Resume = true, readState(t, written)
	treat(t, m, data, plan, other)
}

// TestResumeMisfit resumes a state whose identity is right but whose arrays are
// those of another model.
func TestResumeMisfit(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	s := readState(t, savedState(t, m, data, plan, opt, 1))
	opt.Resume = &State{s.identity, s.epochs, s.pace, s.current[1:], s.momentum[1:], s.best[1:]}
	var refusal *DataError
	if _, err := Treat(t.Context(), nntest.On(m), data, plan, opt); !errors.As(err, &refusal) {
		t.Errorf("error %v, want a DataError", err)
	}
}

// TestSaveFails ends the training with the error of Save.
func TestSaveFails(t *testing.T) {
	m, layers, data := newProblem()
	opt := smallOptions()
	opt.Save = func(*State) error { return errInjected }
	check := untouched(&m.weightTable)
	expectFailure(t.Context(), t, m, data, plans(t, layers)["sgd"], opt, errInjected)
	check(t)
}

// smallState is a state with a few weights.
func smallState() *State {
	loss := 1.5
	return &State{
		identity: map[string]string{"seed": "1", "lr": "0.05"},
		epochs:   []Epoch{{Number: 1, Steps: 3, TrainLoss: &loss}, {Number: 2, Steps: 3, Rejected: 3}},
		current:  [][]float32{{1, 2, 3}, {4}}, momentum: [][]float32{{5, 6, 7}, {8}}, best: [][]float32{{9, 10, 11}, {-1e-40}},
	}
}

func written(t testing.TB, s *State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStateRoundTrip(t *testing.T) {
	want := smallState()
	if got := readState(t, written(t, want)); !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v, want\n%+v", got, want)
	}
}

// TestStateLarge crosses the blocks that arrays are read in.
func TestStateLarge(t *testing.T) {
	want := smallState()
	for _, part := range [][][]float32{want.current, want.momentum, want.best} {
		part[0] = make([]float32, 10_000)
		for i := range part[0] {
			part[0][i] = float32(i)
		}
	}
	if got := readState(t, written(t, want)); !reflect.DeepEqual(got, want) {
		t.Error("a state of several blocks is read as another")
	}
}

// TestReadStateDamaged refuses states that are cut short anywhere, longer than
// they should be, or changed in any bit.
func TestReadStateDamaged(t *testing.T) {
	whole := written(t, smallState())
	refused := func(what string, position int, data []byte, size int) {
		t.Helper()
		if s, err := ReadState(bytes.NewReader(data), int64(size)); err == nil || s != nil {
			t.Errorf("%s at %d: read as a state", what, position)
		}
	}
	for n := range whole {
		refused("cut", n, whole[:n], n)
		refused("cut, its length unknown", n, whole[:n], len(whole))
		for bit := range 8 {
			changed := slices.Clone(whole)
			changed[n] ^= 1 << bit
			refused("changed", n, changed, len(changed))
		}
	}
	for extra := 1; extra < 30; extra++ {
		longer := append(slices.Clone(whole), make([]byte, extra)...)
		refused("longer", extra, longer, len(longer))
	}
}

// TestReadStateClaims refuses small files that claim to be large ones, in little
// memory.
func TestReadStateClaims(t *testing.T) {
	sign := func(header string) []byte {
		sum := sha256.Sum256([]byte(header))
		return append([]byte(header), sum[:]...)
	}
	header := func(sizes string) string {
		return `{"format":"` + stateFormat + `","identity":{},"sizes":` + sizes + "}\n"
	}
	if _, err := ReadState(bytes.NewReader(sign(header("[]"))), int64(len(sign(header("[]"))))); err != nil {
		t.Fatalf("an empty state: %v", err)
	}
	tests := map[string][]byte{
		"one large tensor":   sign(header("[1000000000000]")),
		"a negative tensor":  sign(header("[-1]")),
		"sizes that cancel":  sign(header("[-3,3]")),
		"sum overflows":      sign(header("[" + strings.Repeat("4611686018427387904,", 4) + "0]")),
		"not a whole tensor": sign(header("[1]") + "abcd"),
		"no line":            bytes.Repeat([]byte("x"), 8<<20),
		"a line too long":    sign(header("[" + strings.Repeat("0,", maxStateHeader) + "0]")),
		"another format":     sign(strings.Replace(header("[]"), stateFormat, "modeldoctor training", 1)),
		"not JSON":           sign("{\n"),
	}
	for name, data := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadState(bytes.NewReader(data), int64(len(data)))
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: read as a state", name)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
			t.Errorf("%s: took %d bytes to refuse %d", name, took, len(data))
		}
	}
}

// TestReadStateOfBefore refuses a state whose rate was chosen in another way, and says
// so.
func TestReadStateOfBefore(t *testing.T) {
	old := bytes.Replace(written(t, smallState()), []byte(stateFormat), []byte(stateName+"3"), 1)
	_, err := ReadState(bytes.NewReader(old), int64(len(old)))
	if want := `"modeldoctor training state 3" cannot be resumed by this version`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// FuzzReadState: whatever is read as a state is written as one that is read as
// the same, and nothing else happens than an error.
func FuzzReadState(f *testing.F) {
	whole := written(f, smallState())
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte(nil))
	f.Add([]byte(`{"format":"` + stateFormat + `","sizes":[4000000000000000000,4000000000000000000,4000000000000000000]}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The digest protects what follows it from a fuzzer too: give each input
		// the right one as well.
		sum := sha256.Sum256(data)
		for _, data := range [][]byte{data, append(slices.Clone(data), sum[:]...)} {
			s, err := ReadState(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				continue
			}
			again := readState(t, written(t, s))
			if !maps.Equal(s.identity, again.identity) || !slices.Equal(s.sizes(), again.sizes()) || s.Epochs() != again.Epochs() {
				t.Errorf("read as\n%+v, again as\n%+v", s, again)
			}
		}
	})
}

// TestResumeIdentityGone refuses a state that was of data which are not named
// any more.
func TestResumeIdentityGone(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	opt.Identity = map[string]string{"model": "abc", "data": "def"}
	opt.Resume = readState(t, savedState(t, m, data, plan, opt, 1))
	opt.Identity = map[string]string{"model": "abc"}
	var refusal *DataError
	if _, err := Treat(t.Context(), nntest.On(m), data, plan, opt); !errors.As(err, &refusal) {
		t.Errorf("error %v, want a DataError", err)
	}
}

// TestResumeCountsScans counts those before the interruption too.
func TestResumeCountsScans(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	want := treat(t, m, data, plan, opt)
	opt.Resume = readState(t, savedState(t, m, data, plan, opt, 2))
	if got := treat(t, m, data, plan, opt); got.Scans.Evaluations != want.Scans.Evaluations {
		t.Errorf("%d evaluations, want %d", got.Scans.Evaluations, want.Scans.Evaluations)
	}
}
