package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	"github.com/kainlite/gitops-operator/mask"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

// WriteResults writes results as a JSON array, one a line.
func WriteResults(w io.Writer, results []reconcile.Result) error {
	var b bytes.Buffer
	b.WriteByte('[')
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, r := range results {
		if i > 0 {
			b.Truncate(b.Len() - 1) // the encoder's newline
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	b.WriteString("]\n")
	_, err := b.WriteTo(telemetry.Plain(w))
	return err
}

// WriteTable writes results as a text table.
func WriteTable(w io.Writer, results []reconcile.Result) error {
	rows := [][]string{{"NAMESPACE", "DEPLOYMENT", "ACTION", "MESSAGE"}}
	for _, r := range results {
		rows = append(rows, []string{r.Namespace, r.Deployment, r.Action, r.Message})
	}
	return table(w, []int{12, 24, 10}, rows)
}

// status answers with a text table of the tracked Deployments, followed by
// those that cannot be tracked; to browsers, with the page.
func (a *API) status(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Vary", "Accept")
	if wantsHTML(req) {
		a.page(w, req)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !a.source.Ready() {
		fmt.Fprintf(w, "gitops-operator status\n%s\n", printable(a.starting()))
		return
	}
	snapshot := a.List(req.Context())
	rows := [][]string{{"NAMESPACE", "DEPLOYMENT", "ENABLED", "BRANCH", "IMAGE"}}
	for _, t := range snapshot.Targets {
		enabled := fmt.Sprint(t.Spec.Enabled)
		if t.Invalid() != nil {
			enabled = "invalid"
		}
		image := "-"
		if t.Container != "" {
			image = t.Container + ":" + t.Version
		}
		rows = append(rows, []string{t.Namespace, t.Name, enabled, mask.Value(t.Spec.ObserveBranch), mask.Value(image)})
	}
	below := remarks(snapshot)
	if fault := a.notes.stale(); fault != "" {
		below = append([]string{"stale: the newest state could not be read: " + fault}, below...)
	}
	b := bufio.NewWriter(w)
	defer b.Flush()
	fmt.Fprintf(b, "gitops-operator status\ntracked deployments: %d\n\n", len(snapshot.Targets))
	table(b, []int{12, 24, 8, 8}, rows)
	if len(below) > 0 {
		fmt.Fprintln(b)
	}
	for _, line := range below {
		fmt.Fprintln(b, printable(line))
	}
}

// table writes rows in columns that are at least as wide as given, and wider
// where a value needs it; the last column is free.
func table(w io.Writer, widths []int, rows [][]string) error {
	for _, row := range rows {
		for i := range widths {
			row[i] = printable(row[i])
			widths[i] = max(widths[i], len([]rune(row[i])))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				b.WriteString(printable(cell))
				break
			}
			fmt.Fprintf(&b, "%-*s ", widths[i], cell)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable keeps terminal escapes and line breaks out of what people look at.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
