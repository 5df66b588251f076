package gitserver

import (
	"bytes"
	"fmt"
	"testing"
)

func pkt(payload string) string { return fmt.Sprintf("%04x%s", len(payload)+4, payload) }

func TestPushReplyFindsTheUpdates(t *testing.T) {
	list := pkt("0123 refs/heads/main\x00report-status side-band-64k\n") + pkt("4567 refs/heads/x\n") + "0000"
	report := pkt("unpack ok\n") + pkt("ok refs/heads/main\n") + pkt("ng refs/heads/x hook declined\n") + pkt("ok refs/heads/y\n") + "0000"
	for name, test := range map[string]struct {
		list, report string
		updates      int
	}{
		"in bands":             {list, pkt("\x02hello\n") + pkt("\x01"+report[:20]) + pkt("\x02ok there\n") + pkt("\x01"+report[20:]) + "0000", 2},
		"without bands":        {list, report, 2},
		"all refused":          {list, pkt("\x01"+pkt("unpack ok\n")+pkt("ng refs/heads/main fetch first\n")+"0000") + "0000", 0},
		"nothing to do":        {list, "", 0},
		"empty repository":     {pkt("0000 capabilities^{}\x00report-status\n") + "0000", report, 2},
		"with a version":       {pkt("version 1\n") + list, report, 2},
		"not git at all":       {"", "whatever it is" + report, 0},
		"nonsense in the list": {pkt("a\n") + "zzzz", report, 0},
		"nonsense in a band":   {list, pkt("\x01zzzz") + pkt("\x01"+report), 0},
		"cut short":            {list, pkt("\x01" + report)[:30], 0},
	} {
		for _, hold := range []bool{false, true} {
			for _, size := range []int{1, 3, 1 << 20} {
				t.Run(fmt.Sprintf("%s, hold %v, %d bytes at a time", name, hold, size), func(t *testing.T) {
					var got bytes.Buffer
					updates, asked := 0, 0
					reply := &pushReply{
						next:    &got,
						hold:    func() bool { asked++; return hold },
						updated: func() { updates++ },
					}
					all := []byte(test.list + test.report)
					for rest := all; len(rest) > 0; {
						n, err := reply.Write(rest[:min(size, len(rest))])
						if err != nil {
							t.Fatal(err)
						}
						rest = rest[n:]
					}
					equal(t, "updates", updates, test.updates)
					if !hold {
						equal(t, "passed on", got.String(), string(all))
					} else if test.list != "" && test.list[len(test.list)-4:] == "0000" {
						equal(t, "passed on", got.String(), test.list)
						equal(t, "held", reply.held, test.report != "")
						equal(t, "times asked", asked, min(len(test.report), 1))
					}
				})
			}
		}
	}
}
