package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cloneKey tells measurements of the clone method apart.
type cloneKey struct {
	size    string
	latency time.Duration
}

// report is everything that was measured.
type report struct {
	machine  machine
	command  string
	took     time.Duration
	rows     []row
	memory   []steady
	clones   map[cloneKey]cloneCosts
	clonesOn int // Deployments that the clone method was measured on
	slow     *slowRemotes
	life     *longLife
}

func newReport() *report { return &report{clones: map[cloneKey]cloneCosts{}} }

// The generated part of performance.md; what stands around it is written by
// hand.
const (
	beginMark = "<!-- make bench: begin -->\n"
	endMark   = "<!-- make bench: end -->\n"
)

// publish prints the report, and writes it with its pictures to a folder.
func (rep *report) publish(stdout io.Writer, out string) error {
	text := rep.markdown()
	if _, err := io.WriteString(stdout, text); err != nil || out == "" {
		return err
	}
	page := filepath.Join(out, "performance.md")
	raw, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(raw), beginMark)
	_, after, closed := strings.Cut(rest, endMark)
	if !ok || !closed {
		return fmt.Errorf("%s: the marks of the generated part are missing", page)
	}
	files := map[string]string{"performance.md": before + beginMark + "\n" + text + "\n" + endMark + after}
	if c := rep.scaling(); c != nil {
		files["performance-scaling.svg"] = c.svg()
	}
	if rep.life != nil {
		files["performance-long-life.svg"] = rep.life.svg()
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(out, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (rep *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s, took %s on this machine:\n\n%s\n", rep.command, rep.machine.date, rep.took.Round(time.Second), rep.machine)
	if len(rep.rows) > 0 {
		rep.targets(&b)
		rep.table(&b, "Warm: mirror and connection are in place", false)
		rep.table(&b, "Cold: the first pass ever of a new process, with an empty cache folder", true)
		if rep.scaling() != nil {
			b.WriteString("![Time of a warm pass against the number of Deployments, in the large repository](performance-scaling.svg)\n\n")
		}
		rep.costs(&b)
	}
	if rep.slow != nil {
		rep.slow.markdown(&b)
	}
	if rep.life != nil {
		rep.life.markdown(&b)
	}
	return b.String()
}

// kinds say what the table calls the changes.
var kinds = map[string]string{noop: "nothing", oneChange: "one", allChange: "all"}

func (rep *report) table(b *strings.Builder, title string, cold bool) {
	if !slices.ContainsFunc(rep.rows, func(r row) bool { return r.cold == cold }) {
		return
	}
	fmt.Fprintf(b, "### %s\n\n", title)
	fmt.Fprintf(b, "| Deployments | files | changed | latency | runs | operator: median (range) | floor: median (range) | ratio | clone per Deployment, measured on %d and scaled | sessions, pushes |\n", rep.clonesOn)
	fmt.Fprintf(b, "|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, r := range rep.rows {
		if r.cold != cold {
			continue
		}
		how := ""
		if cold {
			how = ", " + r.floorKind
		}
		fmt.Fprintf(b, "| %s | %s | %s | %d ms | %d | %s | %s%s | %.2f | %s | %d, %d |\n", thousands(r.n), thousands(r.size.files), kinds[r.kind],
			r.latency.Milliseconds(), len(r.operator), spread(r.operator), spread(r.floor), how, r.ratio(), rep.cloneCell(r), r.sessions, r.pushes)
	}
	b.WriteString("\n")
}

// cloneCell is what the clone method would take, and how many times that is
// what the operator takes.
func (rep *report) cloneCell(r row) string {
	costs, ok := rep.clones[cloneKey{r.size.name, r.latency}]
	if !ok {
		return "–"
	}
	t := costs.scaled(r.n, r.cache(), r.kind)
	return fmt.Sprintf("%s, × %.0f", show(t), float64(t)/float64(median(r.operator)))
}

// costs are processor time and memory.
func (rep *report) costs(b *strings.Builder) {
	if slices.ContainsFunc(rep.rows, func(r row) bool { return r.latency == 0 }) {
		b.WriteString("### Processor time\n\nUser and system, of one pass (mean), without added latency:\n\n")
		b.WriteString("| Deployments | files | changed | cache | operator itself | its git and ssh | floor's git and ssh |\n|---:|---:|---|---|---:|---:|---:|\n")
	}
	for _, r := range rep.rows {
		if r.latency == 0 {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", thousands(r.n), thousands(r.size.files), kinds[r.kind], r.cache(), show(r.cpu.self), show(r.cpu.children), show(r.floorCPU))
		}
	}
	if len(rep.memory) > 0 {
		b.WriteString("\n### Memory\n\nThe operator's process (children not counted) 4 s after the last of its warm cases, and its peak since it started:\n\n")
		b.WriteString("| Deployments | files | resident | peak |\n|---:|---:|---:|---:|\n")
	}
	for _, m := range rep.memory {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", thousands(m.n), thousands(m.size.files), mib(m.rss), mib(m.peak))
	}
	b.WriteString("\n")
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// scaling draws passes of a warm operator in the large repository.
func (rep *report) scaling() *chart {
	c := &chart{title: "A pass in which all Deployments change, and one in which none does", xTitle: "Deployments", yTitle: "seconds", logX: true, logY: true}
	for _, kind := range []string{allChange, noop} {
		var operator, floor, clones line
		for _, r := range rep.rows {
			// With one Deployment, one change is all.
			if r.size.name != large.name || r.cold || r.latency != 0 || !(r.kind == kind || r.n == 1 && r.kind == oneChange && kind == allChange) {
				continue
			}
			x := float64(r.n)
			operator.points = append(operator.points, point{x, median(r.operator).Seconds()})
			floor.points = append(floor.points, point{x, median(r.floor).Seconds()})
			if costs, ok := rep.clones[cloneKey{r.size.name, r.latency}]; ok {
				clones.points = append(clones.points, point{x, costs.scaled(r.n, r.cache(), r.kind).Seconds()})
			}
		}
		if len(operator.points) < 2 {
			return nil
		}
		operator.name, floor.name, clones.name = "operator, "+kinds[kind], "floor, "+kinds[kind], "clones (scaled), "+kinds[kind]
		operator.color, floor.color, clones.color = 0, 1, 2
		operator.dashed, floor.dashed, clones.dashed = kind == noop, kind == noop, kind == noop
		c.lines = append(c.lines, clones, operator, floor)
	}
	return c
}
