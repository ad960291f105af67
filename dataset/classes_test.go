package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMatchClasses is a table of right answers made by hand. What is wrong in
// silence is worse than any error: where a name could be two things, there is one.
func TestMatchClasses(t *testing.T) {
	const nfcCafe, nfdCafe = "caf\u00e9", "cafe\u0301"
	lists := func(names ...string) OutputNames { return Single(names) }
	synsets := OutputNames{{"n02391049", "zebra"}, {"n02012849", "crane"}, {"n03126707", "crane"}, {"n01440764", "tench, Tinca tinca"}}
	for name, c := range map[string]struct {
		model OutputNames
		data  []string
		want  []int
		err   string
	}{
		"exact":                           {lists("dog", "cat"), []string{"cat", "dog"}, []int{1, 0}, ""},
		"a part of the classes":           {lists("dog", "cat", "cow"), []string{"cat"}, []int{1}, ""},
		"case":                            {lists("Dog", "CAT"), []string{"cat", "dog"}, []int{1, 0}, ""},
		"spaces, underscores, hyphens":    {lists("maple tree", "aquarium-fish"), []string{"aquarium_fish", "mapleTree"}, []int{1, 0}, ""},
		"exact before folded":             {lists("11", "1-1", "21", "2-1"), []string{"1-1", "11", "2-1", "21"}, []int{1, 0, 3, 2}, ""},
		"exact before case":               {lists("polish", "Polish"), []string{"Polish", "polish"}, []int{1, 0}, ""},
		"folded to one of two":            {lists("11", "1-1"), []string{"1_1"}, nil, "match several"},
		"folded, case of one of two":      {lists("a", "A", "b"), []string{"b", "a"}, []int{2, 0}, ""},
		"two data classes, one folded":    {lists("maple_tree", "oak"), []string{"MapleTree", "maple-tree"}, nil, "another class matches too"},
		"exact and folded to the same":    {lists("cat", "dog"), []string{"Cat", "cat"}, nil, "another class matches too"},
		"decomposed":                      {lists(nfcCafe, "zebra"), []string{nfdCafe, "zebra"}, []int{0, 1}, ""},
		"composed for decomposed":         {lists("zebra", nfdCafe), []string{nfcCafe}, []int{1}, ""},
		"decomposed in another case":      {lists(strings.ToUpper(nfcCafe), "x"), []string{nfdCafe}, []int{0}, ""},
		"both forms are classes":          {lists(nfcCafe, nfdCafe), []string{nfdCafe, nfcCafe}, []int{1, 0}, ""},
		"form before case":                {lists(nfcCafe, strings.ToUpper(nfcCafe)), []string{nfdCafe}, []int{0}, ""},
		"full width":                      {lists("\uff21\uff11", "b"), []string{"a1"}, []int{0}, ""},
		"sharp s":                         {lists("STRASSE", "b"), []string{"stra\u00dfe"}, []int{0}, ""},
		"WordNet ids":                     {lists("n01440764", "n02391049"), []string{"n02391049"}, []int{1}, ""},
		"another WordNet id":              {lists("n01440764"), []string{"n01440765"}, nil, "match none"},
		"ids of synsets":                  {synsets, []string{"n01440764", "n02012849", "n03126707"}, []int{3, 1, 2}, ""},
		"words of synsets":                {synsets, []string{"Zebra", "tench"}, []int{0, 3}, ""},
		"a word of two synsets":           {synsets, []string{"crane"}, nil, "match several"},
		"a word between commas":           {lists("great white shark, white shark", "tench, Tinca tinca"), []string{"tinca_tinca", "white shark"}, []int{1, 0}, ""},
		"a word between commas, of two":   {lists("shark, fish", "tench, fish"), []string{"fish"}, nil, "match several"},
		"the whole before a part":         {lists("fish, tench", "fish"), []string{"fish"}, []int{1}, ""},
		"twins in their places":           {lists("fish", "crane", "crane"), []string{"fish", "crane", "crane"}, []int{0, 1, 2}, ""},
		"twins by themselves":             {lists("crane", "fish", "crane"), []string{"crane"}, nil, "match several"},
		"none of six":                     {lists("x"), []string{"a", "b", "c", "d", "e", "f"}, nil, `"e", …`},
		"numbers that are names":          {lists("3", "7", "10"), []string{"10", "3"}, []int{2, 0}, ""},
		"numbers are not padded":          {lists("0", "1"), []string{"00"}, nil, "match none"},
		"the order of outputs, not sorts": {lists("zebra", "ant", "moose"), []string{"ant", "moose", "zebra"}, []int{1, 2, 0}, ""},
	} {
		got, err := MatchClasses(c.model, c.data)
		switch {
		case c.err == "" && (err != nil || !slices.Equal(got, c.want)):
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: got %v, %v, want an error with %q", name, got, err, c.err)
		}
	}
	set := Relabel(memory{labels: []int{1, 0}}, []int{3, 0}, []string{"a", "b", "c", "d"})
	if got := Where(set, 1); got != "memory, example 1" {
		t.Errorf("the example comes from %s", got)
	}
	if set.Label(0) != 0 || set.Label(1) != 3 || len(set.Classes()) != 4 {
		t.Error("Relabel does not map labels to outputs")
	}
}

func TestNumerals(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  []int
		ok    bool
	}{
		{[]string{"0", "1", "10", "2"}, []int{0, 1, 10, 2}, true},
		{[]string{"00000", "00001", "00042"}, []int{0, 1, 42}, true},
		{[]string{"1", "01"}, nil, false},
		{[]string{"1", "a"}, nil, false},
		{[]string{"-1", "1"}, nil, false},
		{[]string{"1.5"}, nil, false},
		{[]string{"99999999999999999999"}, nil, false},
		{nil, nil, false},
	} {
		if got, ok := Numerals(c.names); ok != c.ok || ok && !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, %v", c.names, got, ok)
		}
	}
}

// shownAs writes names as "id|word, id|word".
func shownAs(names OutputNames) string {
	outputs := make([]string, len(names))
	for i, own := range names {
		outputs[i] = strings.Join(own, "|")
	}
	return strings.Join(outputs, "; ")
}

// TestLabels reads every form of a file of names.
func TestLabels(t *testing.T) {
	for text, want := range map[string]string{
		"\ufeffcat\r\n dog \r\n\r\n":                                          "cat; dog",
		"tench, Tinca tinca\ngoldfish":                                        "tench, Tinca tinca; goldfish",
		`["cat", "dog"]`:                                                      "cat; dog",
		`{"1": "dog", "0": "cat"}`:                                            "cat; dog",
		`{"dog": 1, "cat": 0}`:                                                "cat; dog",
		`{"dog": "1", "cat": "0"}`:                                            "cat; dog",
		`{"0": ["n01", "tench"], "1": ["n02", "goldfish"]}`:                   "n01|tench; n02|goldfish",
		`[["n01", "tench"], ["n02", "goldfish"]]`:                             "n01|tench; n02|goldfish",
		`{"id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 0}}`:      "cat; dog",
		"n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus": "n01440764|tench, Tinca tinca; n01443537|goldfish, Carassius auratus",
		"n01440764\ttench\nn01443537\tgoldfish":                               "n01440764|tench; n01443537|goldfish",
		"n01440764\nn01443537":                                                "n01440764; n01443537",
		"0 cat\n1 dog":                                                        "cat; dog",
		"1: dog\n0: cat":                                                      "cat; dog",
		"0,cat\n1,dog":                                                        "cat; dog",
		"dog,1\ncat,0":                                                        "cat; dog",
		"dog ; 1\ncat\t0":                                                     "cat; dog",
		"room 1\nroom 0":                                                      "room 1; room 0",
		"1 euro\n2 euro":                                                      "1 euro; 2 euro",
		"0\n1\n2":                                                             "0; 1; 2",
		`{0: 'cat', 1: "dog's"}`:                                              "cat; dog's",
	} {
		got, err := ParseLabels([]byte(text))
		if err != nil || shownAs(got) != want {
			t.Errorf("%q: got %s, %v, want %s", text, shownAs(got), err, want)
		}
	}
	for text, want := range map[string]string{
		"":                       "empty",
		"\n\n":                   "empty",
		"cat\n\ndog\n":           "line 2",
		"\xff\xfec\x00a\x00":     "UTF-8",
		"c\x00a\x00t\x00":        "UTF-8",
		"c\xe4t\ndog":            "UTF-8",
		"cat,1\ndog,2":           "0 to 1",
		"cat,0\ndog,0":           "0 to 1",
		"[]":                     "empty",
		"{}":                     "object",
		`["cat", 3, null]`:       "name 2",
		`{"0": "cat", "2": "x"}`: "0 to 1",
		`{"a": 0, "b": 0}`:       "0 to 1",
		`{"0": ["a", 1]}`:        "name 0",
		`["cat"`:                 "byte 6",
		`["cat", ""]`:            "name 1",
	} {
		if got, err := ParseLabels([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %s, %v, want an error with %q", text, shownAs(got), err, want)
		}
	}
}

// TestFindOutputNames reads the names of a config.json and of a model's metadata.
func TestFindOutputNames(t *testing.T) {
	type metadata = map[string]string
	for name, c := range map[string]struct {
		config   string
		metadata metadata
		want     string // or the error
		warns    string
	}{
		"id2label":                    {config: `{"id2label": {"1": "dog", "0": "cat"}}`, want: "cat; dog"},
		"id2label, a list":            {config: `{"id2label": ["cat", "dog"]}`, want: "cat; dog"},
		"label2id":                    {config: `{"label2id": {"dog": 1, "cat": 0}}`, want: "cat; dog"},
		"label2id, texts":             {config: `{"label2id": {"dog": "1", "cat": "0"}}`, want: "cat; dog"},
		"id2label null":               {config: `{"id2label": null, "label2id": {"dog": 1, "cat": 0}}`, want: "cat; dog"},
		"id2label empty":              {config: `{"id2label": {}, "label2id": {"dog": 1, "cat": 0}}`, want: "cat; dog"},
		"id2label with placeholders":  {config: `{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"dog": 1, "cat": 0}}`, want: "cat; dog"},
		"placeholders":                {config: `{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}`, want: "LABEL_0; LABEL_1"},
		"numbers":                     {config: `{"id2label": {"0": 0, "1": 1}}`, want: "0; 1"},
		"a gap":                       {config: `{"id2label": {"0": "cat", "2": "dog"}}`, want: "id2label: it has 2 names"},
		"from 1":                      {config: `{"id2label": {"1": "cat", "2": "dog"}}`, want: "0 to 1"},
		"contradiction":               {config: `{"id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 1, "dog": 0}}`, want: `label2id says that "cat" is 1`},
		"twins are no contradiction":  {config: `{"id2label": {"0": "crane", "1": "crane"}, "label2id": {"crane": 1}}`, want: "crane; crane"},
		"timm":                        {config: `{"label_names": ["cat", "dog"]}`, want: "cat; dog"},
		"timm, inside":                {config: `{"pretrained_cfg": {"label_names": ["cat", "dog"]}}`, want: "cat; dog"},
		"id2label is text":            {config: `{"id2label": "cat"}`, want: "expected names by number"},
		"NaN":                         {config: `{"eps": NaN, "max": -Infinity, "id2label": {"0": "cat", "1": "dog"}}`, want: "cat; dog"},
		"a list":                      {config: `[{"app": 1}]`, want: "", warns: "passed over"},
		"a list, and metadata":        {config: `[]`, metadata: metadata{"names": "['cat', 'dog']"}, want: "cat; dog", warns: "passed over"},
		"not JSON":                    {config: `{"id2label"`, want: "config.json"},
		"nothing":                     {config: `{"architectures": ["ViT"]}`, want: ""},
		"ultralytics":                 {metadata: metadata{"names": `{0: 'cat', 1: 'dog'}`}, want: "cat; dog"},
		"ultralytics, quotes":         {metadata: metadata{"names": `{0: "cat's", 1: 'd"og\''}`}, want: `cat's; d"og'`},
		"a Python list":               {metadata: metadata{"class_names": `['cat', 'dog']`}, want: "cat; dog"},
		"a Python tuple":              {metadata: metadata{"class_names": `('cat', 'dog',)`}, want: "cat; dog"},
		"JSON":                        {metadata: metadata{"labels": `["cat", "dog"]`}, want: "cat; dog"},
		"JSON by number":              {metadata: metadata{"labels": `{"1": "dog", "0": "cat"}`}, want: "cat; dog"},
		"commas":                      {metadata: metadata{"labels": `cat, dog`}, want: "cat; dog"},
		"lines":                       {metadata: metadata{"class_names": "cat\ndog\n"}, want: "cat; dog"},
		"unreadable metadata":         {metadata: metadata{"names": `{0: cat`}, want: "", warns: "passed over"},
		"metadata about other things": {metadata: metadata{"labels": `a text, about this, and that`}, want: "", warns: "passed over"},
		"config before metadata":      {config: `{"id2label": {"0": "a", "1": "b"}}`, metadata: metadata{"names": "['cat', 'dog']"}, want: "a; b"},
		"the config of another model": {config: `{"id2label": {"0": "a", "1": "b", "2": "c"}}`, metadata: metadata{"names": "['cat', 'dog']"}, want: "cat; dog"},
		"placeholders, and metadata":  {config: `{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}`, metadata: metadata{"names": "['cat', 'dog']"}, want: "cat; dog"},
	} {
		dir := t.TempDir()
		if c.config != "" {
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		warned := ""
		names, _, err := FindOutputNames(ModelFile{Path: filepath.Join(dir, "model.onnx"), Metadata: c.metadata, Warn: func(format string, args ...any) { warned += format }}, 2)
		if err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) || err == nil && shownAs(names) != c.want {
			t.Errorf("%s: got %s, %v, want %s", name, shownAs(names), err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "unmarshal") || strings.Contains(err.Error(), "struct")) {
			t.Errorf("%s: %v names a Go type", name, err)
		}
		if (warned == "") != (c.warns == "") || !strings.Contains(warned, c.warns) {
			t.Errorf("%s: warned of %q, want %q", name, warned, c.warns)
		}
	}
}

// TestLiteral reads what Python and JSON write, and refuses the rest with a place.
func TestLiteral(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": [1, -2.5e3, null, true, None, False]}`: "map[a:[1 -2500 <nil> true <nil> false]]",
		`{1: 'a\'b', 'x': "\u00e9\n"}`:                "map[1:a'b x:é\n]",
		`[NaN, Infinity, -Infinity, nan, inf]`:        "[NaN +Inf -Inf NaN +Inf]",
		`(1, 2,)`:                                     "[1 2]",
		`"\ud83d\ude00"`:                              "😀",
		`[]`:                                          "[]",
	} {
		if got, err := ParseLiteral([]byte(text)); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		``: "byte 0", `{`: "byte 1", `{"a"}`: "byte 4", `{"a": 1 "b": 2}`: "byte 8", `[1 2]`: "byte 3", `"abc`: "byte 0",
		`{"a": 1} x`: "byte 9", `{[1]: 2}`: "byte 1", `tru`: "byte 0", `{"a": 1, "a": 2}`: "twice", `'\q'`: "escape",
		strings.Repeat("[", 1000): "deeply", `0x10`: "byte 0", `[1,,2]`: "byte 3",
	} {
		if got, err := ParseLiteral([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: %v, %v, want an error with %q", text, got, err, want)
		}
	}
}
