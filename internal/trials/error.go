package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"
)

// The parts of the test images that the settings are compared on.
const (
	errorVal     = "test[:1000]"
	errorHoldout = "test[1000:5000]"
)

// A setting is a treatment that might lower the error.
type setting struct {
	name  string
	flags []string
	like  string // the setting that it changes one thing of; empty: none
}

// errorSettings are what is compared, pol on the layers with the largest ΔL̂.
func errorSettings(byGain []string) []setting {
	var all []setting
	add := func(like, name string, flags ...string) {
		var base []string
		for _, s := range all {
			if s.name == like {
				base = s.flags
			}
		}
		all = append(all, setting{name, slices.Concat(base, flags), like})
	}
	add("", "sgd", "--recipe", "sgd")
	for _, loss := range []string{"soft01:0.5", "soft01:0.9", "margin", "focal:2", "smooth:0.1"} {
		add("sgd", "sgd + "+loss, "--loss", loss)
	}
	add("sgd", "sgd + mix 0.2", "--mix", "0.2")
	add("sgd", "sgd + mix 1", "--mix", "1")
	crop := []string{"--augment", "flip-crop", "--views", "4"}
	add("sgd", "sgd + flip-crop", crop...)
	add("sgd + flip-crop", "sgd + flip-crop + mix 0.2", "--mix", "0.2")
	add("sgd + flip-crop", "sgd + flip-crop + soft01:0.5", "--loss", "soft01:0.5")
	add("sgd", "sgd + 8 epochs", "--epochs", "8")
	add("sgd + 8 epochs", "sgd + 8 epochs + soft01:0.5", "--loss", "soft01:0.5")
	add("sgd + 8 epochs", "sgd + 8 epochs + flip-crop", crop...)
	for _, factor := range []string{"0.1", "0.3", "3"} {
		add("sgd", "sgd + rate × "+factor, "--lr-factor", factor)
	}
	add("sgd + 8 epochs", "sgd + 8 epochs + mix 0.2", "--mix", "0.2")
	add("sgd", "sgd of norms alone", "--update", "norms")
	add("", "sam", "--recipe", "sam")
	add("sam", "sam at norms", "--perturb", "norms")
	add("sam", "sam at norms + ρ 0.5", "--perturb", "norms", "--rho", "0.5")
	add("sam", "sam + flip-crop", crop...)
	add("sam", "sam + 8 epochs + flip-crop", slices.Concat(crop, []string{"--epochs", "8"})...)
	if len(byGain) > 0 {
		add("", "pol", "--recipe", "pol", "--perturb", "module:head", "--update", byGain[0])
		add("pol", "pol + soft01:0.5", "--loss", "soft01:0.5")
		add("pol", "pol + mix 0.2", "--mix", "0.2")
		add("pol", "pol + flip-crop", crop...)
		add("pol", "pol + rate × 3", "--lr-factor", "3")
	}
	if len(byGain) > 1 {
		both := strings.Join(byGain[:2], ",")
		two := []string{"--recipe", "pol", "--perturb", "module:head", "--update", both}
		all = append(all, setting{"pol of two layers", two, "pol"})
		add("pol of two layers", "pol of two layers + flip-crop", crop...)
	}
	return all
}

// chosen are the settings that are to be looked at, with those that they change.
func (s *study) chosen(all []setting) []setting {
	wanted := func(name string) bool {
		return len(s.settings) == 0 || slices.ContainsFunc(s.settings, func(part string) bool { return strings.Contains(name, part) })
	}
	needed := map[string]bool{}
	for _, t := range slices.Backward(all) {
		if wanted(t.name) || needed[t.name] {
			needed[t.name], needed[t.like] = true, true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(t setting) bool { return !needed[t.name] })
}

// An errorRow is what one setting did to one case, over all seeds. Errors are shares,
// losses in nats; those after the treatment are at the temperature that fits the
// treated model. Contrasts are image by image.
type errorRow struct {
	Case     string        `json:"case"`
	Setting  string        `json:"setting"`
	Flags    []string      `json:"flags"`
	Error    *pol.Contrast `json:"error_change"` // from the untreated model
	FromLike *pol.Contrast `json:"error_change_from_like"`
	Like     string        `json:"like"`
	Loss     *pol.Contrast `json:"loss_change"` // from the untreated model with the temperature alone
	Runs     int           `json:"runs"`
	Accepted int           `json:"accepted"` // with the error as the goal
	Epoch    float64       `json:"seconds_per_epoch"`
	Seconds  float64       `json:"seconds"` // of a run
	Failed   []string      `json:"failed"`

	images []*report.HoldoutImages
}

// figures are one of each run.
func (r *errorRow) figures(of func(*report.HoldoutImages) []float64) [][]float64 {
	var all [][]float64
	for _, i := range r.images {
		all = append(all, of(i))
	}
	return all
}

func wrongBefore(i *report.HoldoutImages) []float64 { return i.WrongBefore }
func wrongAfter(i *report.HoldoutImages) []float64  { return i.WrongAfter }
func lossAfter(i *report.HoldoutImages) []float64   { return i.Own }
func lossBefore(i *report.HoldoutImages) []float64  { return i.Temperature }

// lowerError compares settings by what they do to the error of hold-out images.
func lowerError(ctx context.Context, s *study, out io.Writer) (any, error) {
	settings := map[string][]setting{} // by model
	for _, c := range s.cases {
		if settings[c.model] != nil {
			continue
		}
		layers, err := s.layersByGain(ctx, c, errorVal)
		if err != nil { // the other recipes need none
			s.say("%s: no layers for pol: %v", c.model, err)
		}
		settings[c.model] = s.chosen(errorSettings(layers))
	}
	var tasks []*task
	rows, of := []*errorRow{}, map[*errorRow][]*task{}
	for seed := range s.seeds {
		for _, c := range s.cases {
			for _, set := range settings[c.model] {
				t := &task{
					of: c, name: fmt.Sprintf("%s: %s, seed %d", c.name, set.name, seed), val: errorVal, holdout: errorHoldout,
					flags: append([]string{"--goal", "error"}, set.flags...), seed: seed,
				}
				tasks = append(tasks, t)
				i := slices.IndexFunc(rows, func(r *errorRow) bool { return r.Case == c.name && r.Setting == set.name })
				if i < 0 {
					i = len(rows)
					rows = append(rows, &errorRow{Case: c.name, Setting: set.name, Flags: set.flags, Like: set.like, Failed: []string{}})
				}
				of[rows[i]] = append(of[rows[i]], t)
			}
		}
	}
	s.run(ctx, tasks)
	for _, r := range rows {
		r.fill(of[r])
	}
	for _, r := range rows {
		i := slices.IndexFunc(rows, func(other *errorRow) bool { return other.Case == r.Case && other.Setting == r.Like })
		if i >= 0 {
			r.FromLike = contrast(r.figures(wrongAfter), rows[i].figures(wrongAfter))
		}
	}
	return rows, printErrors(out, s, rows)
}

// fill enters what the runs of a row have found.
func (r *errorRow) fill(tasks []*task) {
	for _, t := range tasks {
		switch {
		case t.fix == nil:
			r.Failed = append(r.Failed, t.failed)
			continue
		case t.fix.After == nil || t.fix.Images == nil:
			r.Failed = append(r.Failed, cmp.Or(string(t.fix.Stopped), "a loss is not finite"))
			continue
		}
		r.images = append(r.images, t.fix.Images)
		r.Runs++
		r.Epoch += t.fix.SecondsPerEpoch
		r.Seconds += t.seconds
		if t.fix.Accepted {
			r.Accepted++
		}
	}
	if r.Runs == 0 {
		return
	}
	r.Epoch /= float64(r.Runs)
	r.Seconds /= float64(r.Runs)
	r.Error = contrast(r.figures(wrongAfter), r.figures(wrongBefore)[:1])
	r.Loss = contrast(r.figures(lossAfter), r.figures(lossBefore)[:1])
}

// contrast is by how much a's figures are above b's; nil where one of the two has none,
// or they are of different images.
func contrast(a, b [][]float64) *pol.Contrast {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	for _, run := range slices.Concat(a, b) {
		if len(run) == 0 || len(run) != len(a[0]) {
			return nil
		}
	}
	c := pol.NewContrast(a, b)
	return &c
}

// lowers reports whether a change is significantly below 0 in a one-sided test of
// 2.5 %, of so many at once.
func lowers(c *pol.Contrast, tests int) bool {
	return c != nil && c.Mean+normalQuantile(1-0.025/float64(tests))*c.SE < 0
}

// normalQuantile is that of the standard normal distribution.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// printErrors prints a table of each case, and one of how many cases each setting
// lowers the error of.
func printErrors(out io.Writer, s *study, rows []*errorRow) error {
	w := &writer{to: out}
	for _, c := range s.cases {
		w.line("\n%s: %s trained on %s, V %s, H %s, %s\n", c.name, c.model, c.train, errorVal, errorHoldout, count(s.seeds, "seed"))
		w.line("| setting | error, points | from | loss, nats | s/epoch | s | accepted |")
		w.line("|---|---:|---:|---:|---:|---:|---:|")
		for _, r := range rows {
			switch {
			case r.Case != c.name:
			case r.Runs == 0:
				w.line("| %s | failed: %s |", r.Setting, r.Failed[0])
			default:
				against := "–"
				if r.FromLike != nil {
					against = change(r.FromLike, 100, 1) + " from " + r.Like
				}
				w.line("| %s | %s | %s | %s | %.2f | %.1f | %d of %d |", r.Setting, change(r.Error, 100, 1), against, change(r.Loss, 1, 3), r.Epoch, r.Seconds, r.Accepted, r.Runs)
			}
		}
	}
	var names []string
	for _, r := range rows {
		if !slices.Contains(names, r.Setting) {
			names = append(names, r.Setting)
		}
	}
	w.line("\n| setting | cases whose error it lowers | corrected for %s |", count(len(names), "setting"))
	w.line("|---|---:|---:|")
	for _, name := range names {
		measured, alone, corrected := 0, 0, 0
		for _, r := range rows {
			if r.Setting != name || r.Error == nil {
				continue
			}
			measured++
			if lowers(r.Error, 1) {
				alone++
			}
			if lowers(r.Error, len(names)) {
				corrected++
			}
		}
		w.line("| %s | %d of %d | %d |", name, alone, measured, corrected)
	}
	return w.err
}

// change writes a contrast, in a unit of which there are scale to one.
func change(c *pol.Contrast, scale float64, decimals int) string {
	if c == nil {
		return "–"
	}
	return fmt.Sprintf("%+.*f ± %.*f", decimals, scale*c.Mean, decimals, scale*metric.Z95*c.SE)
}

// count writes a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// writer writes lines until one cannot be written.
type writer struct {
	to  io.Writer
	err error
}

func (w *writer) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.to, format+"\n", args...)
	}
}
