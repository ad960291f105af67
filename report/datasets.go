package report

import "fmt"

// DataSets is the result of the command data ls: which data sets can be fetched,
// and which have been.
type DataSets struct {
	Document
	Folder string    `json:"folder"` // where they are kept
	Sets   []DataSet `json:"data_sets"`
}

// DataSet is one that can be fetched.
type DataSet struct {
	Name    string   `json:"name"`
	Images  int      `json:"images"`
	Classes int      `json:"classes"`
	Size    int64    `json:"bytes"`
	SHA256  string   `json:"sha256"`
	URL     string   `json:"url"`
	Path    Optional `json:"path"` // of the file; empty where it has not been fetched
}

// text lists the data sets, a line each.
func (d *DataSets) text(p *printer) {
	for _, s := range d.Sets {
		where := "not fetched: modeldoctor data get " + s.Name
		if s.Path != "" {
			where = printable(string(s.Path))
		}
		p.fields(fmt.Sprintf("%-10s", s.Name), plural(s.Images, "image"), plural(s.Classes, "class"), size(s.Size), where)
	}
}
