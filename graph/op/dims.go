package op

import "github.com/modeldoctor/modeldoctor/graph/shapes"

// dims is a number for each of some dimensions, such as sizes or strides: a list that is no
// longer than a rank may be, so that it needs no memory but its own.
type dims struct {
	n  int
	at [shapes.MaxRank]int
}

func dimsOf(v []int) dims {
	d := dims{n: len(v)}
	copy(d.at[:], v)
	return d
}

// all is the list as a slice of it.
func (d *dims) all() []int { return d.at[:d.n] }

func (d *dims) add(x int) {
	d.at[d.n] = x
	d.n++
}
