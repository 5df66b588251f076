package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine is what the figures hold for.
type machine struct{ date, cpu, kernel, git, ssh string }

func thisMachine() machine {
	first := func(program string, args ...string) string {
		out, _ := exec.Command(program, args...).CombinedOutput()
		line, _, _ := strings.Cut(string(out), "\n")
		return strings.TrimSpace(line)
	}
	m := machine{
		date: time.Now().Format(time.DateOnly), cpu: "unknown processor",
		kernel: first("uname", "-sr"), git: first("git", "--version"), ssh: first("ssh", "-V"),
	}
	raw, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.cpu = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// String is a Markdown list.
func (m machine) String() string {
	return fmt.Sprintf("- %s, %d cores; %s\n- %s; %s\n- %s\n", m.cpu, runtime.NumCPU(), m.kernel, m.git, m.ssh, runtime.Version())
}
