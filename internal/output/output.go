// Package output writes results and tables the way that the HTTP API and the
// command line have in common. It writes to the writer that it is given, and
// touches nothing else.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/kainlite/gitops-operator/internal/text"
	"github.com/kainlite/gitops-operator/reconcile"
	"github.com/kainlite/gitops-operator/telemetry"
)

// Results writes results as a JSON array, one result a line, for people who look
// at it with curl.
func Results(w io.Writer, results []reconcile.Result) error {
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

// ResultTable writes results as a text table.
func ResultTable(w io.Writer, results []reconcile.Result) error {
	rows := [][]string{{"NAMESPACE", "DEPLOYMENT", "ACTION", "MESSAGE"}}
	for _, r := range results {
		rows = append(rows, []string{r.Namespace, r.Deployment, r.Action, r.Message})
	}
	return Table(w, []int{12, 24, 10}, rows)
}

// Table writes rows in columns that are at least as wide as given, and wider
// where a value needs it; the last column is free.
func Table(w io.Writer, widths []int, rows [][]string) error {
	for _, row := range rows {
		for i := range widths {
			row[i] = text.Printable(row[i])
			widths[i] = max(widths[i], len([]rune(row[i])))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				b.WriteString(text.Printable(cell))
				break
			}
			fmt.Fprintf(&b, "%-*s ", widths[i], cell)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
