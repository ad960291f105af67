package main

import (
	"context"
	"fmt"
	"io"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"
)

// The test images are divided as many times as there are V's: 1,000 that choose, and
// 6,000 of the others, of which a third judges and the rest are never looked at.
const (
	worseVal   = 1000
	worseRest  = 6000
	testImages = 10000
)

// division is which test images are V, and which the rest.
type division struct{ val, rest string }

// divisions are all in which both are slices of the test split.
func divisions() []division {
	slice := func(lo, n int) string { return fmt.Sprintf("test[%d:%d]", lo, lo+n) }
	var all []division
	for lo := 0; lo+worseVal <= testImages; lo += worseVal {
		switch {
		case lo+worseVal+worseRest <= testImages:
			all = append(all, division{slice(lo, worseVal), slice(lo+worseVal, worseRest)})
		case lo >= worseRest:
			all = append(all, division{slice(lo, worseVal), slice(lo-worseRest, worseRest)})
		}
	}
	return all
}

// worseTreatments are what a user might do. pol trains the layer that a diagnosis on V
// chooses.
func worseTreatments() []setting {
	return []setting{
		{name: "sgd", flags: []string{"--recipe", "sgd"}},
		{name: "sgd + rate × 3", flags: []string{"--recipe", "sgd", "--lr-factor", "3"}},
		{name: "sam", flags: []string{"--recipe", "sam"}},
		{name: "pof", flags: []string{"--recipe", "pof"}},
		{name: "pol", flags: []string{"--recipe", "pol", "--perturb", "module:head"}},
		{name: "error: sgd", flags: []string{"--recipe", "sgd", "--goal", "error"}},
		{name: "error: sgd + soft01:0.5", flags: []string{"--recipe", "sgd", "--goal", "error", "--loss", "soft01:0.5"}},
	}
}

// A judgment is what a third of the images say of a treatment, and what the others do,
// which are fresh: drops are positive where the treatment is better.
type judgment struct {
	Case       string          `json:"case"`
	Treatment  string          `json:"treatment"`
	Seed       int             `json:"seed"`
	Val        string          `json:"val"`
	Failed     string          `json:"failed"`
	Accepted   bool            `json:"accepted"`
	Objections []pol.Objection `json:"objections"`
	Fresh      int             `json:"fresh"`
	Loss       metric.Estimate `json:"fresh_loss_drop"`
	Beyond     metric.Estimate `json:"fresh_loss_drop_beyond_temperature"`
	Error      metric.Estimate `json:"fresh_error_drop"`

	goal pol.Goal
}

// worse reports whether fresh images are worse off in what the treatment was to lower.
func (j *judgment) worse() bool { return j.aim().Mean < 0 }

// harmful reports whether they are so significantly.
func (j *judgment) harmful() bool { return j.aim().CI95[1] < 0 }

func (j *judgment) aim() metric.Estimate {
	if j.goal == pol.LowerError {
		return j.Error
	}
	return j.Loss
}

// acceptedAndWorse counts how often a treatment is accepted that fresh images show to do
// harm.
func acceptedAndWorse(ctx context.Context, s *study, out io.Writer) (any, error) {
	var tasks []*task
	var judgments []*judgment
	var thirds []int // that judge
	for seed := range s.seeds {
		for k, d := range divisions() {
			for _, c := range s.cases {
				for _, t := range s.chosen(worseTreatments()) {
					tasks = append(tasks, &task{of: c, name: fmt.Sprintf("%s: %s, V %s, seed %d", c.name, t.name, d.val, seed), val: d.val, holdout: d.rest, flags: t.flags, seed: seed})
					judgments = append(judgments, &judgment{Case: c.name, Treatment: t.name, Seed: seed, Val: d.val, Objections: []pol.Objection{}})
					thirds = append(thirds, (seed+k)%3)
				}
			}
		}
	}
	s.run(ctx, tasks)
	for i, t := range tasks {
		judgments[i].judge(t, thirds[i])
	}
	return judgments, printJudgments(out, s, judgments)
}

// judge enters what a run has come to, with one third of its hold-out images, counted
// from 0, as judges.
func (j *judgment) judge(t *task, third int) {
	switch {
	case t.fix == nil:
		j.Failed = t.failed
		return
	case t.fix.Images == nil || t.fix.Images.After == nil:
		j.Objections = t.fix.Objections
		return
	}
	j.goal, _ = pol.ParseGoal(t.fix.Recipe.Hyperparameters.Goal)
	n := t.fix.Data.Holdout.N
	lo, hi := third*n/3, (third+1)*n/3
	judging := func(i int) bool { return i >= lo && i < hi }
	r := resultOn(t.fix, judging)
	j.Accepted, j.Objections = r.Accepted(), append(j.Objections, r.Objections()...)
	fresh := resultOn(t.fix, func(i int) bool { return !judging(i) })
	j.Fresh, j.Loss, j.Error = fresh.Holdout, *fresh.Gain, *fresh.ErrorDrop
	if fresh.Beyond != nil {
		j.Beyond = *fresh.Beyond
	}
}

// resultOn is a treatment's result on those of its hold-out images.
func resultOn(f *report.Fix, wanted func(i int) bool) *pol.Result {
	pick := func(x []float64) []float64 {
		var some []float64
		for i, v := range x {
			if wanted(i) {
				some = append(some, v)
			}
		}
		return some
	}
	im := f.Images
	before, after := pick(im.Before), pick(im.After)
	wrongBefore, wrongAfter := pick(im.WrongBefore), pick(im.WrongAfter)
	gain, wrong := metric.PairedDrop(before, after), metric.PairedDrop(wrongBefore, wrongAfter)
	r := &pol.Result{Holdout: len(before), Gain: &gain, ErrorDrop: &wrong, TrainedAt: f.TrainedAt}
	r.Goal, _ = pol.ParseGoal(f.Recipe.Hyperparameters.Goal)
	for _, d := range metric.Differences(wrongBefore, wrongAfter) {
		switch d {
		case 1:
			r.Mended++
		case -1:
			r.Spoiled++
		}
	}
	if tempered := pick(im.Temperature); tempered != nil {
		beyond := metric.PairedDrop(tempered, after)
		r.Beyond = &beyond
		if own := pick(im.Own); own != nil {
			ownBeyond := metric.PairedDrop(tempered, own)
			r.OwnBeyond = &ownBeyond
		}
	}
	return r
}

// printJudgments prints how many treatments were accepted, and how many of these do
// harm.
func printJudgments(out io.Writer, s *study, judgments []*judgment) error {
	w := &writer{to: out}
	w.line("\nV of 1,000 test images (%s), judged by a third of 6,000 others and looked at on the rest; %s\n", count(len(divisions()), "draw"), count(s.seeds, "seed"))
	w.line("| case | treatment | runs | no treatment | accepted | worse on fresh images | significantly | loss not below the temperature's | error significantly higher |")
	w.line("|---|---|---:|---:|---:|---:|---:|---:|---:|")
	row := func(name, treatment string, in func(*judgment) bool) {
		var runs, failed, accepted, worse, harmful, notBeyond, errors int
		for _, j := range judgments {
			if !in(j) {
				continue
			}
			runs++
			if j.Failed != "" {
				failed++
			}
			if !j.Accepted {
				continue
			}
			accepted++
			for _, n := range []struct {
				counter *int
				holds   bool
			}{
				{&worse, j.worse()}, {&harmful, j.harmful()}, {&errors, j.Error.CI95[1] < 0},
				{&notBeyond, j.goal == pol.LowerLoss && j.Beyond.Mean < 0},
			} {
				if n.holds {
					*n.counter++
				}
			}
		}
		w.line("| %s | %s | %d | %d | %d | %d | %d | %d | %d |", name, treatment, runs, failed, accepted, worse, harmful, notBeyond, errors)
	}
	for _, c := range s.cases {
		for _, t := range s.chosen(worseTreatments()) {
			row(c.name, t.name, func(j *judgment) bool { return j.Case == c.name && j.Treatment == t.name })
		}
	}
	row("all", "", func(*judgment) bool { return true })
	return w.err
}
