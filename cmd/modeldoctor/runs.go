package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// runFlagsOfCompare divide the runs of a comparison among several machines.
func runFlagsOfCompare() []cli.Flag {
	return []cli.Flag{
		stringFlag(categoryShards, "runs", "DIR", "", "folder in which each run's report is kept, and taken from where it is there already"),
		shardFlag("do only share I of N of the runs, and keep their reports in --runs, where the same command without --shard finds them"),
		shardsFlag(),
	}
}

// runFolder keeps the reports of runs, so that a comparison can be shared and gone on
// with. A nil folder keeps none.
type runFolder struct {
	path     string
	identity []string // what all runs depend on, but for recipe, layers and seed
	model    string   // digests, as the reports have them
	data     report.TreatmentData
}

// openRuns opens the folder of --runs; nil where there is none.
func openRuns(s *subject, opt compareOptions) (*runFolder, error) {
	if opt.runs == "" {
		return nil, nil
	}
	if err := os.MkdirAll(opt.runs, 0o777); err != nil {
		return nil, usage("--runs: %v", err).withHint("choose a folder that can be written to")
	}
	f := &runFolder{path: opt.runs, data: describeSets(s, opt.treatmentOptions)}
	var err error
	if f.model, err = s.network.Model.SHA256(); err != nil {
		return nil, err
	}
	for part, set := range map[*report.Part]interface{ SHA256() (string, error) }{&f.data.Validation: s.validation, &f.data.Holdout: s.holdout} {
		if part.SHA256, err = set.SHA256(); err != nil {
			return nil, err
		}
	}
	if s.train != nil {
		if f.data.Train.SHA256, err = s.train.SHA256(); err != nil {
			return nil, err
		}
	}
	f.identity = append([]string{version(), f.model, s.arithmetic(), strconv.Itoa(s.network.Batch)}, opt.decisive...)
	return f, nil
}

// file is where the report of a run is kept: the name tells runs with other flags apart.
func (f *runFolder) file(r contestant, seed uint64) string {
	all, err := json.Marshal(slices.Concat(f.identity, []string{r.recipe, strconv.FormatUint(seed, 10)}, r.layers))
	if err != nil {
		panic(err) // strings
	}
	digest := sha256.Sum256(all)
	return filepath.Join(f.path, fmt.Sprintf("%s-%d-%s.json", r.recipe, seed, hex.EncodeToString(digest[:6])))
}

// read returns the report of a run that is there; nil if it is not.
func (f *runFolder) read(r contestant, seed uint64) (*report.Fix, error) {
	if f == nil {
		return nil, nil
	}
	const hint = "delete it, or choose another folder with --runs"
	path := f.file(r, seed)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, unreadable(err, hint)
	}
	fix, err := report.ReadFix(bytes.NewReader(text))
	if err != nil {
		return nil, unreadable(fmt.Errorf("%s: %w", path, err), hint)
	}
	// The flags are those of its name; the files that they name may have changed since.
	other := func(there, here report.Part) bool { return there.SHA256 != "" && there.SHA256 != here.SHA256 }
	if fix.Model.SHA256 != f.model || other(fix.Data.Train, f.data.Train) || other(fix.Data.Validation, f.data.Validation) || other(fix.Data.Holdout, f.data.Holdout) {
		return nil, unreadable(fmt.Errorf("%s is a run of other images", path), hint)
	}
	return fix, nil
}

// write keeps the report of a run.
func (f *runFolder) write(r contestant, seed uint64, text []byte) error {
	if f == nil {
		return nil
	}
	err := writeFile(f.file(r, seed), func(w io.Writer) error { _, err := w.Write(text); return err })
	if err != nil {
		return &failure{code: exitInternal, msg: fmt.Sprintf("a run cannot be kept: %v", err), hint: "make room, or choose another folder with --runs: the runs that are there are not lost", err: err}
	}
	return nil
}

// tell says how many of a comparison's runs are there, and warns of those of others: a
// flag that differs is easily overlooked.
func (f *runFolder) tell(runs []compareRun, con *console) {
	if f == nil {
		return
	}
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return // reading a run will say it
	}
	own, others := 0, 0
	for _, e := range entries {
		switch {
		case !strings.HasSuffix(e.Name(), ".json"):
		case slices.ContainsFunc(runs, func(r compareRun) bool { return filepath.Base(f.file(r.contestant, r.seed)) == e.Name() }):
			own++
		default:
			others++
		}
	}
	con.say("%d of %d runs are in %s", own, len(runs), f.path)
	if others > 0 {
		con.warn("%d files in %s are no runs of this comparison: model, recipes, seeds or flags are others", others, f.path)
	}
}

// compareRun is one run of a comparison.
type compareRun struct {
	contestant
	seed uint64
}

// runsOf are the runs of contestants, in the order of the table.
func runsOf(contestants []contestant, seeds []uint64) []compareRun {
	var runs []compareRun
	for _, c := range contestants {
		for _, seed := range c.seeds(seeds) {
			runs = append(runs, compareRun{c, seed})
		}
	}
	return runs
}

// shareOfRuns does those runs of a comparison that are this machine's and are not there
// yet. They are dealt out in turn, so that the runs of each recipe, which take alike,
// are spread evenly.
func shareOfRuns(ctx context.Context, contestants []contestant, seeds []uint64, opt compareOptions, kept *runFolder) error {
	con := opt.run.console
	defer con.finish()
	var own []compareRun
	for i, r := range runsOf(contestants, seeds) {
		if i%opt.shard.count == opt.shard.index-1 {
			own = append(own, r)
		}
	}
	there, failed := 0, 0
	for i, r := range own {
		con.progress(fmt.Sprintf("%s, seed %d", r.recipe, r.seed), i, len(own))
		known, err := kept.read(r.contestant, r.seed)
		if err == nil && known == nil {
			_, err = treatInProcess(ctx, r.contestant, r.seed, opt, kept)
		} else if err == nil {
			there++
		}
		var explained *failure
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return tooLate("the runs that are finished are in "+opt.runs, ctx.Err())
		case ctx.Err() != nil:
			return interrupted(ctx.Err(), con, "the runs that are finished are in "+opt.runs)
		case errors.As(err, &explained), errors.Is(err, context.Canceled):
			return err
		case err != nil:
			failed++
			con.warn("%s, seed %d: %v", r.recipe, r.seed, err)
		}
	}
	con.finish()
	fmt.Fprintf(opt.out.stdout, "share %d of %d: %d of its %d runs are in %s, %d of them since before\n", opt.shard.index, opt.shard.count, len(own)-failed, len(own), opt.runs, there)
	if failed > 0 {
		return &failure{code: exitFailed, msg: fmt.Sprintf("%d of %d runs failed", failed, len(own)), hint: "the same command tries them again"}
	}
	return nil
}
