package main

import (
	"bytes"
	"fmt"
	"image"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// named is a set with one example of each class.
type named []string

func (s named) Name() string                   { return "named" }
func (s named) Len() int                       { return len(s) }
func (s named) Label(i int) int                { return i }
func (s named) Classes() []string              { return s }
func (s named) Image(int) (image.Image, error) { return nil, fmt.Errorf("no images") }

// bare are labels without names.
type bare struct{ named }

func (bare) Classes() []string { return nil }

// TestRelabel is a table of right answers made by hand: which output each class of
// the data is, or why that cannot be said.
func TestRelabel(t *testing.T) {
	single := dataset.Single
	many := make([]string, 12) // in the order of folders
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	slices.Sort(many)
	for name, c := range map[string]struct {
		o     outputs
		data  dataset.Set
		want  []int
		err   string // in the error or its hint
		warns string
	}{
		"names on both sides":            {outputs{n: 3, names: single([]string{"b", "c", "a"})}, named{"a", "b"}, []int{2, 0}, "", ""},
		"names that differ":              {outputs{n: 2, names: single([]string{"b", "c"})}, named{"a", "b"}, nil, "match none", ""},
		"no names, as many":              {outputs{n: 2}, named{"a", "b"}, []int{0, 1}, "", ""},
		"no names, one more output":      {outputs{n: 3}, named{"a", "b"}, nil, "--background", ""},
		"a background":                   {outputs{n: 3, background: true}, named{"a", "b"}, []int{1, 2}, "", ""},
		"no names, two more outputs":     {outputs{n: 4}, named{"a", "b"}, nil, "--labels", ""},
		"a background and no output":     {outputs{n: 2, background: true}, named{"a", "b"}, nil, "leave --background out", ""},
		"a background and one more":      {outputs{n: 4, background: true}, named{"a", "b"}, nil, "--labels", ""},
		"placeholders":                   {outputs{n: 2, names: single([]string{"LABEL_0", "LABEL_1"})}, named{"a", "b"}, []int{0, 1}, "", ""},
		"placeholders for folders":       {outputs{n: 12, names: single([]string{"c0", "c1", "c2"})}, named{"c2", "c0"}, []int{2, 0}, "", ""},
		"placeholders, one more output":  {outputs{n: 3, names: single([]string{"class0", "class1", "class2"})}, named{"a", "b"}, nil, "--background", ""},
		"numbers":                        {outputs{n: 12}, named(many), []int{0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9}, "", "sorted as text: 0, 1, 10"},
		"numbers, padded":                {outputs{n: 43}, named{"00000", "00001", "00042"}, []int{0, 1, 42}, "", "are numbers (00000, 00001, 00042)"},
		"numbers, of placeholders":       {outputs{n: 3, names: single([]string{"0", "1", "2"})}, named{"01", "02"}, []int{1, 2}, "", "are numbers"},
		"numbers that are the names":     {outputs{n: 3, names: single([]string{"7", "3", "9"})}, named{"3", "7"}, []int{1, 0}, "", ""},
		"numbers, and the model's names": {outputs{n: 2, names: single([]string{"cat", "dog"})}, named{"0", "1"}, nil, "match none", ""},
		"numbers from 1":                 {outputs{n: 3}, named{"1", "2", "3"}, nil, "numbered from 1?", ""},
		"numbers beyond":                 {outputs{n: 3}, named{"0", "7"}, nil, "class 7 of a model of 3", ""},
		"numbers behind a background":    {outputs{n: 3, background: true}, named{"0", "1"}, []int{1, 2}, "", "are numbers"},
		"no names in the data":           {outputs{n: 2, names: single([]string{"cat", "dog"})}, bare{named{"a", "b"}}, []int{0, 1}, "", ""},
		"no names in the data, fewer":    {outputs{n: 5, names: single([]string{"a", "b", "c", "d", "e"})}, bare{named{"a", "b"}}, nil, "2 classes, the model has 5", ""},
	} {
		var stderr bytes.Buffer
		got, known, err := c.o.relabel(c.data, newConsole(&stderr, true))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error()+hintOf(err), c.err) {
				t.Errorf("%s: got %v, want an error with %q", name, err, c.err)
			}
			continue
		}
		if err != nil || !slices.Equal(dataset.Labels(got), c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if known == strings.Contains("no names, as many; a background; placeholders; no names in the data", name) {
			t.Errorf("%s: known is %v", name, known)
		}
		if (c.warns == "") != (stderr.Len() == 0) || !strings.Contains(stderr.String(), c.warns) {
			t.Errorf("%s: warned of %q, want %q", name, stderr.String(), c.warns)
		}
	}
}
