package hostile

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// serverCases are git servers that mean harm: first as the application's, of
// which only the head is read, then as the manifests', which is fetched from and
// pushed to.
func serverCases() []hostile {
	const remote = "ssh://git@127.0.0.1:" // the message names the repository
	var list []hostile
	add := func(name, annotation, want string, e func() *evil) {
		list = append(list, hostile{name: name, want: want, with: func(s *stage, id string) map[string]string {
			server := newEvil(s.t, e())
			s.secret("key-"+id, map[string][]byte{"ssh-privatekey": s.Private, "known_hosts": append(server.knownHosts(), s.Server.KnownHosts()...)})
			return map[string]string{annotation: server.url(), "ssh_key_name": "key-" + id}
		}})
	}
	speak := func(text string, code uint32) func() *evil {
		return func() *evil {
			return &evil{answer: func(_ string, ch ssh.Channel) uint32 {
				io.WriteString(ch.Stderr(), text)
				return code
			}}
		}
	}
	out := func(answer func(command string, ch ssh.Channel) uint32) func() *evil {
		return func() *evil { return &evil{answer: answer} }
	}
	for _, a := range []string{"app_repository", "manifest_repository"} {
		of := " (" + a + ")"
		add("an error with escapes"+of, a, remote, speak("fatal: "+escapes+"\n", 1))
		add("an error of 20 MiB"+of, a, remote, speak(strings.Repeat("remote: x\r", 2<<20), 1))
		add("an error in one line of 20 MiB"+of, a, remote, speak(strings.Repeat("y", 20<<20), 1))
		add("an error that begs for the wrong cure"+of, a, "authentication refused", speak("Permission denied (publickey).\n", 128))
		add("silence and an exit code of 0"+of, a, "connection failed", speak("", 0))
		add("a shell that greets"+of, a, remote, out(func(_ string, ch ssh.Channel) uint32 {
			io.WriteString(ch, "Welcome! \x1b[31m\nLast login: never\n")
			return 0
		}))
		add("an error packet with escapes"+of, a, remote, out(func(_ string, ch ssh.Channel) uint32 {
			pkt(ch, "ERR %s\nforged: line\n", escapes)
			return 0
		}))
		add("a banner of escapes"+of, a, remote, func() *evil {
			return &evil{config: &ssh.ServerConfig{BannerCallback: func(ssh.ConnMetadata) string { return escapes + "\n" + strings.Repeat("banner\n", 10_000) }},
				answer: func(_ string, ch ssh.Channel) uint32 { io.WriteString(ch.Stderr(), "no\n"); return 1 }}
		})
		if a == "manifest_repository" {
			add("megabytes before the banner of SSH"+of, a, remote, func() *evil {
				return &evil{raw: func(c net.Conn) {
					for range 4 << 10 {
						if _, err := io.WriteString(c, strings.Repeat("z", 1022)+"\r\n"); err != nil {
							return
						}
					}
				}}
			})
		}
		add("no SSH at all"+of, a, "connection failed", func() *evil {
			return &evil{raw: func(c net.Conn) {
				io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"+escapes)
				c.Close()
			}}
		})
		if a == "app_repository" {
			add("references without end"+of, a, remote, out(func(_ string, ch ssh.Channel) uint32 {
				for i := 0; ; i++ {
					line := fmt.Sprintf("%040x refs/heads/x%d", i+1, i)
					if i == 0 {
						line += "\x00side-band-64k ofs-delta agent=evil"
					}
					if pkt(ch, "%s\n", line) != nil {
						return 1
					}
				}
			}))
		}
		if a == "app_repository" {
			add("a slow drip"+of, a, "timed out", out(func(_ string, ch ssh.Channel) uint32 {
				tick := time.NewTicker(50 * time.Millisecond)
				defer tick.Stop()
				for i := 0; ; i++ {
					<-tick.C
					if pkt(ch, "%040x refs/heads/x%d\x00agent=evil\n", i+1, i) != nil {
						return 1
					}
				}
			}))
		}
		add("a head that is no commit"+of, a, remote, out(advertise("not-a-hash refs/heads/master")))
		if a == "app_repository" {
			add("a head of zeros"+of, a, remote, out(advertise(strings.Repeat("0", 40)+" refs/heads/master")))
		}
		add("references with names that climb"+of, a, remote, out(advertise(strings.Repeat("1", 40)+" refs/heads/../../../x\n"+strings.Repeat("1", 40)+" refs/heads/-x$(touch)")))
	}
	// Fetching: the head is there, and then comes something else than a pack.
	pack := func(send func(w io.Writer) error) func() *evil {
		return out(func(_ string, ch ssh.Channel) uint32 {
			advertised(ch, strings.Repeat("1", 40)+" refs/heads/master")
			if readPkts(ch) != nil { // what is wanted
				return 1
			}
			pkt(ch, "shallow %s", strings.Repeat("1", 40))
			flush(ch)
			line := make([]byte, 9) // "0009done\n"
			io.ReadFull(ch, line)
			pkt(ch, "NAK\n")
			for send(ch) == nil {
			}
			return 1
		})
	}
	zeros := append([]byte{1}, bytes.Repeat([]byte{0}, 60_000)...)
	begun := false
	add("a pack without end", "manifest_repository", remote, pack(func(w io.Writer) error {
		if !begun {
			begun = true
			return pkt(w, "\x01PACK\x00\x00\x00\x02\xff\xff\xff\xff")
		}
		return pkt(w, "%s", zeros)
	}))
	add("progress without end, with escapes", "manifest_repository", "timed out", pack(func(w io.Writer) error { return pkt(w, "\x02%s\r", strings.Repeat(escapes, 500)) }))
	add("an error in the sideband", "manifest_repository", remote, func() *evil {
		n := 0
		return pack(func(w io.Writer) error {
			if n++; n > 1 {
				return io.EOF
			}
			return pkt(w, "\x03%s fatal: fake\n", escapes)
		})()
	})
	return append(list, liars()...)
}

// advertise answers with references, and no more.
func advertise(refs string) func(string, ssh.Channel) uint32 {
	return func(_ string, ch ssh.Channel) uint32 {
		advertised(ch, refs)
		io.Copy(io.Discard, ch)
		return 0
	}
}

func advertised(w io.Writer, refs string) {
	for i, line := range strings.Split(refs, "\n") {
		if i == 0 {
			line += "\x00side-band-64k shallow ofs-delta agent=evil"
		}
		pkt(w, "%s\n", line)
	}
	flush(w)
}

// liars are servers with a real repository that lie about a push.
func liars() []hostile {
	const remote = "push to ssh://git@127.0.0.1:"
	var list []hostile
	add := func(name, want string, report ...string) {
		list = append(list, hostile{name: name, want: want, with: func(s *stage, id string) map[string]string {
			repo := s.Repo("kainlite/lied-" + id)
			must1(s.t)(repo.CommitChanges("master", "Start", good(id)))
			head := must1(s.t)(repo.Head("master"))
			server := newEvil(s.t, &evil{answer: func(command string, ch ssh.Channel) uint32 {
				if strings.Contains(command, "upload-pack") {
					cmd := exec.Command("git", "upload-pack", repo.Dir)
					cmd.Stdin, cmd.Stdout = ch, ch
					if cmd.Run() != nil {
						return 1
					}
					return 0
				}
				pkt(ch, "%s refs/heads/master\x00report-status side-band-64k agent=evil\n", head)
				flush(ch)
				readPkts(ch)
				for range 256 {
					if pkt(ch, "\x02%s\n=\trefs/gitops/next:refs/heads/master\t[ok]\n", strings.Repeat(escapes, 30)) != nil {
						return 1
					}
				}
				var lines bytes.Buffer
				for _, line := range report {
					pkt(&lines, "%s\n", line)
				}
				flush(&lines)
				pkt(ch, "\x01%s", lines.String())
				flush(ch)
				return 0
			}})
			s.secret("key-"+id, map[string][]byte{"ssh-privatekey": s.Private, "known_hosts": append(server.knownHosts(), s.Server.KnownHosts()...)})
			return map[string]string{"manifest_repository": server.url(), "ssh_key_name": "key-" + id}
		}})
	}
	add("a push refused with escapes", "push declined", "unpack ok", "ng refs/heads/master "+escapes+"no")
	add("a push refused with a forged success", "push declined", "unpack ok", "ng refs/heads/master no\n=\trefs/heads/master:refs/heads/master\t[up to date]\nDone")
	add("a push always refused as stale", "the server refuses to update the branch", "unpack ok", "ng refs/heads/master stale info")
	add("a push that failed to unpack", remote, "unpack "+escapes, "ng refs/heads/master unpacker error")
	add("a push of which nothing is reported", remote, "unpack ok")
	add("a push reported for another branch", remote, "unpack ok", "ok refs/heads/other")
	return list
}
