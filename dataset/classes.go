package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// fold returns what of a class name counts when names are compared: letters in
// lower case, without spaces, underscores and hyphens.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '_' || r == '-' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// MatchClasses finds for each class of the data the model's output of the same
// name: perm[label] is an index into model. Case, spaces, underscores and
// hyphens do not count; a WordNet id (n01440764) thus matches itself and nothing
// else. The data may lack classes of the model. Names that match no output, or
// two, are an error, which lists up to five of them.
func MatchClasses(model, data []string) (perm []int, err error) {
	outputs := make(map[string][]int, len(model))
	for i, name := range model {
		key := fold(name)
		outputs[key] = append(outputs[key], i)
	}
	perm = make([]int, len(data))
	taken := make(map[int]string, len(data))
	var unmatched, ambiguous []string
	for label, name := range data {
		found := outputs[fold(name)]
		switch {
		case len(found) == 0:
			unmatched = append(unmatched, strconv.Quote(name))
			continue
		case slices.Contains(found, label):
			// ImageNet has two classes called "crane": the same place decides.
			perm[label] = label
		case len(found) > 1:
			ambiguous = append(ambiguous, strconv.Quote(name))
			continue
		default:
			perm[label] = found[0]
		}
		if other, ok := taken[perm[label]]; ok {
			return nil, &Error{
				Msg:  fmt.Sprintf("classes %q and %q of the data are the same output of the model, %q", other, name, model[perm[label]]),
				Hint: "rename or merge the class folders",
			}
		}
		taken[perm[label]] = name
	}
	for _, problem := range []struct {
		names []string
		what  string
	}{{unmatched, "match none"}, {ambiguous, "match several"}} {
		if n := len(problem.names); n > 0 {
			list := strings.Join(problem.names[:min(n, 5)], ", ")
			if n > 5 {
				list += ", …"
			}
			return nil, &Error{
				Msg:  fmt.Sprintf("%d of the data's %d class names %s of the model's %d: %s", n, len(data), problem.what, len(model), list),
				Hint: "name the model's outputs as the data do, in order, one per line: --labels FILE",
			}
		}
	}
	return perm, nil
}

// ReadLabels reads the names of a model's outputs, one per line in their order.
func ReadLabels(path string) ([]string, error) {
	data, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	names, err := ParseLabels(data)
	if err != nil {
		return nil, &Error{Path: path, Msg: "not a list of class names", Hint: "one name per line, in the order of the model's outputs", Err: err}
	}
	return names, nil
}

// ParseLabels returns the lines of data without surrounding spaces. Empty lines
// may only stand at the end.
func ParseLabels(data []byte) ([]string, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	text := strings.TrimRight(string(data), " \t\r\n")
	if text == "" {
		return nil, errors.New("it is empty")
	}
	names := strings.Split(text, "\n")
	for i, name := range names {
		if names[i] = strings.TrimSpace(name); names[i] == "" {
			return nil, fmt.Errorf("line %d is empty", i+1)
		}
	}
	return names, nil
}

// FindClassNames looks for the names of a model's outputs in a config.json
// beside it: transformers' id2label or timm's label_names. It returns nil and
// no error if there are none, or only placeholders (LABEL_0, LABEL_1, …).
func FindClassNames(modelPath string) ([]string, error) {
	for _, dir := range configDirs(modelPath) {
		path := filepath.Join(dir, "config.json")
		if !isFile(path) {
			continue
		}
		data, err := readConfig(path)
		if err != nil {
			return nil, err
		}
		names, err := parseClassNames(data)
		if err != nil {
			return nil, &Error{Path: path, Msg: "cannot read the class names", Hint: "correct the file, or give the names with --labels FILE", Err: err}
		}
		if names != nil {
			return names, nil
		}
	}
	return nil, nil
}

// parseClassNames reads the class names of a config.json.
func parseClassNames(data []byte) ([]string, error) {
	var config struct {
		IDToLabel     map[string]json.RawMessage `json:"id2label"`
		LabelNames    []string                   `json:"label_names"`
		PretrainedCfg struct {
			LabelNames []string `json:"label_names"`
		} `json:"pretrained_cfg"`
	}
	if err := unmarshal(data, &config); err != nil {
		return nil, err
	}
	if len(config.IDToLabel) == 0 {
		if config.LabelNames == nil {
			return config.PretrainedCfg.LabelNames, nil
		}
		return config.LabelNames, nil
	}
	names := make([]string, len(config.IDToLabel))
	placeholders := 0
	for i := range names {
		id := strconv.Itoa(i)
		raw, ok := config.IDToLabel[id]
		if !ok {
			return nil, fmt.Errorf("id2label has %d names but none for %s", len(names), id)
		}
		// Some exporters write the ids again, as numbers.
		if json.Unmarshal(raw, &names[i]) != nil {
			names[i] = string(raw)
		}
		if names[i] == "LABEL_"+id || names[i] == id {
			placeholders++
		}
	}
	if placeholders == len(names) {
		return nil, nil
	}
	return names, nil
}
