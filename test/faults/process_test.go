package faults

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// process is what /proc tells about one.
type process struct {
	pid, parent int
	name        string
	zombie      bool
}

func processes() []process {
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	var all []process
	for _, file := range dirs {
		stat, err := os.ReadFile(file)
		open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
		if err != nil || open < 0 || end < open {
			continue // it has just ended
		}
		p := process{name: string(stat[open+1 : end])}
		p.pid, _ = strconv.Atoi(strings.Split(file, "/")[2])
		if fields := strings.Fields(string(stat[end+1:])); len(fields) > 1 {
			p.zombie = fields[0] == "Z"
			p.parent, _ = strconv.Atoi(fields[1])
		}
		all = append(all, p)
	}
	return all
}

// descendants returns the living processes below pid.
func descendants(pid int) []process {
	children := map[int][]process{}
	for _, p := range processes() {
		children[p.parent] = append(children[p.parent], p)
	}
	var found []process
	for todo := children[pid]; len(todo) > 0; todo = todo[1:] {
		if !todo[0].zombie {
			found = append(found, todo[0])
		}
		todo = append(todo, children[todo[0].pid]...)
	}
	return found
}

// belonging returns the living processes that were started with the home folder
// that operators give their children.
// Zombies do not count: whoever adopted them reaps them.
func belonging(run string) []process {
	var found []process
	home := []byte("HOME=" + run + "/home\x00")
	for _, p := range processes() {
		environ, _ := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/environ")
		if !p.zombie && bytes.Contains(environ, home) {
			found = append(found, p)
		}
	}
	return found
}

// runFolder returns the run folder that a process has locked, if it has one yet.
func runFolder(pid int) string {
	fds, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	for _, fd := range fds {
		target, _ := os.Readlink(fd)
		if dir, file := filepath.Split(target); strings.HasPrefix(file, "lock") && strings.Contains(dir, "/gitops-operator-run-") {
			return filepath.Clean(dir)
		}
	}
	return ""
}

// eventually waits until there is nothing left, and returns what is when the
// guard ends.
func eventually[T any](t *testing.T, look func() []T) []T {
	t.Helper()
	for end := time.Now().Add(guard / 4); ; time.Sleep(5 * time.Millisecond) {
		if found := look(); len(found) == 0 || time.Now().After(end) {
			return found
		}
	}
}
