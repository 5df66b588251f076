// Package faults kills, cuts, fills and damages, and counts what comes of it.
// The operator runs as a process of its own, against real git over real SSH.
// After each fault the manifests branch is audited: every wanted change in it
// exactly once, nobody's commit lost, the history linear and sound, and nothing
// of the operator left behind.
//
// FAULTS=full asks for the full counts, FAULTS_SEED=N for the same random
// moments again, and FAULTS_OUT=FILE for the counts as a Markdown table.
package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var full = os.Getenv("FAULTS") == "full"

// trials is how often a fault is tried, in the short form and in the full one.
func trials(short, long int) int {
	if full {
		return long
	}
	return short
}

// seed makes the random moments; a failed run prints it.
var seed = func() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("FAULTS_SEED"), 10, 64); err == nil {
		return n
	}
	return uint64(time.Now().UnixNano())
}()

func newRandom(t *testing.T) *rand.Rand {
	t.Logf("FAULTS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, uint64(len(t.Name()))))
}

// guard bounds what should happen soon. No verdict depends on it but that of a
// thing that never happens.
const guard = 2 * time.Minute

// programDir is where program is, once somebody has asked for it.
var programDir string

// program is the operator, built once; TestMain removes it.
var program = sync.OnceValues(func() (file string, err error) {
	if programDir, err = os.MkdirTemp("", "gitops-operator-faults-"); err != nil {
		return "", err
	}
	file = filepath.Join(programDir, "gitops-operator")
	args := []string{"build", "-C", "../..", "-o", file}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the operator: %w: %s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if programDir != "" {
			os.RemoveAll(programDir)
		}
		if err := printTable(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}
