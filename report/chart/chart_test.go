package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"strings"
	"testing"
)

// charts is one of each kind, and those that have nothing to show.
func charts() map[string]*Chart {
	nan, inf := math.NaN(), math.Inf(1)
	names := make([]string, 200)
	values := make([]float64, 200)
	at := make([]float64, 200)
	for i := range names {
		names[i], values[i], at[i] = fmt.Sprintf("blocks.%d", i), float64(i), float64(i)
	}
	return map[string]*Chart{
		"intervals": {
			Name: "a", Title: "Gains", Alt: "what they are", Y: "nats", Categories: []string{"embed", "head"},
			Series: []Series{{Name: "gain", X: []float64{0, 1}, Y: []float64{0.1, 0.2}, Low: []float64{0, nan}, High: []float64{0.2, nan}}},
			Rules:  []Rule{{"limit", 0.05}, {"none", nan}},
		},
		"not finite":      {Name: "b", Series: []Series{{Style: Lines, X: []float64{0, 1, inf}, Y: []float64{nan, inf, 1}}}},
		"nothing":         {Name: "c"},
		"one value":       {Name: "d", Series: []Series{{X: []float64{1}, Y: []float64{0}}}},
		"all equal":       {Name: "e", Series: []Series{{Style: Lines, X: []float64{0, 1}, Y: []float64{5, 5}}}},
		"logarithmic":     {Name: "f", LogY: true, Series: []Series{{Style: Lines, X: []float64{0, 1, 2}, Y: []float64{0, 1e-9, 1e9}}}},
		"none positive":   {Name: "g", LogY: true, Series: []Series{{X: []float64{0, 1}, Y: []float64{0, -1}}}},
		"shares":          {Name: "h", Unit: true, Series: []Series{{Name: "raw", Color: Second, Style: Lines, X: []float64{0, 1}, Y: []float64{0, 1}}}},
		"bars":            {Name: "i", Series: []Series{{Style: Bars, X: []float64{-1, 0, 1}, Y: []float64{3, 0, 2}}}},
		"many categories": {Name: "j", Categories: names, Series: []Series{{Style: Lines, X: at, Y: values}}},
		"small":           {Name: "k", Small: true, Series: []Series{{Style: Lines, X: at, Y: values}}},
		"names that are markup": {
			Name: "l", Title: "<script>alert(1)</script>\x00", Alt: `"&<>`, X: "<x>", Categories: []string{"</svg><script>"},
			Series: []Series{{Name: "<b>", X: []float64{0}, Y: []float64{1}}},
		},
	}
}

// TestCharts: every chart is well-formed SVG, with its title and what it shows in
// words, and a PNG; names in it are never elements.
func TestCharts(t *testing.T) {
	for name, c := range charts() {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := c.SVG(&out); err != nil {
				t.Fatal(err)
			}
			checkSVG(t, out.String(), c)
			inline, err := c.Inline()
			if err != nil {
				t.Fatal(err)
			}
			checkSVG(t, inline, c)
			if strings.Contains(inline, Ink.hex()) || !strings.Contains(inline, "var(--ink)") {
				t.Error("the colours on a page are not those of its style sheet")
			}
			out.Reset()
			if err := c.PNG(&out); err != nil {
				t.Fatal(err)
			}
			if _, err := png.Decode(&out); err != nil {
				t.Errorf("PNG: %v", err)
			}
		})
	}
}

// checkSVG reads a document with the parser of XML.
func checkSVG(t *testing.T, text string, c *Chart) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(text))
	found := map[string]string{}
	var open []string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
			if token.Name.Local == "script" {
				t.Error("a name has become an element")
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) == 2 {
				found[open[1]] += string(token)
			}
		}
	}
	if found["desc"] != c.Alt {
		t.Errorf("described as %q, want %q", found["desc"], c.Alt)
	}
	if want := strings.ReplaceAll(c.Title, "\x00", "\uFFFD"); found["title"] != want {
		t.Errorf("titled %q, want %q", found["title"], want)
	}
}

// TestSameChart: a chart is drawn the same every time.
func TestSameChart(t *testing.T) {
	var first, second bytes.Buffer
	c := charts()["intervals"]
	if err := errors.Join(c.SVG(&first), c.SVG(&second)); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("error %v; the two differ: %v", err, !bytes.Equal(first.Bytes(), second.Bytes()))
	}
}
