package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Probe is the result of the command probe. Without labels loss is nil and the
// lists that need it are empty.
type Probe struct {
	Document
	Model         Model         `json:"model"`
	Logits        [][]Single    `json:"logits"` // per example
	Probabilities [][]Number    `json:"probabilities"`
	Loss          *Number       `json:"loss"` // mean, in nats
	Losses        []Number      `json:"losses"`
	Parameters    []ProbeWeight `json:"parameters"`
	Layers        []ProbeLayer  `json:"layers"` // at block granularity

	Labels []int `json:"-"` // nil: none given
}

// ProbeWeight has norms of a weight w and of the gradient g of the mean loss with
// respect to it.
type ProbeWeight struct {
	Name  string `json:"name"`
	Layer string `json:"layer"` // block
	Shape []int  `json:"shape"`
	WNorm Number `json:"w_norm"`  // ‖w‖
	GNorm Number `json:"g_norm"`  // ‖g‖
	GDotW Number `json:"g_dot_w"` // ⟨g, w⟩
}

// ProbeLayer has the norm of the gradient over a layer.
type ProbeLayer struct {
	Name  string `json:"name"`
	GNorm Number `json:"g_norm"`
}

// topClasses is how many classes of an example are printed.
const topClasses = 3

// text tells the most probable classes of each example, the loss, and the norms of
// its gradients.
func (pr *Probe) text(p *printer) {
	p.model(pr.Model, fmt.Sprintf("%d classes", pr.Model.Classes))
	rows, left := [][]string{{"example"}}, []int{}
	if pr.Labels != nil {
		rows[0] = append(rows[0], "label", "loss")
	}
	for _, title := range []string{"most probable", "second", "third"}[:min(topClasses, pr.Model.Classes)] {
		left = append(left, len(rows[0]))
		rows[0] = append(rows[0], title)
	}
	for i, probability := range pr.Probabilities {
		row := []string{fmt.Sprint(i)}
		if pr.Labels != nil {
			row = append(row, fmt.Sprint(pr.Labels[i]), fmt.Sprintf("%.6f", pr.Losses[i]))
		}
		for _, class := range largest(probability, topClasses) {
			row = append(row, fmt.Sprintf("%d: %.4f (%.4f)", class, probability[class], pr.Logits[i][class]))
		}
		rows = append(rows, row)
	}
	p.printf("\n")
	p.grid(rows, left, nil)
	p.fields("note   ", "of a class its number, probability and logit")
	if pr.Labels == nil {
		return
	}
	p.printf("\nmean loss %.6f nats; the norms of its gradient:\n", *pr.Loss)
	name := 0
	for _, l := range pr.Layers {
		name = max(name, columns(printable(l.Name)))
	}
	for _, l := range pr.Layers {
		text := printable(l.Name)
		p.printf("  %s%s  %.6g\n", text, strings.Repeat(" ", name-columns(text)), l.GNorm)
	}
}

// largest returns the indices of the k largest values, largest first; of equal
// ones the first.
func largest(v []Number, k int) []int {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(v[b], v[a]) })
	return order[:min(k, len(order))]
}
