package report

import (
	"bytes"
	"strings"
	"testing"
)

// dataSets are two, one of which has been fetched.
func dataSets() *DataSets {
	return &DataSets{Folder: "/home/me/.cache/modeldoctor", Sets: []DataSet{
		{Name: "cifar-10", Images: 60_000, Classes: 10, Size: 170_052_171, SHA256: "c4a3", URL: "https://example.org/cifar-10.tar.gz"},
		{Name: "cifar-100", Images: 60_000, Classes: 100, Size: 168_513_733, SHA256: "58a8", URL: "https://example.org/cifar-100.tar.gz", Path: "/home/me/.cache/modeldoctor/cifar-100.tar.gz"},
	}}
}

func TestDataSetsGolden(t *testing.T) {
	checkGolden(t, map[string]func(*bytes.Buffer) error{
		"datasets.txt":  func(b *bytes.Buffer) error { return Write(b, dataSets(), "text", Style{}) },
		"datasets.json": func(b *bytes.Buffer) error { return Write(b, dataSets(), "json", Style{}) },
	})
}

// TestDataSetsAlign: whatever the figures, each column of the list ends, or begins, at
// the same place in every line, and the lines fit the narrowest terminal.
func TestDataSetsAlign(t *testing.T) {
	list := dataSets()
	list.Sets = append(list.Sets, DataSet{Name: "a-longer-name", Images: 7, Classes: 1, Size: 9})
	var text bytes.Buffer
	if err := Write(&text, list, "text", Style{Width: fewestColumns}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")[1 : 2+len(list.Sets)]
	start := strings.Index(lines[0], "file")
	for _, line := range lines {
		if columns(line) > fewestColumns {
			t.Errorf("%d columns: %s", columns(line), line)
		}
		for _, title := range []string{"images", "classes", "size"} {
			end := strings.Index(lines[0], title) + len(title)
			if len(line) <= end || line[end] != ' ' || line[end-1] == ' ' {
				t.Errorf("no column ends at %d: %q", end, line)
			}
		}
		if line[start] == ' ' {
			t.Errorf("the last column does not begin at %d: %q", start, line)
		}
	}
}
