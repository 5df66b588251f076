package faults

import "testing"

var (
	fetchCut   = newRow(30, "connection cut after packet n of a fetch")
	pushCut    = newRow(31, "connection cut after packet n of a push")
	replyCut   = newRow(32, "connection cut when the server has taken the push")
	cutAtBytes = newRow(33, "connection closed by the server after n bytes of a session")
)

// The manifests' connection is cut after each of its first packets, counted
// from the login on: in odd trials every connection of the pass, in even ones
// only the first; in every other pair with a TCP reset. A packet is 64 bytes, so
// that the first 200 are the whole login and the whole fetch.
func TestConnectionCutInAFetch(t *testing.T) {
	t.Parallel()
	eachPacket(t, fetchCut, func(s *stage, c *cut) {
		s.proxy.drop()
		s.proxy.set(func(p *proxy) { p.packet, p.cut = 64, c })
	})
}

// The same, counted from the moment at which the server starts to receive.
func TestConnectionCutInAPush(t *testing.T) {
	t.Parallel()
	eachPacket(t, pushCut, func(s *stage, c *cut) {
		c.waiting = true
		s.proxy.set(func(p *proxy) { p.packet, p.cut = 32, c })
		s.Server.OnReceivePack(func(string) { s.proxy.begin() })
	})
}

func eachPacket(t *testing.T, r *row, arm func(*stage, *cut)) {
	step := trials(33, 1)
	batches(t, r, (200+step-1)/step, func(s *stage, first, end int) {
		o := s.serve()
		s.settle(o)
		for i := first; i < end; i++ {
			n := 1 + i*step
			c := &cut{after: n, again: n%2 == 1, reset: n%4 < 2}
			s.advance()
			s.person("notes.txt") // so that there is something to fetch
			arm(s, c)
			o.faulty()
			s.Server.OnReceivePack(nil)
			s.proxy.set(func(p *proxy) { p.packet, p.cut = 0, nil })
			o.good()
			o.idle()
			s.audit(c.hits > 0)
		}
		o.stop()
	})
}

// The server has moved the branch, and the operator is not told.
func TestReplyOfAPushIsLost(t *testing.T) {
	t.Parallel()
	batches(t, replyCut, trials(2, 50), func(s *stage, first, end int) {
		o := s.serve()
		for range end - first {
			s.advance()
			s.Server.CutPushReply(true)
			failures := o.faulty()
			s.Server.CutPushReply(false)
			if len(failures) > 0 {
				s.t.Errorf("the push was not looked up: %s", failures[0])
			}
			o.good()
			o.idle()
			s.audit(true)
		}
		o.stop()
	})
}

func TestServerClosesEarly(t *testing.T) {
	t.Parallel()
	batches(t, cutAtBytes, trials(2, 40), func(s *stage, first, end int) {
		random := newRandom(s.t)
		o := s.serve()
		s.settle(o)
		for i := first; i < end; i++ {
			s.advance()
			s.Server.CutAfter(1 + random.Int64N(800))
			failures := o.faulty()
			s.Server.CutAfter(0)
			o.good()
			o.idle()
			s.audit(len(failures) > 0)
		}
		o.stop()
	})
}
