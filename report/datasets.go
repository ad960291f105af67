package report

import "cmp"

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

// text lists the data sets below the folder that has those that were fetched.
func (d *DataSets) text(p *printer) {
	p.fields("folder  ", printable(d.Folder))
	rows := [][]string{{"data set", "images", "classes", "size", "file"}}
	missing := ""
	for _, s := range d.Sets {
		file := base(string(s.Path))
		if s.Path == "" {
			file, missing = "not fetched", cmp.Or(missing, s.Name)
		}
		rows = append(rows, []string{s.Name, thousands(s.Images), thousands(s.Classes), size(s.Size), file})
	}
	p.grid(rows, []int{0, len(rows[0]) - 1}, nil)
	if missing != "" {
		p.hint("`modeldoctor data get " + missing + "` fetches one")
	}
}
