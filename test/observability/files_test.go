package observability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

const (
	root  = "../.."
	stack = root + "/deploy/observability"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(stack, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// readYAML reads a file into v, and refuses keys that v does not have.
func readYAML(t *testing.T, name string, v any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(read(t, name)))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %s", name, err)
	}
}

// compose loads compose.yaml as docker compose does: by its schema, with the
// variables in it.
func compose(t *testing.T, environment ...string) *types.Project {
	t.Helper()
	dir, err := filepath.Abs(stack)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "compose.yaml")
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: types.NewMapping(environment),
	})
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func service(t *testing.T, p *types.Project, name string) types.ServiceConfig {
	t.Helper()
	s, err := p.GetService(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestComposePublishesThePortsThatAreDocumented(t *testing.T) {
	for address, environment := range map[string][]string{"127.0.0.1": nil, "0.0.0.0": {"ADDRESS=0.0.0.0"}} {
		var got []string
		for name, s := range compose(t, environment...).Services {
			for _, p := range s.Ports {
				got = append(got, fmt.Sprintf("%s %s:%s->%d", name, p.HostIP, p.Published, p.Target))
			}
		}
		slices.Sort(got)
		want := []string{
			"grafana " + address + ":3000->3000", "prometheus " + address + ":9090->9090", "tempo " + address + ":3200->3200",
			"tempo " + address + ":4317->4317", "tempo " + address + ":4318->4318",
		}
		if !slices.Equal(got, want) {
			t.Errorf("ports:\n%s", strings.Join(got, "\n"))
		}
	}
}

// A tag that moves would make it another stack tomorrow.
func TestComposeImagesArePinned(t *testing.T) {
	for name, s := range compose(t).Services {
		if !regexp.MustCompile(`^[a-z]+/[a-z]+:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
			t.Errorf("%s runs %s", name, s.Image)
		}
	}
}

// Docker makes a folder of a file that is not there.
func TestComposeMountsWhatIsThere(t *testing.T) {
	mounts := 0
	for name, s := range compose(t).Services {
		for _, v := range s.Volumes {
			mounts++
			if _, err := os.Stat(v.Source); err != nil || v.Type != "bind" || !v.ReadOnly {
				t.Errorf("%s mounts %+v: %v", name, v, err)
			}
		}
		for _, argument := range s.Command {
			if _, file, ok := strings.Cut(argument, "config.file="); ok && !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == file }) {
				t.Errorf("%s reads %s, which is not mounted", name, file)
			}
		}
	}
	if mounts != 5 {
		t.Errorf("%d mounts", mounts)
	}
	// Prometheus looks for its rules beside its configuration.
	s := service(t, compose(t), "prometheus")
	for _, file := range prometheusConfig(t).RuleFiles {
		if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == path.Join("/etc/prometheus", file) }) {
			t.Errorf("rules %s are not mounted", file)
		}
	}
	if hosts := s.ExtraHosts["host.docker.internal"]; !slices.Equal(hosts, []string{"host-gateway"}) {
		t.Errorf("host.docker.internal is %q", hosts)
	}
}

type prometheusFile struct {
	Global        map[string]string
	RuleFiles     []string `yaml:"rule_files"`
	ScrapeConfigs []struct {
		JobName       string `yaml:"job_name"`
		StaticConfigs []struct {
			Targets []string
		} `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

func prometheusConfig(t *testing.T) (p prometheusFile) {
	t.Helper()
	readYAML(t, "prometheus.yml", &p)
	return p
}

func TestPrometheusScrapesTheOperatorOfThisMachine(t *testing.T) {
	p := prometheusConfig(t)
	if len(p.ScrapeConfigs) != 1 || p.ScrapeConfigs[0].JobName != "gitops-operator" || len(p.ScrapeConfigs[0].StaticConfigs) != 1 ||
		!slices.Equal(p.ScrapeConfigs[0].StaticConfigs[0].Targets, []string{"host.docker.internal:8000"}) {
		t.Errorf("scrapes %+v", p.ScrapeConfigs)
	}
}

func TestTempoListensWhereTracesAreSent(t *testing.T) {
	var tempo struct {
		Server struct {
			Port int `yaml:"http_listen_port"`
		}
		Distributor struct {
			Receivers struct {
				OTLP struct {
					Protocols map[string]struct{ Endpoint string }
				} `yaml:"otlp"`
			}
		}
		Storage struct {
			Trace struct {
				Backend    string
				WAL, Local struct{ Path string }
			}
		}
		Compactor struct {
			Compaction struct {
				Retention string `yaml:"block_retention"`
			}
		}
		UsageReport struct {
			Enabled bool `yaml:"reporting_enabled"`
		} `yaml:"usage_report"`
	}
	readYAML(t, "tempo.yaml", &tempo)
	protocols := tempo.Distributor.Receivers.OTLP.Protocols
	if protocols["grpc"].Endpoint != "0.0.0.0:4317" || protocols["http"].Endpoint != "0.0.0.0:4318" || len(protocols) != 2 || tempo.Server.Port != 3200 {
		t.Errorf("listens at %v and %d", protocols, tempo.Server.Port)
	}
	// The image's user may write nowhere else.
	for _, dir := range []string{tempo.Storage.Trace.WAL.Path, tempo.Storage.Trace.Local.Path} {
		if !strings.HasPrefix(dir, "/tmp/") {
			t.Errorf("writes to %s", dir)
		}
	}
}

type dataSource struct {
	Name, UID, Type, URL string
	IsDefault            bool           `yaml:"isDefault"`
	JSONData             map[string]any `yaml:"jsonData"`
}

func dataSources(t *testing.T) map[string]dataSource {
	t.Helper()
	var file struct {
		APIVersion  int `yaml:"apiVersion"`
		DataSources []dataSource
	}
	readYAML(t, "grafana/provisioning/datasources/datasources.yaml", &file)
	sources := map[string]dataSource{}
	for _, s := range file.DataSources {
		sources[s.UID] = s
	}
	return sources
}

func TestGrafanaFindsItsSourcesAndItsBoard(t *testing.T) {
	project, sources := compose(t), dataSources(t)
	for uid, port := range map[string]uint32{"prometheus": 9090, "tempo": 3200} {
		s := sources[uid]
		if s.URL != fmt.Sprintf("http://%s:%d", uid, port) || s.Type != uid {
			t.Errorf("%s: %+v", uid, s)
		}
		if !slices.ContainsFunc(service(t, project, uid).Ports, func(p types.ServicePortConfig) bool { return p.Target == port }) {
			t.Errorf("%s does not listen at %d", uid, port)
		}
	}
	if len(sources) != 2 || !sources["prometheus"].IsDefault {
		t.Errorf("%+v", sources)
	}
	var providers struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	readYAML(t, "grafana/provisioning/dashboards/dashboards.yaml", &providers)
	grafana := service(t, project, "grafana")
	if len(providers.Providers) != 1 || !slices.ContainsFunc(grafana.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == providers.Providers[0].Options.Path }) {
		t.Errorf("the folder of %+v is not mounted", providers)
	}
	home := grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if home == nil || *home != path.Join(providers.Providers[0].Options.Path, boardFile) {
		t.Errorf("home is %v", home)
	}
}

const boardFile = "gitops-operator.json"

// board is what the tests need of a dashboard.
type board struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Annotations   struct {
		List []struct {
			Name, Expr string
			DataSource source
		}
	}
}

type source struct{ Type, UID string }

type panel struct {
	ID          int
	Type, Title string
	Description string
	DataSource  *source
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct {
		RefID      string
		DataSource source
		Expr       string
		QueryType  string
		Query      string
	}
}

func readBoard(t *testing.T) (b board) {
	t.Helper()
	if err := json.Unmarshal(read(t, "grafana/dashboards/"+boardFile), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBoardAnswersFourQuestions(t *testing.T) {
	b := readBoard(t)
	questions := map[string]int{}
	var order []string
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	bottom := 0
	for _, p := range b.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("%s: id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" || at[0] > 23 {
					t.Errorf("%s lies over %s, or outside", p.Title, taken[at])
				}
				taken[at] = p.Title
				bottom = max(bottom, at[1])
			}
		}
		if p.Type == "row" {
			order = append(order, p.Title)
			continue
		}
		questions[order[len(order)-1]]++
		if len(p.Targets) == 0 || p.DataSource == nil {
			t.Errorf("%s asks nobody", p.Title)
		}
	}
	if want := []string{"What changed lately?", "What fails, and why?", "How far behind are we?", "What does git cost?"}; !slices.Equal(order, want) {
		t.Errorf("rows %q", order)
	}
	for row, n := range questions {
		if n < 4 {
			t.Errorf("%s: %d panels", row, n)
		}
	}
	for x := range 24 {
		for y := range bottom {
			if taken[[2]int{x, y}] == "" {
				t.Fatalf("a gap at column %d, line %d", x, y)
			}
		}
	}
}

func TestBoardAsksSourcesThatAreThere(t *testing.T) {
	sources, b := dataSources(t), readBoard(t)
	known := func(what string, s source) {
		if found, ok := sources[s.UID]; !ok || found.Type != s.Type {
			t.Errorf("%s asks %+v", what, s)
		}
	}
	for _, p := range b.Panels {
		refs := map[string]bool{}
		if p.DataSource != nil {
			known(p.Title, *p.DataSource)
		}
		for _, q := range p.Targets {
			known(p.Title, q.DataSource)
			if refs[q.RefID] {
				t.Errorf("%s: %s twice", p.Title, q.RefID)
			}
			refs[q.RefID] = true
			if (q.DataSource.UID == "prometheus") != (q.Expr != "") || (q.DataSource.UID == "tempo") != (q.QueryType == "traceql" && q.Query != "") {
				t.Errorf("%s: not a query of %s: %+v", p.Title, q.DataSource.UID, q)
			}
		}
	}
	for _, a := range b.Annotations.List {
		known(a.Name, a.DataSource)
	}
}

var metricName = regexp.MustCompile(`gitops_operator_[a-z_]+`)

func TestBoardShowsDocumentedMetrics(t *testing.T) {
	docs, err := os.ReadFile(root + "/docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, q := range queries(t) {
		for _, name := range metricName.FindAllString(q.expr, -1) {
			name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			shown[name] = true
			if !bytes.Contains(docs, []byte("| `"+name+"` |")) {
				t.Errorf("%s: %s is not in docs/metrics.md", q.where, name)
			}
		}
	}
	if len(shown) < 20 {
		t.Errorf("only %d metrics are shown", len(shown))
	}
}

// query is one that the board, or a link from a trace, asks Prometheus.
type query struct{ where, expr string }

func queries(t *testing.T) (list []query) {
	t.Helper()
	b := readBoard(t)
	for _, p := range b.Panels {
		for _, q := range p.Targets {
			if q.Expr != "" {
				list = append(list, query{p.Title, q.Expr})
			}
		}
	}
	for _, a := range b.Annotations.List {
		list = append(list, query{a.Name, a.Expr})
	}
	links, ok := dataSources(t)["tempo"].JSONData["tracesToMetrics"].(map[string]any)
	if !ok {
		t.Fatal("no way from traces to metrics")
	}
	for _, q := range links["queries"].([]any) {
		q := q.(map[string]any)
		list = append(list, query{q["name"].(string), q["query"].(string)})
	}
	return list
}
