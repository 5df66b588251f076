package main

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// chart is a line chart, drawn as SVG for light and dark pages. It is drawn
// here, since plotting libraries bring fonts and rasterizers, and no dark mode.
type chart struct {
	title, xTitle, yTitle string
	logX, logY            bool
	height                int // of the picture; 0: 420
	lines                 []line
}

type line struct {
	name   string
	color  int // of the palette
	dashed bool
	dots   bool // only the points
	points []point
}

type point struct{ x, y float64 }

const (
	chartWidth              = 760
	left, right, top, below = 72, 32, 44, 52
	legendLine              = 20
)

// The colours can be told apart by those who do not see red and green, and
// stand out on both backgrounds.
const style = `<style>
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: 600; }
.back { fill: #ffffff; }
.grid { stroke: #d0d7de; stroke-width: 1; }
.axis { stroke: #57606a; stroke-width: 1; }
.line { fill: none; stroke-width: 2.2; stroke-linecap: round; }
.c0 { stroke: #0969da; fill: #0969da; } .c1 { stroke: #bc5a00; fill: #bc5a00; } .c2 { stroke: #8250df; fill: #8250df; }
.line.c0, .line.c1, .line.c2 { fill: none; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.back { fill: #0d1117; }
.grid { stroke: #30363d; }
.axis { stroke: #8b949e; }
.c0 { stroke: #58a6ff; fill: #58a6ff; } .c1 { stroke: #f0a04b; fill: #f0a04b; } .c2 { stroke: #bc8cff; fill: #bc8cff; }
}
</style>
`

// axis maps values to pixels.
type axis struct {
	log      bool
	min, max float64 // of the values; of their logarithms if log
	from, to float64 // pixels
}

func (a axis) at(v float64) float64 {
	if a.log {
		v = math.Log10(v)
	}
	return a.from + (v-a.min)/(a.max-a.min)*(a.to-a.from)
}

// newAxis spans the values, rounded to whole steps.
func newAxis(values []float64, log bool, from, to float64) axis {
	a := axis{log: log, min: math.Inf(1), max: math.Inf(-1), from: from, to: to}
	for _, v := range values {
		if log {
			v = math.Log10(v)
		}
		a.min, a.max = min(a.min, v), max(a.max, v)
	}
	if log {
		a.min, a.max = math.Floor(a.min+1e-9), math.Ceil(a.max-1e-9)
	} else {
		a.min = min(0, a.min)
		step := a.step()
		a.max = math.Ceil(a.max/step-1e-9) * step
	}
	if a.max <= a.min {
		a.max = a.min + 1
	}
	return a
}

// step is the distance of the ticks: 1, 2 or 5 times a power of ten.
func (a axis) step() float64 {
	rough := max(a.max-a.min, 1e-9) / 5
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, f := range []float64{1, 2, 5} {
		if rough <= f*power {
			return f * power
		}
	}
	return 10 * power
}

func (a axis) ticks() []float64 {
	var ticks []float64
	if a.log {
		for e := a.min; e <= a.max+1e-9; e++ {
			ticks = append(ticks, math.Pow(10, e))
		}
		return ticks
	}
	for i := 0; a.min+float64(i)*a.step() <= a.max*(1+1e-9); i++ {
		ticks = append(ticks, a.min+float64(i)*a.step())
	}
	return ticks
}

// label prints a tick without the rounding errors of powers.
func label(v float64) string {
	v, _ = strconv.ParseFloat(fmt.Sprintf("%.6g", v), 64)
	if v >= 1000 {
		return thousands(int(v))
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// svg draws the chart as a file of its own.
func (c *chart) svg() string { return picture(c) }

// picture draws charts below each other.
func picture(charts ...*chart) string {
	height := 0
	for _, c := range charts {
		height += c.total()
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", chartWidth, height, chartWidth, height)
	var titles []string
	for _, c := range charts {
		titles = append(titles, c.title)
	}
	fmt.Fprintf(&b, "<title>%s</title>\n%s<rect class=\"back\" width=\"100%%\" height=\"100%%\"/>\n", html.EscapeString(strings.Join(titles, "; ")), style)
	y := 0
	for _, c := range charts {
		fmt.Fprintf(&b, "<g transform=\"translate(0 %d)\">\n", y)
		c.draw(&b)
		b.WriteString("</g>\n")
		y += c.total()
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// legendRows is how many lines the legend takes, with three names on each.
func (c *chart) legendRows() int {
	if len(c.lines) < 2 {
		return 0
	}
	return (len(c.lines) + 2) / 3
}

func (c *chart) total() int {
	height := c.height
	if height == 0 {
		height = 420
	}
	return height + c.legendRows()*legendLine
}

func (c *chart) draw(b *strings.Builder) {
	var xs, ys []float64
	for _, l := range c.lines {
		for _, p := range l.points {
			xs, ys = append(xs, p.x), append(ys, p.y)
		}
	}
	plotTop := float64(top + c.legendRows()*legendLine)
	plotBottom := float64(c.total() - below)
	x := newAxis(xs, c.logX, left, chartWidth-right)
	y := newAxis(ys, c.logY, plotBottom, plotTop)
	text := func(px, py float64, class, anchor, s string) {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`+"\n", px, py, class, anchor, html.EscapeString(s))
	}
	text(left, 22, "title", "start", c.title)
	for i, l := range c.lines {
		if c.legendRows() == 0 {
			break
		}
		px, py := float64(left+i%3*225), float64(44+i/3*legendLine)
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="line c%d"%s/>`+"\n", px, px+26, py-4, py-4, l.color, dash(l))
		text(px+32, py, "legend", "start", l.name)
	}
	for _, v := range x.ticks() {
		px := x.at(v)
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="grid"/>`+"\n", px, px, plotTop, plotBottom)
		text(px, plotBottom+18, "tick", "middle", label(v))
	}
	for _, v := range y.ticks() {
		py := y.at(v)
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="grid"/>`+"\n", left, chartWidth-right, py, py)
		text(left-8, py+4, "tick", "end", label(v))
	}
	fmt.Fprintf(b, `<path d="M%d %.1fV%.1fH%d" class="axis" fill="none"/>`+"\n", left, plotTop, plotBottom, chartWidth-right)
	text(float64(left+chartWidth-right)/2, plotBottom+40, "name", "middle", c.xTitle)
	mid := (plotTop + plotBottom) / 2
	fmt.Fprintf(b, `<text x="16" y="%.1f" text-anchor="middle" transform="rotate(-90 16 %.1f)">%s</text>`+"\n", mid, mid, html.EscapeString(c.yTitle))
	for _, l := range c.lines {
		l.draw(b, x, y)
	}
}

func dash(l line) string {
	if l.dashed {
		return ` stroke-dasharray="6 5"`
	}
	return ""
}

func (l line) draw(b *strings.Builder, x, y axis) {
	if !l.dots {
		b.WriteString(`<polyline points="`)
		for _, p := range l.points {
			fmt.Fprintf(b, "%.1f,%.1f ", x.at(p.x), y.at(p.y))
		}
		fmt.Fprintf(b, `" class="line c%d"%s/>`+"\n", l.color, dash(l))
	}
	switch {
	case l.dots: // lines of no length, with round ends
		fmt.Fprintf(b, `<path class="line dots c%d" d="`, l.color)
		for _, p := range l.points {
			fmt.Fprintf(b, "M%.1f %.1fh0", x.at(p.x), y.at(p.y))
		}
		b.WriteString("\"/>\n")
	case len(l.points) <= 20:
		for _, p := range l.points {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.2" class="c%d"/>`+"\n", x.at(p.x), y.at(p.y), l.color)
		}
	}
}
