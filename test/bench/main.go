// Command bench measures the operator on this machine: the real program over
// real SSH and git, against the bare git commands for the same effect (the
// floor) and against one clone per Deployment, which is how other tools work.
// The contestants take turns, and what each wrote is verified in the remote
// repository. It starts the git server as a process of its own, and writes to a
// temporary folder and, with --out, to docs/.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == serverCommand {
		if err := runServer(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "bench server:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	operator, out, filter string
	quick, slow           bool
	runs, clones, passes  int
	budget                time.Duration
	command               string // as the report names it
}

func bench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var opt options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&opt.operator, "operator", "bin/gitops-operator", "the operator's `PROGRAM`, as make build makes it")
	fs.StringVar(&opt.out, "out", "", "write performance.md and the pictures to this `FOLDER`")
	fs.StringVar(&opt.filter, "case", "", "only cases that match `REGEXP`, such as '^large/1000/.*/warm/0ms$'")
	fs.BoolVar(&opt.quick, "quick", false, "a minute or two: small numbers, few runs, no added latency")
	fs.StringVar(&opt.command, "command", "go run ./test/bench "+strings.Join(args, " "), "the `COMMAND` that the report names")
	fs.IntVar(&opt.runs, "runs", 5, "runs of each case, and twice as many and one of those of the targets; where they take longer than --budget, fewer, but 2")
	fs.DurationVar(&opt.budget, "budget", 6*time.Second, "for the runs of one case; those of the targets get four times as much")
	fs.IntVar(&opt.clones, "clones", 3, "Deployments on which the clone method is measured; 0: not at all")
	fs.IntVar(&opt.passes, "long-life", 2000, "passes, with a change in each, of one operator; 0: none")
	fs.BoolVar(&opt.slow, "slow-remotes", true, "50 manifests repositories, one of which hangs")
	if err := fs.Parse(args); err != nil {
		return err
	}
	program, err := filepath.Abs(opt.operator)
	if err != nil {
		return err
	}
	p := plan{
		operator: program, runs: opt.runs, budget: opt.budget,
		sizes:  []scale{{small, 1}, {small, 10}, {large, 1}, {large, 10}, {large, 100}, {large, 1000}, {large, 10_000}},
		delays: []time.Duration{0, 20 * time.Millisecond},
	}
	repos := 50
	if opt.quick {
		p.sizes = []scale{{small, 1}, {small, 10}}
		p.delays = p.delays[:1]
		p.runs, opt.passes, repos = min(p.runs, 3), min(opt.passes, 20), 10
	}
	if opt.filter != "" {
		if p.filter, err = regexp.Compile(opt.filter); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "gitops-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	begin := time.Now()
	rep, err := measureAll(ctx, dir, p, opt, repos, stderr)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	rep.took, rep.machine, rep.command = time.Since(begin), thisMachine(), opt.command
	return rep.publish(stdout, opt.out)
}

// measureAll measures all that is asked for.
func measureAll(ctx context.Context, dir string, p plan, opt options, repos int, progress io.Writer) (*report, error) {
	var sizes []repoSize
	used := map[string]bool{}
	for _, sc := range p.sizes {
		if len(p.cases(sc, false))+len(p.cases(sc, true)) > 0 && !used[sc.size.name] {
			used[sc.size.name] = true
			sizes = append(sizes, sc.size)
		}
	}
	life := p.sizes[len(p.sizes)-1].size
	if opt.passes > 0 && !used[life.name] {
		sizes = append(sizes, life)
	}
	fmt.Fprintln(progress, "setting up")
	st, err := newStage(ctx, dir, sizes...)
	if err != nil {
		return nil, err
	}
	defer st.close()
	rep := newReport()
	if opt.clones > 0 {
		for _, size := range sizes {
			for _, latency := range p.delays {
				if err := st.server.latency(latency); err != nil {
					return nil, err
				}
				costs, err := measureClones(ctx, st, size, opt.clones)
				if err != nil {
					return nil, err
				}
				rep.clones[cloneKey{size.name, latency}] = costs
				fmt.Fprintf(progress, "clone method, %s, %v: %v\n", size.name, latency, costs)
			}
		}
		rep.clonesOn = opt.clones
		if err := st.server.latency(0); err != nil {
			return nil, err
		}
	}
	for _, sc := range p.sizes {
		mem, err := p.bench(ctx, st, sc, func(r row) {
			rep.rows = append(rep.rows, r)
			fmt.Fprintf(progress, "%-28s operator %-32s floor %-32s x %.2f  cpu %v+%v floor %v, %d sessions, %d pushes, %s\n",
				r.name(), spread(r.operator), spread(r.floor), r.ratio(), r.cpu.self, r.cpu.children, r.floorCPU.Round(tick), r.sessions, r.pushes, r.floorKind)
		})
		if err != nil {
			return nil, err
		}
		if mem != nil {
			rep.memory = append(rep.memory, *mem)
			fmt.Fprintf(progress, "%s/%d memory %s, peak %s\n", sc.size.name, sc.n, mib(mem.rss), mib(mem.peak))
		}
	}
	if opt.slow {
		fmt.Fprintln(progress, "slow remotes")
		if rep.slow, err = measureSlow(ctx, st, p, repos); err != nil {
			return nil, err
		}
	}
	if opt.passes > 0 {
		if rep.life, err = measureLife(ctx, st, p, opt.passes, life, func(s string) { fmt.Fprintln(progress, s) }); err != nil {
			return nil, err
		}
	}
	return rep, nil
}
