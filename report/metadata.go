package report

import (
	"encoding/json"
	"slices"
)

// fixNote is what a treated file says of its treatment. Nothing in it depends on
// the machine, on threads or on the time: the same seed gives the same file.
type fixNote struct {
	SchemaVersion int             `json:"schema_version"`
	Version       string          `json:"modeldoctor"`
	Recipe        string          `json:"recipe"`
	Perturb       []string        `json:"perturb"`
	Update        []string        `json:"update"`
	Seed          uint64          `json:"seed"`
	Epoch         int             `json:"epoch"` // the one that was kept
	Hyper         Hyperparameters `json:"hyperparameters"`
	Rate          *Rate           `json:"rate"`
	Source        string          `json:"source_sha256"`
	Data          fixNoteData     `json:"data"`
	Before        Figures         `json:"before"`
	After         *Figures        `json:"after"`
	Gain          *fixNoteGain    `json:"gain"`
	Forced        bool            `json:"forced"`
	// JudgedBy are the digests of all hold-out sets that have judged this model, or
	// one that it was made from.
	JudgedBy []string `json:"judged_by"`
}

type fixNoteData struct {
	Name    string      `json:"name"`
	Train   fixNotePart `json:"train"`
	Val     fixNotePart `json:"val"`
	Holdout fixNotePart `json:"holdout"`
	// Preprocess is how the pixels became the model's input.
	Preprocess fixNotePreprocess `json:"preprocess"`
}

// fixNotePreprocess is [Preprocess] without its source, which may be a path of this
// machine.
type fixNotePreprocess struct {
	Name     string     `json:"name"`
	Mean     [3]float64 `json:"mean"`
	Std      [3]float64 `json:"std"`
	Size     [2]int     `json:"size"`
	Channels string     `json:"channels,omitempty"`
	EXIF     bool       `json:"exif,omitempty"`
}

func notePreprocess(p Preprocess) fixNotePreprocess {
	return fixNotePreprocess{p.Name, p.Mean, p.Std, p.Size, p.Channels, p.EXIF}
}

// fixNotePart names a part of the data and identifies its images, as the model
// saw them, with their labels. Both are empty where none were needed.
type fixNotePart struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

func notePart(p Part) fixNotePart { return fixNotePart{p.Name, p.SHA256} }

type fixNoteGain struct {
	Loss Number    `json:"loss"`
	CI95 [2]Number `json:"ci95"`
}

// FixMetadata is the one line of JSON that a treated file carries in its
// metadata. seed is that of the treatment, which a recipe may not use, and judgedBy
// is what [JudgedBy] says of the original.
func FixMetadata(f *Fix, version string, seed uint64, judgedBy []string) (string, error) {
	note := fixNote{
		SchemaVersion: SchemaVersion, Version: version,
		Recipe: f.Recipe.Name, Perturb: f.Recipe.Perturb, Update: f.Recipe.Update,
		Seed: seed, Hyper: f.Recipe.Hyperparameters, Rate: f.Rate, Source: f.Model.SHA256,
		Data:   fixNoteData{f.Data.Name, notePart(f.Data.Train), notePart(f.Data.Validation), notePart(f.Data.Holdout), notePreprocess(f.Data.Preprocess)},
		Before: f.Before, After: f.After, Forced: f.Forced, JudgedBy: slices.Clone(judgedBy),
	}
	if digest := f.Data.Holdout.SHA256; !slices.Contains(judgedBy, digest) {
		note.JudgedBy = append(note.JudgedBy, digest)
	}
	for _, e := range f.Epochs {
		if e.Kept {
			note.Epoch = e.Epoch
		}
	}
	if g := f.Gain; g != nil {
		note.Gain = &fixNoteGain{g.Loss, g.CI95}
	}
	text, err := json.Marshal(note)
	return string(text), err
}

// JudgedBy reads the digests of the hold-out sets that have judged a model from its
// metadata; nil where these are of no treatment.
func JudgedBy(metadata string) []string {
	var note fixNote
	if json.Unmarshal([]byte(metadata), &note) != nil {
		return nil
	}
	if digest := note.Data.Holdout.SHA256; digest != "" && !slices.Contains(note.JudgedBy, digest) {
		note.JudgedBy = append(note.JudgedBy, digest)
	}
	return note.JudgedBy
}
