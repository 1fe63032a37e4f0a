package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEmbedded_RefusesADirectoryThatIsInUse(t *testing.T) {
	dir := t.TempDir()
	startEmbedded(t, EmbeddedConfig{Dir: dir, NoSync: true})
	if e, err := StartEmbedded(t.Context(), EmbeddedConfig{Dir: dir, Listen: "127.0.0.1:0"}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second broker: %v (%v)", e, err)
	}
}

func TestEmbedded_SaysWhatKeepsItFromStarting(t *testing.T) {
	taken := startEmbedded(t, EmbeddedConfig{NoSync: true}).Addr()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]EmbeddedConfig{
		"no directory":        {Listen: "127.0.0.1:0"},
		"a file in its place": {Dir: file, Listen: "127.0.0.1:0"},
		"a taken address":     {Dir: t.TempDir(), Listen: taken},
		"no address":          {Dir: t.TempDir(), Listen: "nowhere"},
		"a password missing": {Dir: t.TempDir(), Listen: "127.0.0.1:0", SASL: &SASL{Mechanism: "PLAIN", User: "u",
			Password: func() (string, error) { return "", errors.New("gone") }}},
	} {
		if _, err := StartEmbedded(t.Context(), cfg); err == nil {
			t.Errorf("%s: it started", name)
		}
		if cfg.Dir != "" && cfg.Dir != file { // what failed has let go of the directory
			startEmbedded(t, EmbeddedConfig{Dir: cfg.Dir, NoSync: true})
		}
	}
}

func TestEmbedded_TellsOthersAnAddressTheyCanReach(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ listen, advertise, host string }{
		{"127.0.0.1:0", "", "127.0.0.1"}, {"0.0.0.0:0", "", name}, {":0", "", name}, {"0.0.0.0:0", "kafka.example.org:9092", "kafka.example.org"},
	} {
		e := startEmbedded(t, EmbeddedConfig{Listen: test.listen, Advertise: test.advertise, NoSync: true})
		c := dial(t, e.ClientConfig())
		brokers, err := c.Ping(testContext(t))
		if err != nil || len(brokers) != 1 || !strings.HasPrefix(brokers[0], test.host+":") {
			t.Errorf("listening on %s: others are told %v (%v), want %s", test.listen, brokers, err, test.host)
		}
		ensure(t, c, Topic{Name: "t"})
		write(t, c, "t", 0, "in this process it is reached all the same")
	}
}

// The broker runs in our process: whatever comes in on its port must not end it, nor fill the memory.
func TestEmbedded_SurvivesWhatIsNoKafka(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{NoSync: true})
	c := dial(t, e.ClientConfig())
	ensure(t, c, Topic{Name: "t"})
	frame := func(size uint32, key, version uint16, rest ...byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, size)
		b = binary.BigEndian.AppendUint16(b, key)
		return append(binary.BigEndian.AppendUint16(b, version), rest...)
	}
	for name, sent := range map[string][]byte{
		"HTTP":               []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"TLS":                append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 100)...),
		"an unknown key":     frame(14, 9999, 0, make([]byte, 10)...),
		"a negative key":     frame(14, 0xffff, 0, make([]byte, 10)...),
		"an unknown version": frame(14, 3, 999, make([]byte, 10)...),
		"a huge size":        frame(0x7fffffff, 3, 1),
		"a tiny size":        frame(3, 3, 1, make([]byte, 10)...),
		"a body of nothing":  frame(10, 0, 7, make([]byte, 6)...),
		"a list without end": frame(30, 3, 1, append([]byte{0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 16)...)...),
		"half a request":     frame(100, 3, 1, 0, 0),
	} {
		conn, err := new(net.Dialer).DialContext(testContext(t), "tcp", e.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(sent); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = conn.(*net.TCPConn).CloseWrite() // unless the broker has closed it already
		_, _ = io.Copy(io.Discard, conn)     // until the broker has had enough of it
		_ = conn.Close()
	}
	write(t, c, "t", 0, "x")
	read(t, c, "t", 0, 0, 1)
}

// fill writes records of a kilobyte that does not compress.
func fill(t *testing.T, c *Client, topic string, partition, count int) {
	t.Helper()
	for i := range count {
		write(t, c, topic, partition, fmt.Sprintf("%0*d", 1000, i))
	}
}

func TestEmbedded_ForgetsWhatIsOlderThanItsRetention(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	cfg := EmbeddedConfig{Dir: dir, NoSync: true, Retention: time.Hour, Now: func() time.Time { return now }}
	e := startEmbedded(t, cfg)
	clientConfig := e.ClientConfig()
	clientConfig.Now = cfg.Now
	c := dial(t, clientConfig)
	ensure(t, c, Topic{Name: "t", Partitions: 2, Retention: time.Hour})
	write(t, c, "t", 0, "0")
	write(t, c, "t", 0, "1")
	write(t, c, "t", 1, "only")
	now = now.Add(2 * time.Hour)
	write(t, c, "t", 0, "2")
	offsets := func(partition int) string {
		first, next, err := c.Offsets(testContext(t), "t", partition)
		return fmt.Sprint(first, " to ", next, " ", err)
	}
	if err := e.trim(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := offsets(0), "2 to 3 <nil>"; got != want {
		t.Errorf("the offsets are %s, want %s", got, want)
	}
	now = now.Add(2 * time.Hour)
	if err := e.trim(testContext(t)); err != nil {
		t.Fatal(err)
	}
	// Nothing is young enough, yet the last record stays: the offsets must go on where they were, in this run and in the next ones.
	for range 2 {
		if got, want := offsets(0)+", "+offsets(1), "2 to 3 <nil>, 0 to 1 <nil>"; got != want {
			t.Errorf("the offsets are %s, want %s", got, want)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = startEmbedded(t, cfg)
		c = dial(t, e.ClientConfig())
	}
	if at := write(t, c, "t", 0, "3"); at != 3 {
		t.Errorf("after two starts the next offset is %d, want 3", at)
	}
}

func TestEmbedded_KeepsItsLogWithinItsBytes(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{NoSync: true, MaxBytes: 100_000})
	cfg := e.ClientConfig()
	cfg.Compression = None
	c := dial(t, cfg)
	ensure(t, c, Topic{Name: "t", Partitions: 3})
	fill(t, c, "t", 0, 200)
	fill(t, c, "t", 1, 100)
	fill(t, c, "t", 2, 10)
	if err := e.trim(testContext(t)); err != nil {
		t.Fatal(err)
	}
	logs, err := e.extents(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, l := range logs {
		total += l.bytes
		if l.partition == 2 && l.first != 0 {
			t.Errorf("the small partition begins at %d: it is within its share", l.first)
		}
	}
	if total > 100_000 || total < 80_000 {
		t.Errorf("%d bytes are left, want just under 100000", total)
	}
	var gap *GapError
	if _, _, _, err := c.Fetch(testContext(t), "t", 0, 0, 1<<20, 0); !errors.As(err, &gap) || gap.Next != 200 {
		t.Errorf("what is gone is announced by %v, want a gap", err)
	}
}

func TestFairShare_LeavesSmallPartitionsAlone(t *testing.T) {
	for _, test := range []struct {
		sizes []int64
		total int64
		kept  int64
	}{
		{nil, 10, 0}, {[]int64{3, 4}, 10, 7}, {[]int64{5, 5}, 10, 10}, {[]int64{6, 6}, 10, 10}, {[]int64{1, 100, 100}, 11, 11}, {[]int64{0, 0, 30}, 10, 10}, {[]int64{4, 5, 6}, 12, 12},
	} {
		logs := make([]partitionLog, len(test.sizes))
		for i, size := range test.sizes {
			logs[i].bytes = size
		}
		limit, kept := fairShare(logs, test.total), int64(0)
		for _, size := range test.sizes {
			kept += min(size, limit)
		}
		if kept != test.kept {
			t.Errorf("%v within %d: %d are kept, want %d", test.sizes, test.total, kept, test.kept)
		}
	}
}

// A crash leaves the directory as it is at that moment, which is what a copy of it is like.
func TestEmbedded_KeepsWhatItAcknowledgedThroughACrash(t *testing.T) {
	dir := t.TempDir()
	e := startEmbedded(t, EmbeddedConfig{Dir: dir})
	ensure(t, dial(t, e.ClientConfig()), Topic{Name: "t", Partitions: 2})
	for life := range 3 {
		c := dial(t, e.ClientConfig())
		for i := range 20 {
			if at := write(t, c, "t", 0, fmt.Sprint(20*life+i)); at != int64(20*life+i) {
				t.Fatalf("the record got offset %d, want %d", at, 20*life+i)
			}
		}
		if life == 1 { // what retention leaves must be enough to go on from
			if err := e.cluster.DeleteRecords("t", 0, 39); err != nil {
				t.Fatal(err)
			}
		}
		crashed := t.TempDir()
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		dir, e = crashed, startEmbedded(t, EmbeddedConfig{Dir: crashed})
		got := read(t, dial(t, e.ClientConfig()), "t", 0, int64(20*life), 20)
		if string(got[19].Value) != fmt.Sprint(20*life+19) {
			t.Errorf("the last record is %q", got[19].Value)
		}
	}
}

func TestEmbedded_EndsAtOnceAndLeavesNothing(t *testing.T) {
	e := startEmbedded(t, EmbeddedConfig{NoSync: true})
	c := dial(t, e.ClientConfig())
	ensure(t, c, Topic{Name: "t"})
	polling := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		_, _, _, err := c.Fetch(ctx, "t", 0, 0, 1<<20, 10*patience)
		polling <- err
	}()
	write(t, c, "t", 0, "x")
	if err := <-polling; err != nil {
		t.Error(err)
	}
	go func() {
		_, _, _, err := c.Fetch(ctx, "t", 0, 1, 1<<20, 10*patience)
		polling <- err
	}()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	var transient *TransientError
	if err := <-polling; !errors.As(err, &transient) {
		t.Errorf("a poll at the broker's end: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if n := e.listener.open(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

// slowListener has a connection ready, which it gives only when it is told to.
type slowListener struct {
	net.Listener
	conn     net.Conn
	accepted chan struct{}
}

func (l *slowListener) Accept() (net.Conn, error) {
	<-l.accepted
	return l.conn, nil
}
func (l *slowListener) Close() error { return nil }

func TestGuardedListener_LetsNobodyInOnceItIsClosed(t *testing.T) {
	theirs, ours := net.Pipe()
	inner := &slowListener{conn: ours, accepted: make(chan struct{})}
	g := newGuardedListener(inner, "here:1")
	taken := make(chan error, 1)
	go func() {
		_, err := g.Accept()
		taken <- err
	}()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g.wait() // the connection is on its way, and in no list yet
	close(inner.accepted)
	if err := <-taken; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection that came in the moment of the end: %v", err)
	}
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("it was left open: %v", err)
	}
	if n := g.open(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}
