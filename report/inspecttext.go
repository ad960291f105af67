package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// text tells what cannot be run and why; of a model that can be run, its layers.
func (in *Inspect) text(p *printer) {
	if len(in.Necks) == 0 {
		p.printf("%s   %s, opset %d\n", p.style.paint(ansiBold, base(in.Model.Path)), printable(in.Model.Producer), in.Model.Opset)
		in.obstacles(p)
		return
	}
	p.headline(in.Model, fmt.Sprintf("%.3g %% in layers", 100*in.Coverage))
	for _, note := range in.Notes {
		p.hanging("note   ", 7, printable(note.Text))
	}
	p.printf("input  %s\n", printable(in.Input))
	p.printf("output %s, %d classes\n", printable(in.Output), in.Model.Classes)
	p.hanging("chain  ", 7, fmt.Sprintf("%s between %d necks, which every path to the output passes", plural(in.stages(), "stage"), len(in.Necks)))
	p.printf("\n")
	if in.Chosen != nil {
		in.details(p)
		return
	}
	in.blocks(p)
	in.skipped(p)
}

// stages is the number of all stages: what lies between two necks.
func (in *Inspect) stages() int { return len(in.Necks) - 1 }

// weights are those of all layers, by name.
func (in *Inspect) weights() map[string]*Weight {
	weights := make(map[string]*Weight, len(in.Weights))
	for i := range in.Weights {
		weights[in.Weights[i].Name] = &in.Weights[i]
	}
	return weights
}

// skipped groups what is in no layer by its reason.
func (in *Inspect) skipped(p *printer) {
	byReason := map[string][]string{}
	for _, s := range in.Skipped {
		byReason[s.Reason] = append(byReason[s.Reason], printable(s.Name))
	}
	if len(in.Skipped) > 0 {
		p.printf("\n%s\n", p.style.paint(ansiBold, "in no layer"))
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		p.hanging("  ", 2, printable(reason)+": "+listed(byReason[reason]))
	}
}

// obstacles lists what stands in a model's way, and what helps. Where the list is
// not complete, there may be more behind the only one.
func (in *Inspect) obstacles(p *printer) {
	head := "cannot be run: " + plural(len(in.Obstacles), "obstacle")
	if !in.Complete {
		head = "cannot be run: the first of perhaps more obstacles"
	}
	p.printf("\n%s\n", p.style.paint(ansiRed, head))
	for _, o := range in.Obstacles {
		where := printable(o.Node)
		if o.Count > 1 {
			where = fmt.Sprintf("%s, first %s", plural(o.Count, "node"), where)
		}
		p.hanging("  ", 2, where+": "+printable(o.Reason))
		p.hanging("    ", 4, "→ "+o.Advice)
	}
}

// blocks lists blocks, and under each its weights.
func (in *Inspect) blocks(p *printer) {
	name, shape, storage := 0, 0, 0
	for _, w := range in.Weights {
		name = max(name, columns(printable(w.Name)))
		shape = max(shape, len(fmt.Sprint(w.Shape)))
		storage = max(storage, len(w.Storage))
	}
	weights := in.weights()
	for _, l := range in.Layers {
		if l.Granularity != "block" {
			continue
		}
		p.printf("%s   %s parameters, behind neck %d\n", p.style.paint(ansiBold, printable(l.Name)), count(l.Parameters), l.Neck)
		for _, key := range l.Weights {
			w := weights[key]
			text := printable(w.Name)
			line := fmt.Sprintf("  %s%s  %-*s  %-8v  %-*s", text, strings.Repeat(" ", name-columns(text)), shape, fmt.Sprint(w.Shape), w.DType, storage, w.Storage)
			remarks := strings.Join(w.remarks(), columnGap)
			if columns(line+columnGap+remarks) <= p.style.width() {
				p.printf("%s\n", strings.TrimRight(line+columnGap+remarks, " "))
				continue
			}
			p.printf("%s\n", strings.TrimRight(line, " "))
			p.hanging("    ", 4, remarks)
		}
	}
}

// details tells all about the chosen layers, coarse ones first, and their weights,
// each once; then the necks between which they lie.
func (in *Inspect) details(p *printer) {
	weights, told := in.weights(), map[string]bool{}
	first, last := in.stages(), 0
	for _, l := range in.Chosen {
		if !slices.ContainsFunc(l.Weights, func(name string) bool { return !told[name] }) {
			continue
		}
		first, last = min(first, l.Neck), max(last, l.Stages[len(l.Stages)-1]+1)
		p.printf("%s   %s parameters\n", p.style.paint(ansiBold, printable(l.Name)), count(l.Parameters))
		labelled(p, 2, "why", strings.Join(l.Why, "; "))
		labelled(p, 2, "place", fmt.Sprintf("behind %s, in %s; a search on it computes %d of %s", in.Necks[l.Neck].label(), stageRange(l.Stages), l.StagesComputed, plural(in.stages(), "stage")))
		for _, name := range l.Weights {
			if !told[name] {
				told[name] = true
				weights[name].text(p, in.Necks)
			}
		}
	}
	p.printf("\n%s\n", p.style.paint(ansiBold, "necks"))
	for k := first; k <= last; k++ {
		neck := in.Necks[k]
		line := fmt.Sprintf("  %d  %s %v", k, printable(neck.Name), neck.Shape)
		if len(neck.Layers) > 0 {
			line += "  " + printable(strings.Join(neck.Layers, ", ")) + " begins"
		}
		p.printf("%s\n", line)
	}
}

func (n *Neck) label() string { return fmt.Sprintf("neck %d (%s %v)", n.Index, n.Name, n.Shape) }

// labelled prints one line of the details, behind what it is about.
func labelled(p *printer, indent int, label, text string) {
	front := fmt.Sprintf("%*s%-9s", indent, "", label)
	p.hanging(front, len(front), printable(text))
}

// stageRange writes an ascending list of stages: stages 3 to 5, 9.
func stageRange(stages []int) string {
	var runs []string
	for i := 0; i < len(stages); {
		j := i
		for j+1 < len(stages) && stages[j+1] == stages[j]+1 {
			j++
		}
		if j == i {
			runs = append(runs, fmt.Sprint(stages[i]))
		} else {
			runs = append(runs, fmt.Sprintf("%d to %d", stages[i], stages[j]))
		}
		i = j + 1
	}
	if len(stages) == 1 {
		return "stage " + runs[0]
	}
	return "stages " + strings.Join(runs, ", ")
}
