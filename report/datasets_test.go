package report

import (
	"bytes"
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
