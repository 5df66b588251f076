package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc, 1/100 s on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpu is processor time, user and system.
type cpu struct{ self, children time.Duration }

func (c cpu) total() time.Duration { return c.self + c.children }
func (c cpu) minus(o cpu) cpu      { return cpu{c.self - o.self, c.children - o.children} }

// cpuOf returns what a process has used so far. Its children are those that
// have ended, and all that live.
func cpuOf(pid int) (cpu, error) {
	f, err := statOf(pid)
	if err != nil {
		return cpu{}, err
	}
	c := cpu{self: f.ticks(11, 12), children: f.ticks(13, 14)}
	kids, err := descendants(pid)
	for _, kid := range kids {
		if f, err := statOf(kid); err == nil { // it may just have ended
			c.children += f.ticks(11, 12, 13, 14)
		}
	}
	return c, err
}

// stat are the fields of /proc/PID/stat that follow the name: [0] is the state,
// [1] the parent, [11] to [14] are utime, stime, cutime and cstime.
type stat []string

func statOf(pid int) (stat, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := stat(strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:])))
	if len(fields) < 15 {
		return nil, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	return fields, nil
}

func (s stat) ticks(fields ...int) time.Duration {
	var sum time.Duration
	for _, f := range fields {
		n, _ := strconv.ParseInt(s[f], 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

// descendants returns the living children of a process, and theirs.
func descendants(pid int) ([]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, dir := range dirs {
		p, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if f, err := statOf(p); err == nil {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], p)
		}
	}
	var all []int
	for next := []int{pid}; len(next) > 0; next = next[1:] {
		all = append(all, children[next[0]]...)
		next = append(next, children[next[0]]...)
	}
	return all, nil
}

// memory is what a process has in memory, children not counted.
type memory struct{ rss, peak int64 } // bytes

func memoryOf(pid int) (memory, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			m.rss = kib << 10
		case "VmHWM:":
			m.peak = kib << 10
		}
	}
	return m, nil
}

// openFiles counts the file descriptors of a process.
func openFiles(pid int) (int, error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(fds), err
}
