package gitserver

import (
	"sync"
	"time"
)

// faults are the ways in which the server misbehaves. The zero value is good
// behaviour.
type faults struct {
	mu       sync.Mutex
	stalls   map[string]chan struct{} // closed when lifted; "" is every repository
	settings settings
}

type settings struct {
	delay         time.Duration
	cutAfter      int64
	refuseAuth    bool
	banner        string
	onReceivePack func(repo string)
	cutPushReply  bool
}

// Stall makes sessions for this repository ("" for all) wait: the command is
// accepted, and then nothing happens until the client goes, the server closes,
// or the stall is lifted. Sessions already at work are not affected.
func (s *Server) Stall(repo string, on bool) {
	f := &s.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	lifted, stalled := f.stalls[repo]
	switch {
	case on && !stalled:
		if f.stalls == nil {
			f.stalls = make(map[string]chan struct{})
		}
		f.stalls[repo] = make(chan struct{})
	case !on && stalled:
		close(lifted)
		delete(f.stalls, repo)
	}
}

// Delay adds a latency to each chunk of data, in each direction, from the
// first byte of a connection on. As on a long line, only the windows of SSH
// then limit the throughput. 0 is off.
func (s *Server) Delay(d time.Duration) { s.faults.set(func(set *settings) { set.delay = d }) }

// CutAfter closes the whole connection once a session has been sent n bytes,
// standard output and error together; the client gets exactly these. It counts
// each session by itself. 0 is off.
func (s *Server) CutAfter(n int64) { s.faults.set(func(set *settings) { set.cutAfter = n }) }

// RefuseAuth refuses every key. Connections that have logged in stay.
func (s *Server) RefuseAuth(on bool) { s.faults.set(func(set *settings) { set.refuseAuth = on }) }

// Banner sets the text that clients are sent before they log in. "" is off.
func (s *Server) Banner(text string) { s.faults.set(func(set *settings) { set.banner = text }) }

// OnReceivePack sets a function to call before each git receive-pack, for
// instance to let another push win. A push over this server from inside it
// calls it again. It must return by itself and not call Close, which waits for
// it. nil is off.
func (s *Server) OnReceivePack(hook func(repo string)) {
	s.faults.set(func(set *settings) { set.onReceivePack = hook })
}

// CutPushReply lets a push run to its end, hooks included, and then closes the
// connection instead of passing the report on. A push is affected if this is
// set when its report begins.
func (s *Server) CutPushReply(on bool) { s.faults.set(func(set *settings) { set.cutPushReply = on }) }

func (f *faults) set(change func(*settings)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.settings)
}

func (f *faults) now() settings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settings
}

// stalled returns a channel that is closed when a stall on the repository is
// lifted, nil if there is none.
func (f *faults) stalled(repo string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if lifted, ok := f.stalls[repo]; ok {
		return lifted
	}
	return f.stalls[""]
}
