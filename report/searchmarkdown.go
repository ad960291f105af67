package report

import "fmt"

// markdown writes what became of each candidate; nothing without a search.
func (s *LayerSearch) markdown(p *printer) {
	if s == nil {
		return
	}
	p.printf("\nSearch: validation loss after %s.\n\n", roundsText(s.Rounds))
	markdownTable(p, s.table(), 0, 1)
	p.printf("\n")
	for _, note := range s.notes() {
		markdownItem(p, "note", note)
	}
}

// markdown lists what a search would try.
func (s *SearchPlan) markdown(p *printer) {
	markdownItem(p, "model", base(s.Model.Path), fmt.Sprintf("%s, %s parameters", s.Model.Family, count(s.Model.Parameters)))
	markdownItem(p, "data", s.Data.fields(true)...)
	markdownItem(p, "search", roundsText(s.Rounds), s.duration())
	p.printf("\n")
	markdownTable(p, s.table(), 0, 1)
	p.printf("\n")
	markdownItem(p, "note", byNote)
}
