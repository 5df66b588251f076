package faults

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

// row is one fault's line in the table.
type row struct {
	order int
	fault string

	mu     sync.Mutex
	counts counts
}

type counts struct {
	trials      int
	hit         int // trials in which the fault met a pass at work
	wanted      int // changes
	once        int // found in the branch exactly once
	lost        int
	doubled     int
	foreign     int // commits of others
	foreignLost int
	unsound     int // audits with a merge, an fsck error, or a file that is not as it should be
	leftovers   int // processes, run folders, keys, sockets, locks, temporary files
}

var (
	tableMu sync.Mutex
	table   []*row
)

// newRow adds a row to the table; order is its place.
func newRow(order int, fault string) *row {
	tableMu.Lock()
	defer tableMu.Unlock()
	r := &row{order: order, fault: fault}
	table = append(table, r)
	return r
}

func (r *row) add(c counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := &r.counts
	sum.trials += c.trials
	sum.hit += c.hit
	sum.wanted += c.wanted
	sum.once += c.once
	sum.lost += c.lost
	sum.doubled += c.doubled
	sum.foreign += c.foreign
	sum.foreignLost += c.foreignLost
	sum.unsound += c.unsound
	sum.leftovers += c.leftovers
}

var heading = []string{"fault", "trials", "hit", "wanted changes", "found once", "lost", "doubled", "others' commits", "of them lost", "unsound", "left behind"}

func (c counts) cells() []string {
	var cells []string
	for _, n := range []int{c.trials, c.hit, c.wanted, c.once, c.lost, c.doubled, c.foreign, c.foreignLost, c.unsound, c.leftovers} {
		cells = append(cells, fmt.Sprint(n))
	}
	return cells
}

// printTable writes the counts to standard output, and to FAULTS_OUT as Markdown.
func printTable() error {
	tableMu.Lock()
	defer tableMu.Unlock()
	if len(table) == 0 {
		return nil
	}
	slices.SortFunc(table, func(a, b *row) int { return a.order - b.order })
	sum := &row{fault: "all"}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(heading, "\t"))
	var markdown strings.Builder
	fmt.Fprintf(&markdown, "| %s |\n|---|%s\n", strings.Join(heading, " | "), strings.Repeat("---:|", len(heading)-1))
	for _, r := range table {
		sum.add(r.counts)
	}
	for _, r := range append(table, sum) {
		cells := append([]string{r.fault}, r.counts.cells()...)
		fmt.Fprintln(w, strings.Join(cells, "\t"))
		fmt.Fprintf(&markdown, "| %s |\n", strings.Join(cells, " | "))
	}
	w.Flush()
	if file := os.Getenv("FAULTS_OUT"); file != "" {
		return os.WriteFile(file, []byte(markdown.String()), 0o644)
	}
	return nil
}
