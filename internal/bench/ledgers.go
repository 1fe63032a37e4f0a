package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"meridian/internal/checksum"
	"meridian/internal/inspect"
	"meridian/internal/retry"
	"meridian/internal/row"
	region "meridian/internal/syncer"
	"meridian/internal/verify"
)

// The ledgers that are compared: one table, as many shards as a configuration has by default.
const (
	ledgerRows   = 10_000_000
	ledgerShards = 16
	ledgerTable  = "shop.orders"
	ledgerPiece  = 250_000 // rows of one flush
)

// ledgers compares two ledgers of many equal rows, and then with one row that differs. They are made directly, without a database
// or a bus, and served over HTTP on loopback as a syncer does it.
func (b *bench) ledgers(ctx context.Context) (err error) {
	n := b.options.of(ledgerRows)
	paths := map[string]string{"a": filepath.Join(b.folder.Path, "a.ledger"), "b": filepath.Join(b.folder.Path, "b.ledger")}
	b.say("phase ledgers: making one of %d rows", n)
	if err = makeLedger(ctx, paths["a"], n); err != nil {
		return err
	}
	if err = copyFile(paths["b"], paths["a"]); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(paths["a"]), os.Remove(paths["b"])) }()
	debug.FreeOSMemory()
	before := anonymous()
	open := map[string]*checksum.Ledger{}
	served := &servedLedgers{cluster: verify.Cluster{}}
	defer func() {
		err = errors.Join(err, served.close())
		for _, ledger := range open {
			err = errors.Join(err, ledger.Close())
		}
	}()
	for _, name := range []string{"a", "b"} {
		ledger, failed := checksum.Open(checksum.Options{Path: paths[name], Region: "bench", Shards: ledgerShards})
		if failed != nil {
			return failed
		}
		open[name] = ledger
		if err = served.add(ctx, name, ledger); err != nil {
			return err
		}
	}
	v := &verify.Verifier{Cluster: served.cluster, Window: 10 * time.Second, Pause: time.Millisecond, Clock: retry.System{}}
	equal, bytes, err := served.compare(ctx, v)
	if err != nil {
		return err
	}
	if equal.Equal == nil || !*equal.Equal {
		return fmt.Errorf("two equal ledgers are found to be not: %+v", equal.Tables)
	}
	took, bytesAll := equal.Took, bytes
	b.report.add(fmt.Sprintf("two ledgers of %d equal rows compared", n), "< 1 s", seconds(took), "", "", took < time.Second)
	b.report.add("  bytes exchanged", "< 5 MB", fmt.Sprintf("%d kB", bytesAll>>10), "", "", bytesAll < 5<<20)
	if err = alter(open["b"], n/2); err != nil {
		return err
	}
	one, bytes, err := served.compare(ctx, v)
	if err != nil {
		return err
	}
	if len(one.Drift) != 1 {
		return fmt.Errorf("one row differs, found were %d: %+v", len(one.Drift), one.Tables)
	}
	b.report.add(fmt.Sprintf("one differing row among %d found", n), "< 2 s", seconds(one.Took), "", "", one.Took < 2*time.Second)
	b.report.add("  bytes exchanged", "", fmt.Sprintf("%d kB", bytes>>10), "", "", true)
	flush, blocked, err := flushTime(ctx, open["a"], n)
	if err != nil {
		return err
	}
	b.report.add(fmt.Sprintf("flush of 10000 entries into a ledger of %d rows", n), "", seconds(flush), "", "", true)
	b.report.add("  longest that a reader waited meanwhile", "<= 200 ms", blocked.Round(10*time.Microsecond).String(), "", "", blocked <= 200*time.Millisecond)
	debug.FreeOSMemory()
	if after := anonymous(); after > 0 {
		each := (after - before) / len(open)
		b.report.add(fmt.Sprintf("memory of a ledger of %d rows, beside the page cache", n), "< 500 MB", fmt.Sprintf("%d MB", each>>20), "", "", each < 500<<20)
	}
	return nil
}

func benchKey(n int) row.Key {
	return row.Key(binary.BigEndian.AppendUint64([]byte{3}, uint64(n)))
}

func makeLedger(ctx context.Context, path string, n int) (err error) {
	ledger, err := checksum.Open(checksum.Options{Path: path, Region: "bench", Shards: ledgerShards})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	rows := make([]checksum.Base, 0, ledgerPiece)
	for from := 0; from < n; from += ledgerPiece {
		rows = rows[:0]
		for i := from; i < min(from+ledgerPiece, n); i++ {
			rows = append(rows, checksum.Base{Place: checksum.Place{Table: ledgerTable, Key: benchKey(i)}, Digest: uint64(i) * 0x9e3779b97f4a7c15, Columns: 1})
		}
		if _, err := ledger.Baseline(rows, ledger.Collected(), ledger.Generation(ledgerTable)); err != nil {
			return err
		}
		if err := flush(ctx, ledger); err != nil {
			return err
		}
	}
	return nil
}

func flush(ctx context.Context, ledger *checksum.Ledger) error {
	ledger.Freeze(checksum.Cut{Checkpoint: []byte("bench"), Own: make([]uint64, ledgerShards), Settled: true})
	_, err := ledger.Flush(ctx)
	return err
}

// alter writes one row that the other ledger has otherwise.
func alter(ledger *checksum.Ledger, n int) error {
	_, err := ledger.Replay([]checksum.Replayed{replayed(n, 1)})
	return err
}

func replayed(n int, digest uint64) checksum.Replayed {
	return checksum.Replayed{Place: checksum.Place{Table: ledgerTable, Key: benchKey(n)},
		Version: row.Version{Time: time.Now().UnixMicro(), Region: "a"}, Digest: digest, Columns: 1}
}

// flushTime writes entries that are spread over the whole ledger, and measures how long readers, as the applier is one, wait.
func flushTime(ctx context.Context, ledger *checksum.Ledger, n int) (took, blocked time.Duration, err error) {
	const entries = 10_000
	list := make([]checksum.Replayed, 0, entries)
	for i := range entries {
		list = append(list, replayed(i*max(n/entries, 1)%n, uint64(i)))
	}
	if _, err = ledger.Replay(list); err != nil {
		return 0, 0, err
	}
	var over atomic.Bool
	longest := make(chan time.Duration)
	var failed error
	go func() {
		var most time.Duration
		for i := 0; !over.Load() && failed == nil; i++ {
			began := time.Now()
			_, _, failed = ledger.Lookup([]checksum.Place{{Table: ledgerTable, Key: benchKey(i % n)}})
			most = max(most, time.Since(began))
		}
		longest <- most
	}()
	began := time.Now()
	err = flush(ctx, ledger)
	took = time.Since(began)
	over.Store(true)
	blocked = <-longest
	return took, blocked, errors.Join(err, failed)
}

// servedLedgers are ledgers that are asked over HTTP.
type servedLedgers struct {
	cluster verify.Cluster
	servers []*http.Server
	ended   []chan error
	clients http.Client
	bytes   atomic.Int64 // that were answered
}

func (s *servedLedgers) add(ctx context.Context, name string, ledger *checksum.Ledger) error {
	mux := http.NewServeMux()
	inspect.Mount(mux.Handle, &region.StillRegion{Name: name, Regions: []string{"a", "b"}, Shards: ledgerShards, Ledger: ledger}, true)
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	const patience = 10 * time.Second
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(&countedWriter{w, &s.bytes}, r)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	s.servers, s.ended = append(s.servers, server), append(s.ended, ended)
	s.cluster[name] = []inspect.Region{inspect.NewClient("http://"+listener.Addr().String(), &s.clients, nil)}
	return nil
}

func (s *servedLedgers) compare(ctx context.Context, v *verify.Verifier) (*verify.Result, int64, error) {
	s.bytes.Store(0)
	result, err := v.Compare(ctx, func(string) bool { return true })
	return result, s.bytes.Load(), err
}

func (s *servedLedgers) close() error {
	s.clients.CloseIdleConnections()
	var errs []error
	for i := range s.servers {
		errs = append(errs, s.servers[i].Close())
		if err := <-s.ended[i]; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

type countedWriter struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

func (c *countedWriter) Write(b []byte) (int, error) {
	c.bytes.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

func copyFile(to, from string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	_, err = io.Copy(target, source)
	return err
}

// anonymous gives this process's resident memory that is no file's, in bytes; 0 where it cannot be had.
func anonymous() int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "RssAnon:" {
			if kilobytes, err := strconv.Atoi(fields[1]); err == nil {
				return kilobytes << 10
			}
		}
	}
	return 0
}
