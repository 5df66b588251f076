package gitserver

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelayLineDelaysEachChunkWithoutThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, begin := newDelayLine(), time.Now()
		go func() {
			for i := range 100 {
				if err := line.put([]byte{byte(i)}, time.Second); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond)
			}
			line.finish(io.EOF)
		}()
		for i := range 100 {
			data, err := line.next()
			if err != nil || len(data) != 1 || data[0] != byte(i) {
				t.Fatalf("chunk %d: %v, %v", i, data, err)
			}
			equal(t, "time", time.Since(begin), time.Second+time.Duration(i)*time.Millisecond)
		}
		if _, err := line.next(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		if err := line.put([]byte("x"), 0); err != io.EOF {
			t.Errorf("put after the end: %v", err)
		}
	})
}

func TestDelayLineKeepsTheOrderWhenTheDelayShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line, begin := newDelayLine(), time.Now()
		line.put([]byte("a"), time.Second)
		line.put([]byte("b"), 0)
		for _, want := range []string{"a", "b"} {
			data, err := line.next()
			equal(t, "chunk", string(data), want)
			equal(t, "error", err, nil)
			equal(t, "time", time.Since(begin), time.Second)
		}
	})
}

func TestDelayLineDiscardWakesTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("stop")
		for _, chunks := range []int{0, 2} {
			line, begin := newDelayLine(), time.Now()
			for range chunks {
				line.put([]byte("late"), time.Hour)
			}
			go func() {
				time.Sleep(time.Second)
				line.discard(stop)
			}()
			data, err := line.next()
			equal(t, "chunk", string(data), "")
			equal(t, "error", err, stop)
			equal(t, "time", time.Since(begin), time.Second)
		}
	})
}

func TestWhatWasWrittenBeforeCloseArrives(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn := newDelayedConn(accepted.(*net.TCPConn), func() time.Duration { return 0 })
	conn.start()
	conn.Write([]byte("the end"))
	conn.Close()
	if _, err := conn.Write([]byte("too late")); err == nil {
		t.Error("written after Close")
	}

	// A client that is still sending when the end comes hears it all the same.
	for range 1000 {
		if _, err := client.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := io.ReadAll(client)
	equal(t, "what came", string(got), "the end")
	equal(t, "error", err, nil)
	client.Close()
	conn.wait()
}
