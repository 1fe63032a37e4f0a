package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"

	"meridian/internal/bus"
	"meridian/internal/servers"
)

// database is one MySQL server, seen by its application.
type database struct {
	name   string
	server *servers.Database
	db     *sql.DB
}

// tables are the measurement's. wide and bulk have the nine columns that capture is measured with.
const tables = `CREATE DATABASE bench;
CREATE TABLE bench.latency (id BIGINT PRIMARY KEY, note VARCHAR(64) NOT NULL);
CREATE TABLE bench.account (id INT PRIMARY KEY, n INT NOT NULL, note VARCHAR(40) NOT NULL);
CREATE TABLE bench.wide (id INT PRIMARY KEY, big BIGINT, name VARCHAR(40), price DECIMAL(12,2), at DATETIME(6), note TEXT, ratio DOUBLE, day DATE, flag TINYINT);
CREATE TABLE bench.bulk LIKE bench.wide;
`

// replicaWorkers is how many threads of MySQL's own replica apply.
const replicaWorkers = 4

// startServers starts the three databases and Kafka.
func (b *bench) startServers(ctx context.Context) error {
	cache, err := servers.CacheDirectory()
	if err != nil {
		return err
	}
	installer := servers.Installer{Cache: cache, Log: b.options.stderr}
	program, err := installer.Install(ctx, servers.MySQL)
	if err != nil {
		return err
	}
	broker, err := installer.Install(ctx, servers.Kafka)
	if err != nil {
		return err
	}
	b.say("starting three %s %s and %s %s", program.Kind, program.Version, broker.Kind, broker.Version)
	b.report.note("%s %s with sync_binlog=1 and innodb_flush_log_at_trx_commit=1; %s %s with acks=all; bus.partitions %d; %d workers in MySQL's own replica",
		program.Kind, program.Version, broker.Kind, broker.Version, b.options.partitions, replicaWorkers)
	g, gctx := errgroup.WithContext(ctx)
	for i, to := range []**database{&b.a, &b.b, &b.c} {
		d := &database{name: string(rune('a' + i))}
		*to = d
		g.Go(func() error { return d.start(gctx, program, cache, filepath.Join(b.folder.Path, d.name), i+1) })
	}
	g.Go(func() (err error) {
		folder := filepath.Join(b.folder.Path, "kafka")
		if err = os.Mkdir(folder, 0o700); err != nil {
			return err
		}
		// Without the optimising compiler, which would work on the same processors all through the measurement: a broker that
		// runs for months has that behind it.
		java := []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}
		b.kafka, err = servers.StartKafka(gctx, servers.KafkaConfig{Program: broker, Directory: folder, Java: java})
		return err
	})
	if err = g.Wait(); err != nil {
		return err
	}
	b.bus, err = bus.Dial(bus.Config{Brokers: []string{b.kafka.Address()}})
	return err
}

func (d *database) start(ctx context.Context, program *servers.Program, cache, folder string, number int) (err error) {
	if err = os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	d.server, err = servers.StartDatabase(ctx, servers.DatabaseConfig{
		Program: program, Cache: cache, Directory: folder, ServerID: uint32(number),
		Args: []string{"--innodb-buffer-pool-size=512M", "--innodb-redo-log-capacity=1G",
			fmt.Sprintf("--replica-parallel-workers=%d", replicaWorkers)},
	})
	if err != nil {
		return fmt.Errorf("database %s: %w", d.name, err)
	}
	dsn := mysql.NewConfig()
	dsn.Net, dsn.Addr, dsn.User, dsn.Passwd = "tcp", d.server.Address(), servers.User, servers.Password
	dsn.MultiStatements = true
	dsn.Logger = &mysql.NopLogger{} // a connection that breaks is an error of its own
	connector, err := mysql.NewConnector(dsn)
	if err != nil {
		return fmt.Errorf("database %s: %w", d.name, err)
	}
	d.db = sql.OpenDB(connector)
	const connections = 128
	d.db.SetMaxIdleConns(connections)
	return nil
}

func (d *database) exec(ctx context.Context, query string, args ...any) error {
	if _, err := d.db.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("database %s: %.60q: %w", d.name, query, err)
	}
	return nil
}

// count runs a query that gives one number.
func (d *database) count(ctx context.Context, query string, args ...any) (n int, err error) {
	if err = d.db.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
		err = fmt.Errorf("database %s: %.60q: %w", d.name, query, err)
	}
	return n, err
}

// counts waits until a query gives so many.
func (d *database) counts(ctx context.Context, n int, query string) error {
	got := 0
	err := until(ctx, countInterval, func() (done bool, err error) {
		got, err = d.count(ctx, query)
		return got >= n, err
	})
	if err != nil {
		return fmt.Errorf("database %s: %d of %d rows: %w", d.name, got, n, err)
	}
	return nil
}

// countInterval is how often what takes seconds is looked at.
const countInterval = 250 * time.Millisecond

// until asks again and again whether something holds.
func until(ctx context.Context, interval time.Duration, holds func() (bool, error)) error {
	clock := time.NewTicker(interval)
	defer clock.Stop()
	for {
		if done, err := holds(); done || err != nil {
			return err
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hurried lets commits on the database be fast while work generates a load; then they are durable again.
func (d *database) hurried(ctx context.Context, work func() error) error {
	const set = "SET GLOBAL sync_binlog = %d, GLOBAL innodb_flush_log_at_trx_commit = %d"
	if err := d.exec(ctx, fmt.Sprintf(set, 0, 2)); err != nil {
		return err
	}
	err := work()
	return errors.Join(err, d.exec(context.WithoutCancel(ctx), fmt.Sprintf(set, 1, 1)))
}

// close ends the server.
func (d *database) close() error {
	var errs []error
	if d.db != nil {
		errs = append(errs, d.db.Close())
	}
	if d.server != nil {
		errs = append(errs, d.server.Close())
	}
	return errors.Join(errs...)
}
