package report

import (
	"encoding/json"
)

// fixNote is what a treated file says of its treatment. Nothing in it depends on
// the machine, on threads or on the time: the same seed gives the same file.
type fixNote struct {
	SchemaVersion int          `json:"schema_version"`
	Version       string       `json:"modeldoctor"`
	Recipe        string       `json:"recipe"`
	Perturb       []string     `json:"perturb"`
	Update        []string     `json:"update"`
	Seed          uint64       `json:"seed"`
	Epoch         int          `json:"epoch"` // the one that was kept
	Source        string       `json:"source_sha256"`
	Data          fixNoteData  `json:"data"`
	Before        fixFigures   `json:"before"`
	After         *fixFigures  `json:"after"`
	Gain          *fixNoteGain `json:"gain"`
	Forced        bool         `json:"forced"`
}

type fixNoteData struct {
	Name    string `json:"name"`
	Train   string `json:"train"`
	Val     string `json:"val"`
	Holdout string `json:"holdout"`
}

type fixFigures struct {
	Loss  float64 `json:"loss"`
	Error float64 `json:"error"`
	ECE   float64 `json:"ece"`
}

type fixNoteGain struct {
	Loss float64    `json:"loss"`
	CI95 [2]float64 `json:"ci95"`
}

// FixMetadata is the one line of JSON that a treated file carries in its
// metadata.
func FixMetadata(f *Fix, version string) (string, error) {
	note := fixNote{
		SchemaVersion: SchemaVersion, Version: version,
		Recipe: f.Treatment.Recipe, Perturb: treatedNames(f.Treatment.Perturb), Update: treatedNames(f.Treatment.Update),
		Seed: f.Treatment.Options.Seed, Epoch: f.Result.Best, Source: f.Model.SHA256,
		Data:   fixNoteData{f.Data.Name, f.Data.Train.Name, f.Data.Validation.Name, f.Data.Holdout.Name},
		Before: fixFigures(f.Result.Before), Forced: f.Forced,
	}
	if f.Result.After != nil {
		note.After = (*fixFigures)(f.Result.After)
	}
	if g := f.Result.Gain; g != nil {
		note.Gain = &fixNoteGain{g.Mean, g.CI95}
	}
	text, err := json.Marshal(note)
	return string(text), err
}

func treatedNames(layers []TreatedLayer) []string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.Name
	}
	return names
}
