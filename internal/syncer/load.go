package syncer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"meridian/internal/mysqldb"
)

// load says whether the region's database has enough to do: then what can wait (the first reading, scrub) waits.
//
// What is asked is how many threads run, and, of the replicas that the configuration names, how far they are behind. A source
// does not know the latter: its list of replicas and the state of its dump threads tell what was sent, not what was applied.
//
// A replica that cannot be asked, or does not replicate, holds nothing up: waiting would not help it, and rows that are never
// read again are a fault that nobody sees. It is said once.
type load struct {
	cfg    *Config
	server *mysqldb.Server

	mu       sync.Mutex
	asked    time.Time
	reason   string
	replicas []watchedReplica
}

// watchedReplica is a replica of the region's database.
type watchedReplica struct {
	cfg    mysqldb.Config
	server *mysqldb.Server // nil: not connected
	told   bool            // that it cannot be asked
}

// askLoadEvery is how long an answer counts.
const askLoadEvery = time.Second

func newLoad(cfg *Config, server *mysqldb.Server) *load {
	l := &load{cfg: cfg, server: server}
	for _, r := range cfg.DatabaseReplicas {
		r.MaxConnections = 1
		l.replicas = append(l.replicas, watchedReplica{cfg: r})
	}
	return l
}

// busy says why the database is to be let alone; "": it need not be.
func (l *load) busy(ctx context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.cfg.Clock.Now(); l.asked.IsZero() || now.Sub(l.asked) >= min(askLoadEvery, l.cfg.ScrubPause) {
		reason, err := l.ask(ctx)
		if err != nil {
			return "", err
		}
		l.asked, l.reason = now, reason
	}
	return l.reason, nil
}

func (l *load) ask(ctx context.Context) (string, error) {
	if most := l.cfg.BusyThreads; most > 0 {
		var name string
		var threads int
		err := l.server.DB.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Threads_running'").Scan(&name, &threads)
		if err != nil {
			return "", fmt.Errorf("asking how busy the database is: %w", err)
		}
		if threads > most {
			return fmt.Sprintf("%d threads run in the database (verify.busy_threads: %d)", threads, most), nil
		}
	}
	for i := range l.replicas {
		r := &l.replicas[i]
		delay, known, err := r.delay(ctx)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if (err != nil || !known) && !r.told {
			l.cfg.Log.Warn("a replica of the database does not say how far it is behind: it is not waited for", zap.String("replica", r.cfg.Address), zap.Error(err))
		}
		r.told = err != nil || !known
		if err == nil && known && delay > l.cfg.BusyReplicaDelay {
			return fmt.Sprintf("replica %s is %v behind (verify.busy_replica_delay: %v)", r.cfg.Address, delay, l.cfg.BusyReplicaDelay), nil
		}
	}
	return "", nil
}

func (r *watchedReplica) delay(ctx context.Context) (time.Duration, bool, error) {
	if r.server == nil {
		server, err := mysqldb.Open(ctx, r.cfg)
		if err != nil {
			return 0, false, err
		}
		r.server = server
	}
	delay, known, err := r.server.ReplicaDelay(ctx)
	if err != nil {
		err = errors.Join(err, r.server.Close())
		r.server = nil
	}
	return delay, known, err
}

func (l *load) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for i := range l.replicas {
		if s := l.replicas[i].server; s != nil {
			errs = append(errs, s.Close())
			l.replicas[i].server = nil
		}
	}
	return errors.Join(errs...)
}
