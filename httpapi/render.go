package httpapi

import (
	"bufio"
	"fmt"
	"net/http"

	"github.com/kainlite/gitops-operator/internal/output"
	"github.com/kainlite/gitops-operator/internal/text"
	"github.com/kainlite/gitops-operator/mask"
	"github.com/kainlite/gitops-operator/operator"
	"github.com/kainlite/gitops-operator/reconcile"
)

// status answers with a text table of the tracked Deployments, followed by
// those that cannot be tracked; to browsers, with the page.
func (a *API) status(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Vary", "Accept")
	if wantsHTML(req) {
		a.page(w, req)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !a.operator.Ready() {
		fmt.Fprintf(w, "gitops-operator status\n%s\n", text.Printable(a.operator.Starting()))
		return
	}
	snapshot := a.operator.List(req.Context())
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
		rows = append(rows, []string{t.Namespace, t.Name, enabled, mask.Value(t.Spec.Branches()), mask.Value(image)})
	}
	below := operator.Remarks(snapshot)
	for _, t := range snapshot.Targets {
		if where := reconcile.Where(a.operator.History().Places(t.Key())); where != "" {
			below = append(below, mask.Text("tag in: "+t.Key()+": "+where))
		}
	}
	if fault := a.operator.Stale(); fault != "" {
		below = append([]string{"stale: the newest state could not be read: " + fault}, below...)
	}
	b := bufio.NewWriter(w)
	defer b.Flush()
	fmt.Fprintf(b, "gitops-operator status\ntracked deployments: %d\n\n", len(snapshot.Targets))
	output.Table(b, []int{12, 24, 8, 8}, rows)
	if len(below) > 0 {
		fmt.Fprintln(b)
	}
	for _, line := range below {
		fmt.Fprintln(b, text.Printable(line))
	}
}
