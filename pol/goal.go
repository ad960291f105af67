package pol

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/metric"
)

// Goal is what a treatment is to lower: it chooses the epoch that is kept, and what
// acceptance asks for.
type Goal int

const (
	LowerLoss  Goal = iota // the cross-entropy
	LowerError             // the share of wrong answers
)

var goalNames = [...]string{LowerLoss: "loss", LowerError: "error"}

func (g Goal) String() string { return goalNames[g] }

// GoalNames are those that [ParseGoal] reads, the default first.
func GoalNames() []string { return goalNames[:] }

// ParseGoal reads what String writes.
func ParseGoal(name string) (Goal, error) {
	for g, n := range goalNames {
		if n == name {
			return Goal(g), nil
		}
	}
	return 0, fmt.Errorf("%q is neither %s nor %s", name, LowerLoss, LowerError)
}

// better reports whether figures on V are better than others. Errors are shares of a
// few hundred images, and often equal: then the loss decides.
func (g Goal) better(a, b metric.Figures) bool {
	if g == LowerError && a.Error != b.Error {
		return a.Error < b.Error
	}
	return a.Loss < b.Loss
}

// Asks reports whether an objection is about a condition that the goal has.
func (g Goal) Asks(o Objection) bool {
	switch o {
	case ErrorNotLower, LossHigher:
		return g == LowerError
	case NoSpread, NoTemperature, LossNotLower, NotBeyondTemperature, ErrorHigher:
		return g == LowerLoss
	}
	return true
}
