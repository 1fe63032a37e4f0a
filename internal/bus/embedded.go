package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// EmbeddedConfig is how the embedded broker runs. Dir and Listen are required.
type EmbeddedConfig struct {
	Dir       string // where the records are kept; one broker at a time
	Listen    string // host:port; port 0 picks a free one
	Advertise string // host:port that clients are told; default Listen's, with the machine's name when it listens everywhere

	Retention time.Duration // how long records are kept at least, as far as MaxBytes allows; default 168 h
	// MaxBytes bounds the log of all topics together; default 1 GiB. The broker keeps 72 bytes of memory for each batch in the
	// log, and after a crash reads the log into memory while it starts: this bounds both.
	MaxBytes int64
	NoSync   bool // do not fsync what is acknowledged: a machine that loses power then loses records

	TLS  *tls.Config // nil: plain TCP
	SASL *SASL       // nil: everybody may come; its password is read once

	Logger *zap.Logger      // default: none
	Now    func() time.Time // the clock for Retention; default time.Now
}

const (
	defaultEmbeddedRetention = 168 * time.Hour
	defaultEmbeddedBytes     = 1 << 30
	embeddedSegmentBytes     = 4 << 20 // the log is freed by segments, in memory and on disk
	trimInterval             = time.Minute
)

// Embedded is a broker in this process: kfake, which speaks Kafka's protocol, with its log on disk. It has one node, no
// replication, and one event loop for all requests. It is meant for trials on one machine; Client does not know the difference.
type Embedded struct {
	cfg      EmbeddedConfig
	cluster  *kfake.Cluster
	listener *guardedListener
	addr     string
	lock     *os.File
	client   *Client // for trimming

	stop    context.CancelFunc
	stopped sync.WaitGroup
	once    sync.Once
}

// StartEmbedded starts the broker on what Dir holds; it runs until Close, and trims its log until ctx ends. Topics are created by
// EnsureTopic only.
func StartEmbedded(ctx context.Context, cfg EmbeddedConfig) (*Embedded, error) {
	cfg.Retention = orDefault(cfg.Retention, defaultEmbeddedRetention)
	cfg.MaxBytes = orDefault(cfg.MaxBytes, defaultEmbeddedBytes)
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Dir == "" {
		return nil, errors.New("bus: embedded: no directory is configured")
	}
	e := &Embedded{cfg: cfg}
	if err := e.open(); err != nil {
		return nil, fmt.Errorf("bus: embedded: %w", errors.Join(err, e.release()))
	}
	ctx, cancel := context.WithCancel(ctx)
	e.stop = cancel
	e.stopped.Go(func() { e.keepTrimmed(ctx) })
	return e, nil
}

func (e *Embedded) open() error {
	if err := os.MkdirAll(e.cfg.Dir, 0o750); err != nil {
		return err
	}
	if err := e.acquire(); err != nil {
		return err
	}
	raw, err := net.Listen("tcp", e.cfg.Listen) //nolint:noctx // it returns at once
	if err != nil {
		return fmt.Errorf("listening on %s: %w", e.cfg.Listen, err)
	}
	e.addr = raw.Addr().String()
	advertised, err := e.advertised(raw.Addr())
	if err != nil {
		return errors.Join(err, raw.Close())
	}
	inner := raw
	if e.cfg.TLS != nil {
		inner = tls.NewListener(raw, e.cfg.TLS)
	}
	e.listener = newGuardedListener(inner, advertised)
	opts, err := e.options()
	if err != nil {
		return errors.Join(err, raw.Close())
	}
	if e.cluster, err = kfake.NewCluster(opts...); err != nil {
		return errors.Join(fmt.Errorf("opening %s: %w", e.cfg.Dir, err), raw.Close())
	}
	e.cluster.ControlKey(int16(kmsg.CreateTopics), keepForever)
	if e.client, err = Dial(e.ClientConfig()); err != nil {
		e.cluster.Close()
	}
	return err
}

// acquire makes sure that no other process has the directory.
func (e *Embedded) acquire() error {
	path := filepath.Join(e.cfg.Dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("another process uses %s: %w", e.cfg.Dir, err), f.Close())
	}
	e.lock = f
	return nil
}

func (e *Embedded) release() error {
	if e.lock == nil {
		return nil
	}
	return e.lock.Close()
}

// advertised is the address that clients are told to use.
func (e *Embedded) advertised(bound net.Addr) (string, error) {
	if e.cfg.Advertise != "" {
		return e.cfg.Advertise, nil
	}
	tcp, ok := bound.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return bound.String(), nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("the machine's name, to tell clients: %w", err)
	}
	return net.JoinHostPort(name, strconv.Itoa(tcp.Port)), nil
}

func (e *Embedded) options() ([]kfake.Opt, error) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("meridian-embedded"),
		kfake.DataDir(e.cfg.Dir),
		kfake.WithLogger(brokerLog{e.cfg.Logger}),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return e.listener, nil }),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":   strconv.Itoa(embeddedSegmentBytes),
			"log.retention.ms":    "-1", // see trim
			"message.max.bytes":   strconv.Itoa(maxMaxRecordBytes),
			"log.retention.bytes": "-1",
		}),
	}
	if !e.cfg.NoSync {
		opts = append(opts, kfake.SyncWrites())
	}
	if s := e.cfg.SASL; s != nil {
		if err := s.check(); err != nil {
			return nil, err
		}
		password, err := s.Password()
		if err != nil {
			return nil, fmt.Errorf("reading the SASL password: %w", err)
		}
		// The broker would prefer the password that it has kept from its last run.
		if err := os.Remove(filepath.Join(e.cfg.Dir, "sasl.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		opts = append(opts, kfake.EnableSASL(), kfake.Superuser(s.Mechanism, s.User, password))
	}
	return opts, nil
}

// keepForever takes the retention out of a new topic's settings: kfake's own retention empties a partition that has been silent for
// long, and begins its offsets at 0 again at the next start, which would pass for the old ones. trim leaves the last record.
func keepForever(req kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // the signature is kfake's
	forever := "-1"
	if create, ok := req.(*kmsg.CreateTopicsRequest); ok {
		for i := range create.Topics {
			for j := range create.Topics[i].Configs {
				if name := create.Topics[i].Configs[j].Name; name == "retention.ms" || name == "retention.bytes" {
					create.Topics[i].Configs[j].Value = &forever
				}
			}
		}
	}
	return nil, nil, false
}

// Addr is the address that the broker listens on.
func (e *Embedded) Addr() string { return e.addr }

// ClientConfig is a Config for a Client of this broker in this process. With TLS, the broker's certificate is not checked:
// the connection does not leave the process.
func (e *Embedded) ClientConfig() Config {
	cfg := Config{
		Brokers: []string{e.addr},
		SASL:    e.cfg.SASL,
		Logger:  e.cfg.Logger,
		// Whatever address clients elsewhere are told, this one is always right here.
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, e.addr)
		},
	}
	if e.cfg.TLS != nil {
		cfg.TLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // see above
	}
	return cfg
}

// Close ends all connections, writes what the next start needs, and returns when nothing of the broker runs any more.
func (e *Embedded) Close() error {
	var err error
	e.once.Do(func() {
		e.stop()
		e.stopped.Wait()
		err = e.client.Close()
		e.cluster.Close()
		e.listener.wait()
		err = errors.Join(err, e.release())
	})
	return err
}

// brokerLog passes on what the broker has to say when something is wrong.
type brokerLog struct{ log *zap.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelNone, kfake.LogLevelInfo, kfake.LogLevelDebug:
	}
}
