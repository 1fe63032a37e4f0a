package storm_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// lineState is how a line is.
type lineState uint8

const (
	lineOpen   lineState = iota
	lineCut              // connections are reset, new ones too
	lineSilent           // connections stay, nothing passes; what was sent arrives when it is open again
)

// line is a network line on which one process reaches one server.
type line struct {
	name     string
	upstream string
	listener net.Listener
	address  string
	// A binlog's events arrive so much later at most: what a database shows to others is then not yet known to the tailer.
	jitter time.Duration

	mu      sync.Mutex
	state   lineState
	changed chan struct{} // closed and replaced when the state changes
	conns   map[net.Conn]struct{}
	closed  bool
	wait    sync.WaitGroup
}

func newLine(ctx context.Context, name, upstream string, jitter time.Duration) (*line, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &line{
		name: name, upstream: upstream, jitter: jitter, listener: listener, address: listener.Addr().String(),
		changed: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	l.wait.Go(l.accept)
	return l, nil
}

func (l *line) accept() {
	for {
		down, err := l.listener.Accept()
		if err != nil {
			return
		}
		if !l.add(down) {
			reset(down)
			continue
		}
		l.wait.Go(func() { l.join(down) })
	}
}

func (l *line) join(down net.Conn) {
	defer l.drop(down)
	if !l.pass() {
		return
	}
	up, err := net.Dial("tcp", l.upstream) //nolint:noctx // on loopback it succeeds or fails at once
	if err != nil {
		return
	}
	defer l.drop(up)
	if !l.add(up) {
		return
	}
	var isBinlog atomic.Bool
	l.wait.Go(func() {
		l.copy(up, down, func(b []byte) { isBinlog.CompareAndSwap(false, asksForBinlog(b)) })
	})
	l.copy(down, up, func([]byte) {
		if l.jitter > 0 && isBinlog.Load() {
			<-time.After(rand.N(l.jitter))
		}
	})
}

// asksForBinlog recognises the command by which a replica asks for the binlog: COM_BINLOG_DUMP or COM_BINLOG_DUMP_GTID.
func asksForBinlog(packet []byte) bool {
	return len(packet) > 4 && packet[3] == 0 && (packet[4] == 0x12 || packet[4] == 0x1e)
}

// copy moves bytes while the line is open. When one direction ends, so does the other.
func (l *line) copy(to, from net.Conn, see func([]byte)) {
	defer reset(to)
	defer reset(from)
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		see(b[:n])
		if !l.pass() {
			return
		}
		if n > 0 {
			if _, e := to.Write(b[:n]); e != nil {
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = to.Close()
			}
			return
		}
	}
}

// pass waits while the line is silent; false when it is cut.
func (l *line) pass() bool {
	for {
		l.mu.Lock()
		state, changed := l.state, l.changed
		if l.closed {
			state = lineCut
		}
		l.mu.Unlock()
		if state != lineSilent {
			return state == lineOpen
		}
		<-changed
	}
}

func (l *line) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == lineCut || l.closed {
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *line) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	reset(c)
}

// reset closes a connection without saying goodbye.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// set changes how the line is.
func (l *line) set(s lineState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	if s == lineCut {
		for c := range l.conns {
			reset(c)
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// close ends the line and everything on it.
func (l *line) close() {
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		reset(c)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	_ = l.listener.Close()
	l.wait.Wait()
}
