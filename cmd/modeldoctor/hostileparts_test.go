package main

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nodes are the objects, and the lists that are not empty, of a document.
func nodes(document any) (all []any) {
	switch d := document.(type) {
	case map[string]any:
		all = append(all, d)
		for _, key := range slices.Sorted(maps.Keys(d)) {
			all = append(all, nodes(d[key])...)
		}
	case []any:
		if len(d) > 0 {
			all = append(all, d)
		}
		for _, v := range d {
			all = append(all, nodes(v)...)
		}
	}
	return all
}

// spoil changes something in a document, anywhere.
func spoil(document any, random *rand.Rand) {
	values := []any{nil, true, -1.0, 0.0, 2.0, 1e9, "", "AAAA", "nonsense", []any{}, []any{1.0, 2.0}, map[string]any{}}
	all := nodes(document)
	value := values[random.IntN(len(values))]
	switch d := all[random.IntN(len(all))].(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(d))
		if len(keys) == 0 {
			return
		}
		if key := keys[random.IntN(len(keys))]; random.IntN(4) == 0 {
			delete(d, key)
		} else {
			d[key] = value
		}
	case []any:
		d[random.IntN(len(d))] = value
	}
}

// TestHostileParts: no part, whatever is in it, makes the program fail by itself, and what
// is told of it in JSON is a report.
func TestHostileParts(t *testing.T) {
	dir := t.TempDir()
	share(t, dir, 1, 1)
	path, report := filepath.Join(dir, "part-1-of-1.json"), filepath.Join(t.TempDir(), "report.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	random, merged := rand.New(rand.NewPCG(7, 8)), 0
	rounds := 1000
	if testing.Short() {
		rounds = 300
	}
	for round := range rounds {
		var part any
		if err := json.Unmarshal(text, &part); err != nil {
			t.Fatal(err)
		}
		for range 1 + random.IntN(3) {
			spoil(part, random)
		}
		spoilt, err := json.Marshal(part)
		if err == nil {
			err = os.WriteFile(path, spoilt, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(report)
		code, _, stderr := modeldoctor(t.Context(), "merge", "--config", "none", "--per-image", "--format", "text,json="+report, dir)
		written, err := os.ReadFile(report)
		switch {
		case err == nil && code == exitUnreadable && isFailure(written) && strings.Contains(stderr, "error: "):
		case err == nil && (code == exitOK || code == exitFailed) && json.Valid(written) && !isFailure(written):
			merged++
		default:
			t.Errorf("round %d: exit status %d: %s\n%.2000s", round, code, stderr, spoilt)
		}
	}
	if merged == 0 || merged == rounds {
		t.Errorf("%d of %d spoilt parts were merged", merged, rounds)
	}
}
