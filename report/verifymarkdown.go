package report

import "strings"

// markdown writes the layers that differ, what else does, and the figures where they
// were measured, in GitHub's Markdown.
func (v *Verify) markdown(p *printer) {
	p.printf("**%s** %s\n\n", v.Verdict, escaped(strings.Join(v.summary(), "; ")))
	for _, f := range []struct {
		name string
		File
	}{{"A", v.A}, {"B", v.B}} {
		markdownItem(p, f.name, f.Path, plural(int(f.Bytes), "byte"), "sha256 "+shortHash(f.SHA256))
	}
	if v.Layers == nil && len(v.Tensors) > 0 {
		markdownItem(p, "note", notNetworks)
	}
	if m := v.Measured; m != nil {
		markdownItem(p, "data", m.Data, m.Val, plural(m.N, "image"))
	}
	for _, k := range v.kinds() {
		if len(k.differences) > 0 {
			markdownItem(p, k.name, k.text())
		}
	}
	if rows := v.layerTable(); rows != nil {
		p.printf("\n")
		markdownTable(p, rows, 0)
	}
	if v.Measured != nil {
		p.printf("\n")
		markdownTable(p, v.Measured.table(), 0, 3)
	}
}
