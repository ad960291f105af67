// Package chart draws the charts of a report: as SVG, for a page or a file, and
// as PNG. It knows nothing of what they are about.
package chart

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Chart is a plot. Points that are not finite are left out, and, on a logarithmic
// axis, those that are not positive.
type Chart struct {
	Name  string // of its file, without an ending
	Title string
	X, Y  string // what the axes show, with the unit
	// Alt says in words what the chart shows, for whoever does not see it.
	Alt string
	// Categories, if there are any, are what stands at x = 0, 1, …
	Categories []string
	LogY       bool
	Unit       bool // both axes go from 0 to 1, and the diagonal is drawn
	Small      bool // one of many
	Series     []Series
	Rules      []Rule
}

// Style is how a series is drawn.
type Style int

// The styles.
const (
	Points Style = iota
	Lines        // between points that are marked
	Bars         // from 0, as wide as the points are apart
)

// Series is points of one kind.
type Series struct {
	Name  string // in the legend; empty: not there
	Style Style
	Color Color
	X, Y  []float64
	// Low and High, if not nil, are the ends of an interval about each Y.
	Low, High []float64
}

// Rule is a line at a y.
type Rule struct {
	Name string
	Y    float64
}

// Color is what something is drawn in. On a page it follows the page's style sheet,
// which has to define the variables of [Color.Variable].
type Color int

// The colours.
const (
	First Color = iota
	Second
	Third
	Alarm
	Ink   // of text and axes
	Faint // of grids
)

// palette is colours that differ for those who do not tell red from green, too, and
// that have contrast on white: those of Okabe and Ito, 2008, darkened.
var palette = [...]struct {
	variable string
	rgb      color.RGBA
}{
	First:  {"--first", color.RGBA{0x00, 0x62, 0x9B, 0xFF}},
	Second: {"--second", color.RGBA{0xB8, 0x56, 0x04, 0xFF}},
	Third:  {"--third", color.RGBA{0x1B, 0x7A, 0x5C, 0xFF}},
	Alarm:  {"--alarm", color.RGBA{0xB0, 0x1E, 0x2D, 0xFF}},
	Ink:    {"--ink", color.RGBA{0x1C, 0x1E, 0x21, 0xFF}},
	Faint:  {"--faint", color.RGBA{0xD8, 0xDB, 0xDF, 0xFF}},
}

// Variable is the name of the style sheet's variable.
func (k Color) Variable() string { return palette[k].variable }

// hex is the colour as SVG has it.
func (k Color) hex() string {
	rgb := palette[k].rgb
	return fmt.Sprintf("#%02X%02X%02X", rgb.R, rgb.G, rgb.B)
}

const (
	height       = 240 * vg.Length(1) // points
	leastWidth   = 420 * vg.Length(1)
	perCategory  = 30 * vg.Length(1)
	besideLabels = 110 * vg.Length(1)
	mostWidth    = 2400 * vg.Length(1)
	mostNames    = 80 // categories beyond which only some are named
	dotsPerInch  = 144
	aboutLabels  = 5 // numbers of an axis
)

// size is the width and height of the chart.
func (c *Chart) size() (width, high vg.Length) {
	width = min(max(leastWidth, besideLabels+perCategory*vg.Length(len(c.Categories))), mostWidth)
	switch {
	case c.Unit:
		return height * 1.25, height * 1.15
	case c.Small:
		return leastWidth / 2, height / 2
	}
	return width, height
}

// draw makes the plot.
func (c *Chart) draw() (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.X.Label.Text, p.Y.Label.Text = clean(c.X), clean(c.Y)
	sans := font.Font{Typeface: "Liberation", Variant: "Sans", Size: 10}
	if c.Small {
		sans.Size = 8
	}
	ink := palette[Ink].rgb
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Tick.Label.Font = sans, sans
		axis.Label.TextStyle.Color, axis.Tick.Label.Color = ink, ink
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = ink, ink
		axis.Tick.Marker = linearTicks{aboutLabels}
	}
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color, p.Legend.Top, p.Legend.Padding = sans, ink, true, 2
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal.Color, grid.Horizontal.Width = palette[Faint].rgb, 0.5
	p.Add(grid)
	switch {
	case c.Unit:
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
		diagonal := plotter.NewFunction(func(x float64) float64 { return x })
		diagonal.LineStyle = draw.LineStyle{Color: ink, Width: 0.75, Dashes: []vg.Length{3, 3}}
		p.Add(diagonal)
	case c.LogY:
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, logTicks{aboutLabels}
	}
	if len(c.Categories) > 0 {
		c.nameCategories(p)
	}
	for _, s := range c.Series {
		if err := c.add(p, s); err != nil {
			return nil, fmt.Errorf("chart %s: %w", c.Name, err)
		}
	}
	for _, r := range c.Rules {
		if !c.drawable(r.Y) {
			continue
		}
		line := plotter.NewFunction(func(float64) float64 { return r.Y })
		line.LineStyle = draw.LineStyle{Color: palette[Alarm].rgb, Width: 1, Dashes: []vg.Length{5, 3}}
		p.Add(line)
		p.Legend.Add(clean(r.Name)+beforeMark, line)
		p.Y.Min, p.Y.Max = min(p.Y.Min, r.Y), max(p.Y.Max, r.Y)
	}
	c.makeRoom(p)
	return p, nil
}

// beforeMark stands behind a name of the legend, because the font of a page may be wider than the
// one that the mark's place is computed with.
const beforeMark = "     "

// The room that is left above what is drawn, as shares of its height.
const (
	margin    = 0.04
	perLegend = 0.1 // each entry of the legend
)

// makeRoom leaves some above what is drawn, for the legend, and below.
func (c *Chart) makeRoom(p *plot.Plot) {
	entries := len(c.Rules)
	for _, s := range c.Series {
		if s.Name != "" {
			entries++
		}
	}
	below, above := margin, margin+perLegend*float64(entries)
	y := &p.Y
	switch {
	case c.Unit:
		p.Legend.Top, p.Legend.YOffs = false, 12
		return
	case y.Min > y.Max || math.IsInf(y.Min, 0): // nothing is drawn
		y.Min, y.Max = 0.1, 1
	case c.LogY:
		factor := max(2, y.Max/y.Min)
		y.Min, y.Max = y.Min/math.Pow(factor, below), y.Max*math.Pow(factor, above)
	default:
		height := max(y.Max-y.Min, 1e-3*math.Abs(y.Max), 1e-12)
		y.Min, y.Max = y.Min-below*height, y.Max+above*height
	}
	if c.bars() {
		y.Min = 0
	}
}

// bars reports whether a series is drawn as bars, which stand on 0.
func (c *Chart) bars() bool {
	return slices.ContainsFunc(c.Series, func(s Series) bool { return s.Style == Bars })
}

// nameCategories puts the names at the x axis, upright where they would not fit.
func (c *Chart) nameCategories(p *plot.Plot) {
	ticks := make([]plot.Tick, 0, len(c.Categories))
	every := (len(c.Categories) + mostNames - 1) / mostNames
	long := 0
	for i, name := range c.Categories {
		if i%every == 0 {
			ticks = append(ticks, plot.Tick{Value: float64(i), Label: clean(name)})
			long = max(long, len(name))
		}
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.X.Min, p.X.Max = -0.5, float64(len(c.Categories))-0.5
	if long > 5 {
		p.X.Tick.Label.Rotation = math.Pi / 4
		p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	}
}

// drawable reports whether the y axis has a place for y.
func (c *Chart) drawable(y float64) bool {
	return !math.IsNaN(y) && !math.IsInf(y, 0) && (!c.LogY || y > 0)
}

// add draws a series.
func (c *Chart) add(p *plot.Plot, s Series) error {
	var points plotter.XYs
	var errors plotter.YErrors
	for i, y := range s.Y {
		if !c.drawable(y) || math.IsNaN(s.X[i]) || math.IsInf(s.X[i], 0) {
			continue
		}
		points = append(points, plotter.XY{X: s.X[i], Y: y})
		var ends struct{ Low, High float64 }
		if s.Low != nil && c.drawable(s.Low[i]) && c.drawable(s.High[i]) {
			ends.Low, ends.High = y-s.Low[i], s.High[i]-y
		}
		errors = append(errors, ends)
	}
	if len(points) == 0 {
		return nil
	}
	rgb := palette[s.Color].rgb
	legend := func(thumbnail plot.Thumbnailer) {
		if s.Name != "" {
			p.Legend.Add(clean(s.Name)+beforeMark, thumbnail)
		}
	}
	if s.Style == Bars {
		bars := histogram(points, rgb)
		p.Add(bars)
		legend(bars)
		return nil
	}
	if s.Low != nil {
		bars, err := plotter.NewYErrorBars(struct {
			plotter.XYs
			plotter.YErrors
		}{points, errors})
		if err != nil {
			return err
		}
		bars.LineStyle = draw.LineStyle{Color: rgb, Width: 1.25}
		p.Add(bars)
	}
	line, marks, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.LineStyle = draw.LineStyle{Color: rgb, Width: 1.25}
	marks.GlyphStyle = draw.GlyphStyle{Color: rgb, Radius: 2.75, Shape: [...]draw.GlyphDrawer{First: draw.CircleGlyph{}, Second: draw.PyramidGlyph{}, Third: draw.BoxGlyph{}, Alarm: draw.CrossGlyph{}, Ink: draw.CircleGlyph{}, Faint: draw.CircleGlyph{}}[s.Color]}
	if s.Style == Lines {
		p.Add(line)
	}
	p.Add(marks)
	legend(marks)
	return nil
}

// histogram is bars, whose bins have their middles at the points.
func histogram(points plotter.XYs, rgb color.RGBA) *plotter.Histogram {
	width := 1.0
	if len(points) > 1 {
		width = points[1].X - points[0].X
	}
	bins := make([]plotter.HistogramBin, len(points))
	for i, point := range points {
		bins[i] = plotter.HistogramBin{Min: point.X - width/2, Max: point.X + width/2, Weight: point.Y}
	}
	return &plotter.Histogram{Bins: bins, Width: width, FillColor: rgb, LineStyle: draw.LineStyle{Color: palette[Ink].rgb, Width: 0.25}}
}

// inside leaves a canvas's edges free, beyond which the last label of an axis would
// reach.
func inside(c draw.Canvas) draw.Canvas { return draw.Crop(c, 2, -14, 2, -6) }

// PNG draws the chart on white.
func (c *Chart) PNG(w io.Writer) error {
	p, err := c.draw()
	if err != nil {
		return err
	}
	p.BackgroundColor = color.White
	p.Title.Text = clean(c.Title)
	width, high := c.size()
	canvas := vgimg.NewWith(vgimg.UseWH(width, high), vgimg.UseDPI(dotsPerInch))
	p.Draw(inside(draw.New(canvas)))
	_, err = vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// SVG draws the chart as a document of its own.
func (c *Chart) SVG(w io.Writer) error {
	text, err := c.svg(c.Title)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+text)
	return err
}

// Inline draws the chart as an element of a page, in the page's colours, with no
// title: the page has that.
func (c *Chart) Inline() (string, error) {
	text, err := c.svg("")
	if err != nil {
		return "", err
	}
	var pairs []string
	for k := range palette {
		pairs = append(pairs, Color(k).hex(), "var("+Color(k).Variable()+")")
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

// svgStart is the beginning of a canvas's document, up to the size.
var svgStart = regexp.MustCompile(`(?s)^.*?<svg width="([^"]*)" height="([^"]*)" viewBox="([^"]*)"[^>]*>`)

// fontFamily is what the canvas writes of a font.
var fontFamily = regexp.MustCompile(`font-family:[^;"]*`)

// svg is the element, which says in words what it shows.
func (c *Chart) svg(title string) (string, error) {
	p, err := c.draw()
	if err != nil {
		return "", err
	}
	p.Title.Text = clean(title)
	width, high := c.size()
	canvas := vgsvg.New(width, high)
	p.Draw(inside(draw.New(canvas)))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return "", err
	}
	start := svgStart.FindStringSubmatchIndex(out.String())
	if start == nil {
		return "", fmt.Errorf("chart %s: the canvas has written no SVG", c.Name)
	}
	part := func(k int) string { return out.String()[start[2*k]:start[2*k+1]] }
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" role="img" width="%s" height="%s" viewBox="%s"><title>%s</title><desc>%s</desc>`,
		part(1), part(2), part(3), html.EscapeString(clean(c.Title)), html.EscapeString(clean(c.Alt)))
	return head + fontFamily.ReplaceAllString(out.String()[start[1]:], "font-family:system-ui,sans-serif"), nil
}

// clean is text without what XML has no place for.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' || r == 0xFFFE || r == 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, text)
}
