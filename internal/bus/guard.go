package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// guardedListener stands between the network and the embedded broker. The broker runs in our process and trusts what it reads: a
// request of an unknown kind makes it panic, and it allocates whatever size it is told. So each connection is read request
// by request here, and closed at the first one that no Kafka client sends.
//
// It also gives the broker the address to tell clients, which may differ from the one it listens on, and knows its connections, so
// that Close can wait for their end.
type guardedListener struct {
	net.Listener
	advertised string

	mu     sync.Mutex
	conns  map[*guardedConn]struct{}
	none   *sync.Cond // conns is empty
	closed bool       // nothing joins conns any more
}

func newGuardedListener(l net.Listener, advertised string) *guardedListener {
	g := &guardedListener{Listener: l, advertised: advertised, conns: make(map[*guardedConn]struct{})}
	g.none = sync.NewCond(&g.mu)
	return g
}

// Addr is what the broker tells clients to connect to.
func (g *guardedListener) Addr() net.Addr { return advertisedAddr(g.advertised) }

type advertisedAddr string

func (advertisedAddr) Network() string  { return "tcp" }
func (a advertisedAddr) String() string { return string(a) }

func (g *guardedListener) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	k := &guardedConn{Conn: c, from: g}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed { // it was accepted in the moment of the end: nobody would wait for it
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	g.conns[k] = struct{}{}
	return k, nil
}

// Close lets no connection in any more; those that are open stay open.
func (g *guardedListener) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	return g.Listener.Close()
}

// open is the number of connections that are open.
func (g *guardedListener) open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns)
}

// wait returns when all connections are closed. After Close they stay so.
func (g *guardedListener) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.conns) > 0 {
		g.none.Wait()
	}
}

// guardedConn lets whole, plausible requests through. Only one goroutine reads it.
type guardedConn struct {
	net.Conn
	from *guardedListener

	head   [requestHead]byte // of the request that is being passed on
	unread []byte            // what of head has not been passed on
	rest   int               // bytes of the request that follow head
}

// requestHead is the size, the API key and the API version, with which each request begins.
const requestHead = 8

// maxRequest is Kafka's own default, socket.request.max.bytes.
const maxRequest = 100 << 20

var errNoRequest = errors.New("bus: embedded: what came in is no request of Kafka's protocol")

func (k *guardedConn) Read(p []byte) (int, error) {
	if len(k.unread) == 0 && k.rest == 0 {
		if err := k.next(); err != nil {
			return 0, err
		}
	}
	if len(k.unread) > 0 {
		n := copy(p, k.unread)
		k.unread = k.unread[n:]
		return n, nil
	}
	n, err := k.Conn.Read(p[:min(len(p), k.rest)])
	k.rest -= n
	return n, err
}

// next reads and checks the beginning of a request.
func (k *guardedConn) next() error {
	if _, err := io.ReadFull(k.Conn, k.head[:]); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint32(k.head[:]))
	key := int16(binary.BigEndian.Uint16(k.head[4:]))
	const least = requestHead - 4 + 4 + 2 // key and version, correlation id, client id's length
	if size < least || size > maxRequest || kmsg.RequestForKey(key) == nil {
		return fmt.Errorf("%w: size %d, key %d", errNoRequest, size, key)
	}
	k.unread = k.head[:]
	k.rest = int(size) - (requestHead - 4)
	return nil
}

// Close may be called more than once: the broker's reader and writer both do, the slower of them after wait has returned.
func (k *guardedConn) Close() error {
	g := k.from
	g.mu.Lock()
	if delete(g.conns, k); len(g.conns) == 0 {
		g.none.Broadcast()
	}
	g.mu.Unlock()
	return k.Conn.Close()
}
