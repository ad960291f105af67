package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ReadLabels reads the names of a model's outputs from a file: lines in their order;
// lines that begin with a WordNet id (synset.txt) or with the output's number, or end
// with that after a comma, a semicolon or a tab; a JSON list; a JSON object by number
// (imagenet_class_index.json) or by name; or a config.json.
func ReadLabels(path string) (OutputNames, error) {
	data, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	names, err := ParseLabels(data)
	if err != nil {
		return nil, &Error{Path: path, Msg: "not a list of class names", Hint: "one name per line, in the order of the model's outputs, or JSON: a list of names, or an object of names by number", Err: err}
	}
	return names, nil
}

// ParseLabels reads the contents of a file as [ReadLabels] takes it.
func ParseLabels(data []byte) (OutputNames, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		v, err := ParseLiteral(text)
		if err != nil {
			return nil, err
		}
		if config, ok := v.(map[string]any); ok {
			if names, err := configNames(config); names != nil || err != nil {
				return names, err
			}
		}
		return toNames(v)
	}
	lines, err := ParseLines(data)
	if err != nil {
		return nil, err
	}
	if names := synsets(lines); names != nil {
		return names, nil
	}
	if names := numbered(lines); names != nil {
		return names, nil
	}
	if names, err := numberedLast(lines); names != nil || err != nil {
		return names, err
	}
	return Single(lines), nil
}

// ParseLines returns the lines of a text in UTF-8 without surrounding spaces. Empty
// lines may only stand at the end.
func ParseLines(data []byte) ([]string, error) {
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, errors.New("not a text in UTF-8")
	}
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

var synset = regexp.MustCompile(`^(n\d{8})(?:\s+|\s*,\s*)(\S.*)$`)

// synsets reads lines such as "n01440764 tench, Tinca tinca", nil unless all are.
func synsets(lines []string) OutputNames {
	names := make(OutputNames, len(lines))
	for i, line := range lines {
		parts := synset.FindStringSubmatch(line)
		if parts == nil {
			return nil
		}
		names[i] = parts[1:]
	}
	return names
}

var numberedLine = regexp.MustCompile(`^(\d+)(?:\s*[:,;]\s*|\s+)(\S.*)$`)

// numbered reads lines such as "0: tench", in any order; nil unless their numbers
// are those of all outputs.
func numbered(lines []string) OutputNames {
	names := make(OutputNames, len(lines))
	for _, line := range lines {
		parts := numberedLine.FindStringSubmatch(line)
		if parts == nil {
			return nil
		}
		n, err := strconv.Atoi(parts[1])
		if err != nil || n >= len(names) || names[n] != nil {
			return nil
		}
		names[n] = parts[2:]
	}
	return names
}

var numberedLastLine = regexp.MustCompile(`^(.*\S)\s*[,;\t]\s*(\d+)$`)

// numberedLast reads lines such as "tench,0", in any order; nil unless all are. Their
// numbers have to be those of the outputs: in the order of the lines, the names would
// be those of other outputs without anything that shows it.
func numberedLast(lines []string) (OutputNames, error) {
	turned := make([]string, len(lines))
	for i, line := range lines {
		parts := numberedLastLine.FindStringSubmatch(line)
		if parts == nil {
			return nil, nil
		}
		turned[i] = parts[2] + " " + parts[1]
	}
	names := numbered(turned)
	if names == nil {
		return nil, fmt.Errorf("its %d lines end with numbers, and these are not 0 to %d, each of them once (if they are part of the names, write a JSON list)", len(lines), len(lines)-1)
	}
	return names, nil
}

// maxMetadataBytes bounds the class names in a model file: read, they take several
// times as much. ImageNet-21k's have half of that.
const maxMetadataBytes = 1 << 21

// FindOutputNames looks for the names of a model's outputs: transformers' id2label
// or label2id, or timm's label_names, of a config.json beside it, else in its
// metadata. Names for another number of outputs are passed over where a later
// source has as many as there are outputs, and placeholders where a later one has
// real names. It also says where they were found. It returns nil and no error if
// there are none.
func FindOutputNames(model ModelFile, outputs int) (names OutputNames, where string, err error) {
	add := func(found OutputNames, place string) {
		better := len(names) != outputs && len(found) == outputs || len(found) == outputs && names.Placeholders() && !found.Placeholders()
		if found != nil && (names == nil || better) {
			names, where = found, place
		}
	}
	for _, dir := range configDirs(model.Path) {
		path, values, err := model.config(dir)
		if err != nil {
			return nil, "", err
		}
		if values == nil {
			continue
		}
		found, err := configNames(values)
		if err != nil {
			return nil, "", &Error{Path: path, Msg: "cannot read the class names", Hint: "correct the file, or give the names with --labels FILE", Err: err}
		}
		add(found, path)
	}
	for _, key := range []string{"names", "class_names", "classes", "labels", "id2label"} {
		text := model.Metadata[key]
		if text == "" {
			continue
		}
		if len(text) > maxMetadataBytes {
			model.warn("the model's metadata have %q of %d bytes, more than class names take; it is passed over", key, len(text))
			continue
		}
		found, err := metadataNames(text)
		if err != nil {
			model.warn("the model's metadata have %q, which cannot be read as class names: %v; it is passed over", key, err)
			continue
		}
		// One name fewer: the first output may be a background class.
		if n := len(found); n != outputs && n != outputs-1 {
			model.warn("the model's metadata have %d names under %q for %d outputs; they are passed over", n, key, outputs)
			continue
		}
		add(found, "the model's metadata ("+key+")")
	}
	return names, where, nil
}

// metadataNames reads a list or dict as Python or JSON writes it, else names that
// are separated by lines or commas.
func metadataNames(text string) (OutputNames, error) {
	text = strings.TrimSpace(text)
	if text != "" && strings.IndexByte("{[(", text[0]) >= 0 {
		v, err := ParseLiteral([]byte(text))
		if err != nil {
			return nil, err
		}
		return toNames(v)
	}
	if strings.Contains(text, "\n") {
		return ParseLabels([]byte(text))
	}
	names := strings.Split(text, ",")
	for i := range names {
		if names[i] = strings.TrimSpace(names[i]); names[i] == "" {
			return nil, errors.New("an empty name")
		}
	}
	return Single(names), nil
}

// configNames reads the class names of a config.json; nil where it has none.
// Placeholders are returned where there is nothing better.
func configNames(config map[string]any) (OutputNames, error) {
	inner, _ := config["pretrained_cfg"].(map[string]any)
	var placeholders OutputNames
	for _, source := range []struct {
		key   string
		value any
	}{
		{"id2label", config["id2label"]}, {"label2id", config["label2id"]},
		{"label_names", config["label_names"]}, {"pretrained_cfg.label_names", inner["label_names"]},
	} {
		switch v := source.value.(type) {
		case nil:
			continue
		case map[string]any:
			if len(v) == 0 {
				continue
			}
		case []any:
			if len(v) == 0 {
				continue
			}
		}
		names, err := toNames(source.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source.key, err)
		}
		if names.Placeholders() {
			placeholders = names
			continue
		}
		if ids, ok := config["label2id"].(map[string]any); ok && source.key == "id2label" {
			err = names.agree(ids)
		}
		return names, err
	}
	return placeholders, nil
}

// agree returns an error where label2id has another number for a name than
// id2label has: which of them the model was trained with is not known. Names that
// only one of them has are no contradiction.
func (o OutputNames) agree(ids map[string]any) error {
	known := map[string]bool{}
	for _, names := range o {
		known[names[0]] = true
	}
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		id, ok := toNumber(ids[name])
		if i := int(id); ok && known[name] && (i < 0 || i >= len(o) || o[i][0] != name) {
			return fmt.Errorf("label2id says that %q is %v, and id2label does not", name, id)
		}
	}
	return nil
}

// toNames reads a list of names, an object of names by number, or one of numbers
// by name.
func toNames(v any) (OutputNames, error) {
	if list, ok := v.([]any); ok {
		names := make(OutputNames, len(list))
		for i, entry := range list {
			var err error
			if names[i], err = toName(entry); err != nil {
				return nil, fmt.Errorf("name %d: %w", i, err)
			}
		}
		if len(names) == 0 {
			return nil, errors.New("it is empty")
		}
		return names, nil
	}
	object, ok := v.(map[string]any)
	if !ok || len(object) == 0 {
		return nil, fmt.Errorf("it is %s: expected names by number, or a list", describeValue(v))
	}
	names := make(OutputNames, len(object))
	byNumber := true
	for key := range object {
		if _, err := strconv.Atoi(key); err != nil {
			byNumber = false
		}
	}
	for key, entry := range object {
		number := any(key)
		if !byNumber {
			number, entry = entry, key
		}
		id, ok := toNumber(number)
		i := int(id)
		if !ok || float64(i) != id || i < 0 || i >= len(names) || names[i] != nil {
			return nil, fmt.Errorf("it has %d names, and %s is not one of the numbers 0 to %d, each of them once", len(names), describeValue(number), len(names)-1)
		}
		var err error
		if names[i], err = toName(entry); err != nil {
			return nil, fmt.Errorf("name %d: %w", i, err)
		}
	}
	return names, nil
}

// toName reads the names of one output. Some exporters write the ids again, as
// numbers.
func toName(v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		if strings.TrimSpace(v) != "" {
			return []string{v}, nil
		}
		return nil, errors.New("it is empty")
	case float64, bool:
		return []string{fmt.Sprint(v)}, nil
	case []any:
		var names []string
		for _, entry := range v {
			name, ok := entry.(string)
			if !ok || strings.TrimSpace(name) == "" {
				return nil, fmt.Errorf("expected a name, found %s", describeValue(entry))
			}
			names = append(names, name)
		}
		if names != nil {
			return names, nil
		}
	}
	return nil, fmt.Errorf("expected a name, found %s", describeValue(v))
}

// Placeholders reports whether all names say no more than the output's number, as
// exporters write them where nobody gave names: LABEL_0, class0, or 0.
func (o OutputNames) Placeholders() bool {
	for i, own := range o {
		id := strconv.Itoa(i)
		if own[0] != "LABEL_"+id && own[0] != id && own[0] != "class"+id && own[0] != "class_"+id {
			return false
		}
	}
	return true
}
