package report

import (
	"encoding/json"
	"github.com/modeldoctor/modeldoctor/metric"
)

// fixNote is what a treated file says of its treatment. Nothing in it depends on
// the machine, on threads or on the time: the same seed gives the same file.
type fixNote struct {
	SchemaVersion int                 `json:"schema_version"`
	Version       string              `json:"modeldoctor"`
	Recipe        string              `json:"recipe"`
	Perturb       []string            `json:"perturb"`
	Update        []string            `json:"update"`
	Seed          uint64              `json:"seed"`
	Epoch         int                 `json:"epoch"` // the one that was kept
	Hyper         jsonHyperparameters `json:"hyperparameters"`
	Source        string              `json:"source_sha256"`
	Data          fixNoteData         `json:"data"`
	Before        fixFigures          `json:"before"`
	After         *fixFigures         `json:"after"`
	Gain          *fixNoteGain        `json:"gain"`
	Forced        bool                `json:"forced"`
}

type fixNoteData struct {
	Name    string      `json:"name"`
	Train   fixNotePart `json:"train"`
	Val     fixNotePart `json:"val"`
	Holdout fixNotePart `json:"holdout"`
}

// fixNotePart names a part of the data and identifies its images, as the model
// saw them, with their labels. Both are empty where none were needed.
type fixNotePart struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

func notePart(p Part) fixNotePart { return fixNotePart{p.Name, p.SHA256} }

type fixFigures struct {
	Loss  number `json:"loss"`
	Error number `json:"error"`
	ECE   number `json:"ece"`
}

type fixNoteGain struct {
	Loss number    `json:"loss"`
	CI95 [2]number `json:"ci95"`
}

// FixMetadata is the one line of JSON that a treated file carries in its
// metadata.
func FixMetadata(f *Fix, version string) (string, error) {
	note := fixNote{
		SchemaVersion: SchemaVersion, Version: version,
		Recipe: f.Treatment.Recipe, Perturb: treatedNames(f.Treatment.Perturb), Update: treatedNames(f.Treatment.Update),
		Seed: f.Treatment.Options.Seed, Epoch: f.Result.Best, Hyper: hyperparameters(f.Treatment, f.Data), Source: f.Model.SHA256,
		Data:   fixNoteData{f.Data.Name, notePart(f.Data.Train), notePart(f.Data.Validation), notePart(f.Data.Holdout)},
		Before: noteFigures(f.Result.Before), Forced: f.Forced,
	}
	if f.Result.After != nil {
		after := noteFigures(*f.Result.After)
		note.After = &after
	}
	if g := f.Result.Gain; g != nil {
		note.Gain = &fixNoteGain{number(g.Mean), [2]number{number(g.CI95[0]), number(g.CI95[1])}}
	}
	text, err := json.Marshal(note)
	return string(text), err
}

func noteFigures(f metric.Figures) fixFigures {
	return fixFigures{number(f.Loss), number(f.Error), number(f.ECE)}
}

func treatedNames(layers []TreatedLayer) []string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.Name
	}
	return names
}
