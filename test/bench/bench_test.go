package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The bench starts itself as the git server.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == serverCommand {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// TestBench proves that the bench works, from the set-up to the page: it fails
// when a contestant's result is not what it has to be. It judges no time.
func TestBench(t *testing.T) {
	program := filepath.Join(t.TempDir(), "gitops-operator")
	build := exec.Command("go", "build", "-o", program, "../..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out := t.TempDir()
	page := filepath.Join(out, "performance.md")
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"figures of yesterday\n"+endMark+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, progress bytes.Buffer
	err := bench(t.Context(), []string{"--operator", program, "--quick", "--runs", "1", "--clones", "1", "--long-life", "3",
		"--case", "^small/10/(noop|all)/|^small/1/one/", "--out", out, "--command", "go test"}, &stdout, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, want := range []string{"before\n", "after\n", stdout.String(), "`go test`",
		"| 1 | 50 | one | 0 ms | 1 |", "| 10 | 50 | all | 0 ms | 1 |", "| open files |", "9 manifests repositories"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "yesterday") {
		t.Errorf("the old figures are still there:\n%s", text)
	}
	picture, err := os.ReadFile(filepath.Join(out, "performance-long-life.svg"))
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, string(picture))
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
}

// TestVerify breaks results in every way that verify is to find.
func TestVerify(t *testing.T) {
	st, err := newStage(t.Context(), t.TempDir(), small)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	s := st.newScene(small, 10)
	repo := s.repo(floorRepo)
	commit := func(files map[string]string) {
		t.Helper()
		if _, err := repo.Commit(branch, "Change", files); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		kind   string
		result func(d int)
		want   string // in the error; empty: none
	}{
		"nothing":        {noop, func(int) {}, ""},
		"one":            {oneChange, func(d int) { commit(map[string]string{manifestPath(d): manifest(d, s.want(d))}) }, ""},
		"not done":       {oneChange, func(int) {}, "0 commits"},
		"done too much":  {noop, func(int) { commit(map[string]string{"x": "y"}) }, "1 commits"},
		"wrong tag":      {oneChange, func(d int) { commit(map[string]string{manifestPath(d): manifest(d, "latest")}) }, "not what it has to be"},
		"wrong file":     {oneChange, func(int) { commit(map[string]string{"x": "y"}) }, "files changed"},
		"more than file": {oneChange, func(d int) { commit(map[string]string{manifestPath(d): manifest(d, s.want(d)), "x": "y"}) }, "files changed"},
		"one for all": {allChange, func(int) {
			files := map[string]string{}
			for _, d := range s.deployments {
				files[manifestPath(d)] = manifest(d, s.want(d))
			}
			commit(files)
		}, "1 commits"},
		"history thrown away": {oneChange, func(d int) {
			if _, err := repo.Git("update-ref", "refs/heads/"+branch, branch+"~1"); err != nil {
				t.Fatal(err)
			}
			commit(map[string]string{manifestPath(d): manifest(d, s.want(d))})
		}, "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.reset(t.Context(), floorRepo); err != nil {
				t.Fatal(err)
			}
			before, err := repo.Head(branch)
			if err != nil {
				t.Fatal(err)
			}
			changed, err := s.change(test.kind)
			if err != nil {
				t.Fatal(err)
			}
			test.result(s.deployments[0])
			err = s.verify(t.Context(), floorRepo, before, changed)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestStatistics(t *testing.T) {
	s := time.Second
	equal(t, median([]time.Duration{3 * s, s, 2 * s}), 2*s)
	equal(t, median([]time.Duration{4 * s, s, 2 * s, 3 * s}), 5*s/2)
	equal(t, quantile([]float64{1, 2, 3, 4, 5}, 1), 5)
	equal(t, quantile([]float64{1, 2, 3, 4, 5}, 0.25), 2)
	equal(t, median(ratios([]time.Duration{4 * s, 9 * s, s}, []time.Duration{2 * s, 3 * s, s})), 2)
	costs := cloneCosts{{"warm", noop}: s, {"warm", oneChange}: 3 * s}
	equal(t, costs.scaled(10, "warm", noop), 10*s)
	equal(t, costs.scaled(10, "warm", oneChange), 12*s)
	equal(t, costs.scaled(10, "warm", allChange), 30*s)
}

func TestVerdict(t *testing.T) {
	equal(t, goal{limit: 2, value: 2, measured: true}.verdict(), "met")
	equal(t, goal{limit: 2, value: 3, measured: true}.verdict(), "**missed by 50 %**")
	equal(t, goal{limit: 200, value: 150, atLeast: true, measured: true}.verdict(), "**missed by 25 %**")
	equal(t, goal{limit: 200, value: 250, atLeast: true, measured: true}.verdict(), "met")
	equal(t, goal{limit: 2}.verdict(), "not measured")
}

func TestChart(t *testing.T) {
	c := &chart{title: "a < b", xTitle: "x", yTitle: "y", logX: true, logY: true, lines: []line{
		{name: "one", points: []point{{1, 0.02}, {10, 0.5}, {10_000, 30}}},
		{name: "two", color: 1, dashed: true, points: []point{{1, 1}, {10_000, 9000}}},
	}}
	svg := c.svg()
	wellFormed(t, svg)
	for _, want := range []string{">0.01<", ">10,000<", ">one<", "a &lt; b"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
	a := newAxis([]float64{3, 47}, false, 0, 100)
	equal(t, a.min, 0)
	equal(t, a.max, 50)
	equal(t, a.at(25), 50)
	equal(t, len(a.ticks()), 6)
}

func equal[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
