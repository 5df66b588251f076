package gitserver

import (
	"bytes"
	"errors"
	"io"
	"strconv"
)

// pktLine collects one packet of git's protocol: its length as four
// hexadecimal digits, then the payload. Lengths below 4 are marks without a
// payload, such as the flush that ends a list.
type pktLine struct{ buf []byte }

var errPktLine = errors.New("not a pkt-line")

// feed takes data up to the end of the packet. It returns what it did not
// take; the packet, valid until the next call, is complete if done is set, and
// its payload is nil for a mark.
func (l *pktLine) feed(data []byte) (payload, rest []byte, done bool, err error) {
	if data = l.fill(data, 4); len(l.buf) < 4 {
		return nil, nil, false, nil
	}
	size, err := strconv.ParseUint(string(l.buf[:4]), 16, 16)
	if err != nil {
		return nil, data, false, errPktLine
	}
	if data = l.fill(data, int(size)); len(l.buf) < int(size) {
		return nil, nil, false, nil
	}
	payload = l.buf[4:]
	if size < 4 {
		payload = nil
	}
	l.buf = l.buf[:0]
	return payload, data, true, nil
}

// fill moves data into the buffer until that is size bytes long.
func (l *pktLine) fill(data []byte, size int) (rest []byte) {
	n := min(max(size-len(l.buf), 0), len(data))
	l.buf = append(l.buf, data[:n]...)
	return data[n:]
}

// pushReply passes on what git receive-pack says, and reads along: first the
// references as they are, up to a flush, then the report.
type pushReply struct {
	next    io.Writer
	hold    func() bool // asked when the report begins: keep it from the client?
	updated func()      // called for each updated reference, before the client knows

	listed    bool // the references are through
	reporting bool
	held      bool    // the report is kept from the client
	packet    pktLine // of the stream
	line      pktLine // of the report, which may be inside the packets
	broken    bool    // not what receive-pack says: read no further
}

// Write never fails: the report is to be read to its end even if the client
// has gone.
func (r *pushReply) Write(p []byte) (int, error) {
	rest := p
	if !r.listed {
		rest = r.skipList(p)
		_, _ = r.next.Write(p[:len(p)-len(rest)])
	}
	if len(rest) == 0 {
		return len(p), nil
	}
	if !r.reporting {
		r.reporting = true
		r.held = r.hold()
	}
	r.readReport(rest)
	if !r.held {
		_, _ = r.next.Write(rest)
	}
	return len(p), nil
}

// skipList returns what follows the list of references.
func (r *pushReply) skipList(data []byte) (rest []byte) {
	for len(data) > 0 && !r.listed {
		payload, rest, done, err := r.packet.feed(data)
		r.broken = err != nil
		r.listed = r.broken || done && payload == nil
		data = rest
	}
	return data
}

// readReport takes the report out of the stream's packets: those of band 1
// hold it in pieces, those of bands 2 and 3 are for people, and without bands
// each packet is a line.
func (r *pushReply) readReport(data []byte) {
	for len(data) > 0 && !r.broken {
		payload, rest, done, err := r.packet.feed(data)
		r.broken = err != nil
		data = rest
		switch {
		case !done || len(payload) == 0:
		case payload[0] == 1:
			r.readLines(payload[1:])
		case payload[0] > 3:
			r.readLine(payload)
		}
	}
}

func (r *pushReply) readLines(data []byte) {
	for len(data) > 0 && !r.broken {
		payload, rest, done, err := r.line.feed(data)
		r.broken = err != nil
		data = rest
		if done {
			r.readLine(payload)
		}
	}
}

func (r *pushReply) readLine(line []byte) {
	if bytes.HasPrefix(line, []byte("ok ")) {
		r.updated()
	}
}
