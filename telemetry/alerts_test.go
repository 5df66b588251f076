package telemetry

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const observability = "../deploy/observability/"

type rule struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) (rules []rule) {
	t.Helper()
	text, err := os.ReadFile(observability + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.UnmarshalStrict(text, &file); err != nil && !strings.Contains(err.Error(), "unknown field") {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	if len(rules) == 0 {
		t.Fatal("no rules")
	}
	return rules
}

// A rule over a metric that is not there never fires.
func TestAlertsAskForMetricsThatAreThere(t *testing.T) {
	page := scrape(busy(false))
	for _, r := range alerts(t) {
		for _, name := range regexp.MustCompile(prefix+`[a-z_]+`).FindAllString(r.Expr, -1) {
			if !regexp.MustCompile(`(?m)^` + name + `[ {]`).MatchString(page) {
				t.Errorf("%s asks for %s, which is not there", r.Alert, name)
			}
		}
		for _, name := range regexp.MustCompile(`outcome=~?"[a-z_|]+"`).FindAllString(r.Expr, -1) {
			_, values, _ := strings.Cut(strings.Trim(name, `"`), `"`)
			docs, err := os.ReadFile("../docs/metrics.md")
			if err != nil {
				t.Fatal(err)
			}
			for v := range strings.SplitSeq(values, "|") {
				if !regexp.MustCompile(`\b` + v + `\b`).Match(docs) {
					t.Errorf("%s asks for the outcome %s, which docs/metrics.md does not have", r.Alert, v)
				}
			}
		}
	}
}

// Who is woken by an alert must find out what to do.
func TestAlertsExplainThemselves(t *testing.T) {
	tests, err := os.ReadFile(observability + "alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range alerts(t) {
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s has no summary, description or severity", r.Alert)
		}
		if want := "docs/operations.md#" + strings.ToLower(r.Alert); !strings.HasSuffix(r.Annotations["runbook_url"], want) {
			t.Errorf("%s: its runbook is %s, want one in %s", r.Alert, r.Annotations["runbook_url"], want)
		}
		if !strings.Contains(string(tests), "alertname: "+r.Alert+"\n        exp_alerts:\n          - ") || !strings.Contains(string(tests), "alertname: "+r.Alert+"\n        exp_alerts: []") {
			t.Errorf("alerts_test.yaml does not show %s both firing and quiet", r.Alert)
		}
	}
}

func TestAlertRules(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		run := exec.Command(promtool(t), args...)
		run.Dir = observability
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// promtool comes with Debian's package prometheus.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("TEST_REQUIRE_PROMTOOL") != "" {
			t.Fatal(err)
		}
		t.Skip("no promtool: install the package prometheus")
	}
	return path
}
