package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func bunyanLines(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	log, err := NewLogger(&b, "debug", "bunyan")
	if err != nil {
		t.Fatal(err)
	}
	log = log.Named("reconcile")
	log.Debug("a")
	log.Info("b\nsecond line", zap.String("deployment", "blog"), zap.Duration("duration", 1500*time.Millisecond))
	log.Warn("c")
	log.Error("d", zap.Error(errors.New("it failed")))
	return b.String()
}

func TestBunyanLinesHaveWhatTheCommandAsksFor(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	levels := []float64{20, 30, 40, 50}
	lines := strings.Split(strings.TrimSpace(bunyanLines(t)), "\n")
	if len(lines) != len(levels) {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if got["v"] != 0.0 || got["name"] != "gitops-operator" || got["hostname"] != hostname || got["pid"] != float64(os.Getpid()) || got["level"] != levels[i] || got["target"] != "reconcile" {
			t.Errorf("%s", line)
		}
		if at, err := time.Parse(time.RFC3339, got["time"].(string)); err != nil || time.Since(at) > time.Minute {
			t.Errorf("time %v: %v", got["time"], err)
		}
		if _, is := got["msg"].(string); !is {
			t.Errorf("no msg: %s", line)
		}
	}
}

// The command itself reads the lines, where it is installed.
func TestTheBunyanCommandReadsTheLines(t *testing.T) {
	bunyan, err := exec.LookPath("bunyan")
	if err != nil {
		if os.Getenv("TEST_REQUIRE_BUNYAN") != "" {
			t.Fatal(err)
		}
		t.Skip("no bunyan here")
	}
	cmd := exec.Command(bunyan, "--no-color", "--strict")
	cmd.Stdin = strings.NewReader(bunyanLines(t))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"DEBUG: gitops-operator/", " INFO: gitops-operator/", " WARN: gitops-operator/", "ERROR: gitops-operator/", "deployment=blog"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
