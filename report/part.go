package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// CheckPart is what one of several machines that share a check has measured, for
// modeldoctor merge.
type CheckPart struct {
	Document
	Shard int         `json:"shard"` // from 1
	Plan  []SharePlan `json:"plan"`  // of all shards
	// Identity names all that the bits of the findings depend on. Parts of one check
	// have the same.
	Identity    map[string]string `json:"identity"`
	Complete    bool              `json:"complete"` // all layers of the shard are measured
	Model       Model             `json:"model"`
	Data        Data              `json:"data"`
	Granularity string            `json:"granularity"`
	Skipped     []Skipped         `json:"skipped"`
	Findings    *diag.Findings    `json:"findings"`
	// Digest is the SHA-256 of the findings, in hexadecimal. A file that is written has
	// it, whatever this is: one that was damaged or edited must not make a verdict.
	Digest     string     `json:"findings_sha256"`
	Provenance Provenance `json:"provenance"`

	Path  string `json:"-"` // of its file
	Found bool   `json:"-"` // it was there, and nothing was left to measure
}

// SharePlan is a share of a check.
type SharePlan struct {
	Layers []string `json:"layers"`
	Cost   float64  `json:"cost"` // expected, as a share of that of the whole check on one machine
}

// MarshalJSON implements [json.Marshaler].
func (p *CheckPart) MarshalJSON() ([]byte, error) {
	type plain CheckPart
	sealed := plain(*p)
	var err error
	if sealed.Digest, err = digestOf(p.Findings); err != nil {
		return nil, err
	}
	return json.Marshal(&sealed)
}

// digestOf is the digest of findings, which have one text.
func digestOf(f *diag.Findings) (string, error) {
	text, err := json.Marshal(f)
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:]), err
}

// Own is the plan of this part.
func (p *CheckPart) Own() SharePlan { return p.Plan[p.Shard-1] }

// Name is how the part is called among others.
func (p *CheckPart) Name() string { return partName(p.Shard, len(p.Plan)) }

func partName(shard, of int) string { return fmt.Sprintf("part %d of %d", shard, of) }

// text says what was measured, where it is, and what comes next.
func (p *CheckPart) text(out *printer) {
	out.model(p.Model, "")
	own := p.Own()
	what := plural(len(own.Layers), "layer") + " measured"
	if p.Found {
		what = "is there already: nothing to do"
	}
	out.fields(p.Name()+"   ", append([]string{what}, own.fields()...)...)
	out.fields("file   ", printable(p.Path))
}

// fields are the layers of a share, and its cost.
func (p SharePlan) fields() []string {
	return []string{fmt.Sprintf("%.0f %% of one machine's work", 100*p.Cost), p.names()}
}

// names are those of the layers.
func (p SharePlan) names() string {
	if len(p.Layers) == 0 {
		return "no layers: there are more shares than layers"
	}
	return printable(strings.Join(p.Layers, ", "))
}

// Shares is the plan of a check that several machines share, from --dry-run.
type Shares struct {
	Model Model
	Plan  []SharePlan
	Shard int // that this machine would measure
}

// text lists the shares, and how fast they make the whole.
func (s *Shares) text(p *printer) {
	p.model(s.Model, "")
	sum, dearest := 0.0, 0.0
	for i, share := range s.Plan {
		label := fmt.Sprintf("%-16s", partName(i+1, len(s.Plan)))
		if i+1 == s.Shard {
			label = p.style.paint(ansiBold, label)
		}
		p.paintedFields(label, 16, share.fields()...)
		sum, dearest = sum+share.Cost, max(dearest, share.Cost)
	}
	p.printf("\n")
	p.fields("", fmt.Sprintf("%.2f times the work of one machine", sum), fmt.Sprintf("%.2f times as fast with %d alike", 1/max(dearest, 1e-9), len(s.Plan)))
}

// maxPart is the size in bytes up to which a part is read: the gains of 50,000 images
// in each of 3,000 tensors are less.
const maxPart = 1 << 30

// ReadPart reads a part. The error says what is wrong with a file that is none.
func ReadPart(r io.Reader) (*CheckPart, error) {
	text, err := readWhole(r, "part", maxPart)
	if err != nil {
		return nil, err
	}
	var p CheckPart
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("no part of `modeldoctor check --shard`: %w", err)
	}
	switch {
	case p.Schema != SchemaVersion || p.Findings == nil || p.Identity == nil || len(p.Plan) == 0:
		return nil, errors.New("no part of `modeldoctor check --shard`")
	case p.Shard < 1 || p.Shard > len(p.Plan):
		return nil, fmt.Errorf("the part's shard is %d of %d", p.Shard, len(p.Plan))
	}
	digest, err := digestOf(p.Findings)
	if err == nil && digest != p.Digest {
		err = errors.New("the part was damaged or edited: its findings are not those that were written")
	}
	return &p, cmp.Or(err, p.Findings.Check())
}

// Differences are in what two parts are not of one check. whose says what the other's is
// called: theirs, say.
func (p *CheckPart) Differences(other *CheckPart, whose string) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(p.Identity)), maps.Keys(other.Identity))
	slices.Sort(keys)
	var list []string
	for _, key := range slices.Compact(keys) {
		if its, others := p.Identity[key], other.Identity[key]; its != others {
			list = append(list, fmt.Sprintf("its %s is %s, and %s %s", key, abbreviated(its), whose, abbreviated(others)))
		}
	}
	return list
}

// abbreviated shortens a digest or a long list, of which the beginning tells enough.
func abbreviated(s string) string {
	const most = 40
	switch {
	case s == "":
		return "none"
	case len(s) == 64:
		return shortHash(s)
	case len(s) > most:
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Merge puts parts of one check together: those of the most machines that measured the
// same, with everything that is wrong. With any of that there is nothing.
func Merge(parts []*CheckPart) (*CheckPart, []error) {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	groups := map[string]int{}
	for _, p := range parts {
		groups[p.key()]++
	}
	most := 0
	for _, n := range groups {
		most = max(most, n)
	}
	var whole *CheckPart
	for _, p := range parts { // the first of the largest group
		if groups[p.key()] == most {
			whole = p
			break
		}
	}
	if whole == nil {
		return nil, []error{errors.New("there is no part")}
	}
	have := make([]string, len(whole.Plan))
	merged := *whole
	var findings diag.Findings
	joined := false
	for _, p := range parts {
		if differ := p.Differences(whole, "theirs"); len(differ) > 0 {
			add("%s (%s) is of another check than the others: %s", p.Path, p.Name(), strings.Join(differ, "; "))
			continue
		}
		if !p.Complete {
			add("%s (%s) is unfinished: layers are missing: %s", p.Path, p.Name(), strings.Join(p.Missing(), ", "))
			continue
		}
		if have[p.Shard-1] != "" {
			add("%s is %s, and so is %s", p.Path, p.Name(), have[p.Shard-1])
			continue
		}
		have[p.Shard-1] = p.Path
		if !joined {
			findings, joined = *p.Findings, true
			continue
		}
		if err := findings.Join(p.Findings); err != nil {
			add("%s (%s) does not fit the others: %s", p.Path, p.Name(), strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	for i, path := range have {
		if path == "" {
			add("%s is missing", partName(i+1, len(have)))
		}
	}
	if problems == nil && len(findings.Missing()) > 0 {
		add("layers are missing though all parts are there: %s", strings.Join(findings.Missing(), ", "))
	}
	if problems != nil {
		return nil, problems
	}
	merged.Findings = &findings
	return &merged, nil
}

// Missing are the layers of the part's share that have not been measured.
func (p *CheckPart) Missing() []string {
	return slices.DeleteFunc(p.Findings.Missing(), func(name string) bool { return !slices.Contains(p.Own().Layers, name) })
}

// key is the same for parts of one check.
func (p *CheckPart) key() string {
	text, err := json.Marshal(p.Identity) // whose keys are sorted
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// SameAs reports whether two parts were begun on the same images by name and number,
// prepared in the same way.
func (d Data) SameAs(other Data) bool {
	d.SHA256, other.SHA256 = "", ""
	a, err1 := json.Marshal(d)
	b, err2 := json.Marshal(other)
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}
