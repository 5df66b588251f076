package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is a line of `go test -json`.
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// relay reads the events of a stage and prints what `go test` would: a line for
// each package, and everything that failed. Skips go to left.
func relay(stage string, events io.Reader, left *omissions, out io.Writer) error {
	type key struct{ pkg, test string }
	output := map[key][]string{}
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && len(line) == 0 {
			if err == io.EOF {
				return nil
			}
			return err
		}
		var e event
		if json.Unmarshal(line, &e) != nil || e.Action == "" {
			out.Write(line)
			continue
		}
		k := key{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			io.WriteString(out, e.Output)
		case "output":
			output[k] = append(output[k], e.Output)
		case "skip":
			if e.Test != "" { // else a package without tests
				left.add(stage, e.Package+" "+e.Test, reason(output[k]))
			}
			delete(output, k)
		case "pass":
			if e.Test == "" {
				io.WriteString(out, last(output[k]))
			}
			delete(output, k)
		case "fail":
			io.WriteString(out, strings.Join(output[k], ""))
			delete(output, k)
			if e.Test != "" {
				continue
			}
			for other, text := range output { // what a panic cut short
				if other.pkg == e.Package {
					io.WriteString(out, strings.Join(text, ""))
				}
			}
		}
	}
}

// last returns the line that sums a package up.
func last(lines []string) string {
	i := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, "ok  \t") })
	if i < 0 {
		return ""
	}
	return lines[i]
}

// reason is what a test said when it was skipped.
func reason(lines []string) string {
	var said []string
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// omissions are what was left out.
type omissions struct{ lines []string }

func (o *omissions) add(stage, what, why string) {
	o.lines = append(o.lines, fmt.Sprintf("  %s: %s: %s\n", stage, what, why))
}

func (o *omissions) String() string {
	if len(o.lines) == 0 {
		return "nothing was left out\n"
	}
	return "left out:\n" + strings.Join(o.lines, "")
}
