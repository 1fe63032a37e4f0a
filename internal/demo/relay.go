package demo

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// line is the network between one region and the bus, made of TCP on loopback, so that it can be cut. Kafka's clients
// follow the addresses that a broker tells them: these are replaced on the way by the line's own, or the clients would go
// around it.
//
// A line is cut or up. Cut ends all connections and refuses new ones, as a network that is gone does after its time-outs.
type line struct {
	address string // where the region's syncer dials
	broker  string // where the line leads

	mu       sync.Mutex // guards all below
	listener net.Listener
	open     map[net.Conn]struct{}
	running  sync.WaitGroup
}

// newLine makes a line that is cut.
func newLine(address, broker string) *line {
	return &line{address: address, broker: broker, open: map[net.Conn]struct{}{}}
}

// heal lets connections through again. They outlive ctx: cut ends them.
func (l *line) heal(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("the line to the bus: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener = listener
	l.running.Go(func() { l.accept(ctx, listener) })
	return nil
}

// cut ends what runs over the line and returns when nothing does.
func (l *line) cut() {
	l.mu.Lock()
	if l.listener != nil {
		_ = l.listener.Close() // it is gone either way
		l.listener = nil
	}
	for c := range l.open {
		_ = c.Close() // its two ends see it
	}
	l.mu.Unlock()
	l.running.Wait()
}

func (l *line) accept(ctx context.Context, listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed: the line is cut
		}
		l.running.Go(func() { l.carry(ctx, client) })
	}
}

// keep remembers a connection to end it with the line; false if the line is cut.
func (l *line) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		_ = c.Close() // it came too late
		return false
	}
	l.open[c] = struct{}{}
	return true
}

func (l *line) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	_ = c.Close() // it has served
}

// carry joins a client's connection to one of its own to the broker until either ends.
func (l *line) carry(ctx context.Context, client net.Conn) {
	if !l.keep(client) {
		return
	}
	defer l.drop(client)
	broker, err := new(net.Dialer).DialContext(ctx, "tcp", l.broker)
	if err != nil || !l.keep(broker) {
		return // the client sees its connection end
	}
	defer l.drop(broker)
	asked := &questions{versions: map[uint32]int16{}}
	var answers sync.WaitGroup
	answers.Go(func() {
		_ = l.answers(client, broker, asked) // an end of the connection, which both sides see
		l.drop(client)
	})
	_ = requests(broker, client, asked)
	l.drop(broker)
	answers.Wait()
}

// questions are the metadata requests of one connection that wait for their answers: version by correlation id.
type questions struct {
	mu       sync.Mutex
	versions map[uint32]int16
}

func (q *questions) ask(id uint32, version int16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.versions[id] = version
}

func (q *questions) answered(id uint32) (version int16, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	version, ok = q.versions[id]
	delete(q.versions, id)
	return version, ok
}

// The framing of Kafka's protocol (https://kafka.apache.org/protocol): four bytes of size, then for a request the API's
// key and version, two bytes each, and four bytes of correlation id; for a response the correlation id alone.
const (
	sizeBytes    = 4
	requestBytes = 8
	idBytes      = 4
)

// requests copies requests and notes those for metadata.
func requests(to io.Writer, from io.Reader, asked *questions) error {
	in := bufio.NewReader(from)
	var head [sizeBytes + requestBytes]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size < requestBytes {
			return errNotKafka
		}
		if key := int16(binary.BigEndian.Uint16(head[4:])); key == int16(kmsg.Metadata) {
			asked.ask(binary.BigEndian.Uint32(head[8:]), int16(binary.BigEndian.Uint16(head[6:])))
		}
		if _, err := to.Write(head[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(to, in, int64(size)-requestBytes); err != nil {
			return err
		}
	}
}

var errNotKafka = errors.New("what passes the line is not Kafka's protocol")

// answers copies responses, those about metadata with the line's address in place of every broker's.
func (l *line) answers(to io.Writer, from io.Reader, asked *questions) error {
	in := bufio.NewReader(from)
	var head [sizeBytes + idBytes]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		size, id := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[sizeBytes:])
		if size < idBytes {
			return errNotKafka
		}
		version, ok := asked.answered(id)
		if !ok {
			if _, err := to.Write(head[:]); err != nil {
				return err
			}
			if _, err := io.CopyN(to, in, int64(size)-idBytes); err != nil {
				return err
			}
			continue
		}
		body := make([]byte, size-idBytes)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		body, err := redirect(body, version, l.address)
		if err != nil {
			return err
		}
		frame := binary.BigEndian.AppendUint32(nil, uint32(idBytes+len(body)))
		frame = binary.BigEndian.AppendUint32(frame, id)
		if _, err := to.Write(append(frame, body...)); err != nil {
			return err
		}
	}
}

// redirect puts address in place of every broker's in a metadata response (what follows its correlation id).
func redirect(body []byte, version int16, address string) ([]byte, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return nil, err
	}
	response := kmsg.NewPtrMetadataResponse()
	response.SetVersion(version)
	tags := 0
	if response.IsFlexible() { // then the header ends with tagged fields, of which no broker sends any
		if len(body) == 0 || body[0] != 0 {
			return nil, errNotKafka
		}
		tags = 1
	}
	if err := response.ReadFrom(body[tags:]); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotKafka, err)
	}
	for i := range response.Brokers {
		response.Brokers[i].Host, response.Brokers[i].Port = host, int32(number)
	}
	return response.AppendTo(body[:tags:tags]), nil
}
