package main

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// agrees compares two JSON reports, or one field of them, but for their provenance,
// times, memory, and how many evaluations a search took, which may turn on a
// rounding.
func agrees(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 && len(args) != 4 {
		ts.Fatalf("usage: agrees A B TOLERANCE [FIELD]")
	}
	tolerance, err := strconv.ParseFloat(args[2], 64)
	ts.Check(err)
	var a, b any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &a))
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &b))
	if len(args) == 4 {
		a, b = a.(map[string]any)[args[3]], b.(map[string]any)[args[3]]
	}
	compared := 0
	ts.Check(differ("", a, b, tolerance, &compared))
	if compared < 10 {
		ts.Fatalf("only %d numbers were compared", compared)
	}
}

// searched are figures of lengths. A search ends within a hundredth of the best
// one, where rounding may lead it elsewhere.
var searched = []string{"step", "step_share", "steps", "points", "kappa", "kappa_scaled"}

// differ returns where two decoded documents differ by more than a tolerance,
// relative for numbers beyond 1, and counts the numbers that it has compared.
func differ(path string, a, b any, tolerance float64, compared *int) error {
	switch a := a.(type) {
	case map[string]any:
		other, ok := b.(map[string]any)
		if !ok || len(a) != len(other) {
			return fmt.Errorf("%s: %v and %v", path, a, b)
		}
		for key, value := range a {
			if key == "provenance" || strings.Contains(key, "seconds") || strings.HasSuffix(key, "_bytes") || strings.HasSuffix(key, "_evaluations") || path == ".scan" && key == "share" {
				continue
			}
			within := tolerance
			if slices.Contains(searched, key) {
				within *= 10
			}
			if err := differ(path+"."+key, value, other[key], within, compared); err != nil {
				return err
			}
		}
		return nil
	case []any:
		other, ok := b.([]any)
		if !ok || len(a) != len(other) {
			return fmt.Errorf("%s: lists of different lengths", path)
		}
		for i := range a {
			if err := differ(fmt.Sprintf("%s[%d]", path, i), a[i], other[i], tolerance, compared); err != nil {
				return err
			}
		}
		return nil
	case float64:
		*compared++
		if other, ok := b.(float64); !ok || math.Abs(a-other) > tolerance*max(1, math.Abs(a)) {
			return fmt.Errorf("%s: %v and %v", path, a, b)
		}
		return nil
	}
	if a != b {
		return fmt.Errorf("%s: %v and %v", path, a, b)
	}
	return nil
}
