package gitserver

import (
	"maps"
	"strings"
	"sync"
)

// Stats are counts since the start, or since ResetStats.
type Stats struct {
	Connections  int // TCP connections accepted, whether or not they logged in
	Sessions     int // session channels accepted
	UploadPacks  int // upload-pack commands admitted (fetch, clone, ls-remote), stalled ones too
	ReceivePacks int // receive-pack commands admitted (push), stalled ones too
	Version2     int // of these commands, those that asked for git's protocol version 2
	Pushes       int // receive-packs that updated some reference
	ByRepo       map[string]RepoStats
}

// RepoStats are the counts of one repository.
type RepoStats struct {
	UploadPacks, ReceivePacks, Pushes int
}

type counters struct {
	mu    sync.Mutex
	stats Stats
}

// Stats returns the counts. Whatever a client has been told is in them.
func (s *Server) Stats() Stats {
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	stats := s.counters.stats
	stats.ByRepo = maps.Clone(stats.ByRepo)
	return stats
}

// ResetStats sets all counts to zero.
func (s *Server) ResetStats() {
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	s.counters.stats = Stats{}
}

func (c *counters) connection() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Connections++
}

func (c *counters) session() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Sessions++
}

func (c *counters) command(repo, service, protocol string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.stats.ByRepo[repo]
	if service == "receive-pack" {
		c.stats.ReceivePacks++
		r.ReceivePacks++
	} else {
		c.stats.UploadPacks++
		r.UploadPacks++
	}
	if strings.Contains(protocol, "version=2") {
		c.stats.Version2++
	}
	c.put(repo, r)
}

func (c *counters) push(repo string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Pushes++
	r := c.stats.ByRepo[repo]
	r.Pushes++
	c.put(repo, r)
}

func (c *counters) put(repo string, r RepoStats) {
	if c.stats.ByRepo == nil {
		c.stats.ByRepo = make(map[string]RepoStats)
	}
	c.stats.ByRepo[repo] = r
}
