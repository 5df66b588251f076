package faults

import (
	"strings"
	"testing"
)

var (
	stalled     = newRow(60, "server or network stalls for ever")
	unreachable = newRow(61, "server refuses or closes connections, its name does not resolve")
	declined    = newRow(62, "hook declines the push")
	branchFault = newRow(63, "branch force-pushed, deleted, or deleted and made again")
)

// fault is one that a pass meets. A stage is given back as it was by undo.
type fault struct {
	name string
	do   func(s *stage)
	undo func(s *stage) // nil: nothing to undo
	says string         // what the failures say; empty: there may be none
}

// eachFault tries each fault some times on operators that go on running.
func eachFault(t *testing.T, r *row, times int, faults []fault, flags ...string) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, r)
			o := s.serve(flags...)
			s.settle(o)
			for range times {
				s.advance()
				f.do(s)
				results, err := o.pass()
				if err != nil {
					s.t.Fatalf("no answer: %v\n%s", err, o.text())
				}
				failed := 0
				for _, r := range results {
					if r.Status == "success" {
						continue
					}
					failed++
					if !strings.Contains(r.Message, f.says) {
						s.t.Fatalf("got %q, want %q in it", r.Message, f.says)
					}
				}
				if f.says != "" && failed == 0 {
					s.t.Error("nothing failed")
				}
				s.Server.OnReceivePack(nil)
				if f.undo != nil {
					f.undo(s)
				}
				o.good()
				o.idle()
				s.audit(true)
			}
			o.stop()
		})
	}
}

func TestServerStalls(t *testing.T) {
	t.Parallel()
	const repo = manifests + ".git"
	lift := func(s *stage) { s.Server.Stall("", false); s.Server.Stall(repo, false); s.proxy.stall(false) }
	eachFault(t, stalled, trials(1, 3), []fault{
		{"fetches", func(s *stage) { s.Server.Stall(repo, true) }, lift, "timed out"},
		{"everything", func(s *stage) { s.Server.Stall("", true) }, lift, "timed out"},
		{"pushes", func(s *stage) {
			s.Server.OnReceivePack(func(string) { s.Server.Stall("", true) })
		}, func(s *stage) { lift(s); s.proxy.drop() }, ""},
		{"the network", func(s *stage) { s.proxy.stall(true) }, lift, "timed out"},
		{"the network at a push", func(s *stage) {
			s.Server.OnReceivePack(func(string) { s.proxy.stall(true) })
		}, lift, "timed out"},
	}, "--git-timeout", "2s")
}

func TestServerIsUnreachable(t *testing.T) {
	t.Parallel()
	back := func(s *stage) { s.writeCluster(s.proxy.addr()) }
	eachFault(t, unreachable, trials(1, 5), []fault{
		{"closes at once", func(s *stage) { s.proxy.set(func(p *proxy) { p.refuse = true }); s.proxy.drop() },
			func(s *stage) { s.proxy.set(func(p *proxy) { p.refuse = false }) }, "connection failed"},
		{"refuses", func(s *stage) { s.writeCluster(closedPort(s.t)) }, back, "connection failed"},
		{"no name", func(s *stage) { s.writeCluster("manifests.invalid:22") }, back, "manifests.invalid"},
	}, "--git-timeout", "5s")
}

func TestHookDeclines(t *testing.T) {
	t.Parallel()
	eachFault(t, declined, trials(1, 5), []fault{
		{"all", func(s *stage) { s.hook("pre-receive", "echo no pushes on Fridays >&2; exit 1\n") },
			func(s *stage) { s.hook("pre-receive", "") }, "no pushes on Fridays"},
		{"one file", func(s *stage) {
			s.hook("update", "git diff --name-only $2 $3 | grep -q d07 || exit 0\necho d07.yaml is frozen >&2\nexit 1\n")
		}, func(s *stage) { s.hook("update", "") }, "d07.yaml is frozen"},
	})
}

func TestBranchIsRewritten(t *testing.T) {
	t.Parallel()
	drop := func(s *stage) { s.git("update-ref", "-d", "refs/heads/master") }
	again := func(s *stage) { s.git("update-ref", "refs/heads/master", s.good) }
	atPush := func(do ...func(*stage)) func(*stage) {
		return func(s *stage) {
			first := true
			s.Server.OnReceivePack(func(string) {
				if first {
					first = false
					for _, d := range do {
						d(s)
					}
				}
			})
		}
	}
	eachFault(t, branchFault, trials(1, 10), []fault{
		{"force-pushed", func(s *stage) { s.rewrite() }, nil, ""},
		{"force-pushed at a push", atPush((*stage).rewrite), nil, ""},
		{"deleted", drop, again, "branch not found"},
		{"deleted at a push", atPush(drop), again, "branch not found"},
		{"made again at a push", atPush(drop, (*stage).rewrite), nil, ""},
		{"force-pushed after a push", func(s *stage) {}, (*stage).rewrite, ""},
	})
}
