package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// schema is the application's.
const schema = "shop"

// tables are the application's: orders and their items grow in every region, prices and carts are few rows that all
// regions write at the same time.
const tables = `CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE shop.orders (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, customer VARCHAR(64) NOT NULL, placed_in VARCHAR(32) NOT NULL,
  status ENUM('new', 'paid', 'sent') NOT NULL, total DECIMAL(12,2) NOT NULL, placed_at TIMESTAMP(6) NOT NULL, note TEXT,
  PRIMARY KEY (id));
CREATE TABLE shop.order_items (
  order_id BIGINT UNSIGNED NOT NULL, line SMALLINT UNSIGNED NOT NULL, sku VARCHAR(16) NOT NULL, quantity INT NOT NULL,
  price DECIMAL(12,2) NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE shop.prices (
  sku VARCHAR(16) NOT NULL, price DECIMAL(12,2) NOT NULL, changed_in VARCHAR(32) NOT NULL, changed_at DATETIME(6) NOT NULL,
  PRIMARY KEY (sku));
CREATE TABLE shop.carts (
  customer VARCHAR(64) NOT NULL, items JSON NOT NULL, changed_in VARCHAR(32) NOT NULL, changes BIGINT NOT NULL,
  PRIMARY KEY (customer));`

// customers are the hot keys of carts. The column's collation takes some of them for the same: they are one row.
var customers = []string{"ana", "Ana", "bruno", "chloé", "Chloe", "dmitri", "ewa", "福田"}

const (
	skus      = 12                    // the hot keys of prices
	writersIn = 2                     // in each region
	pause     = 15 * time.Millisecond // between the beginnings of a writer's transactions
	recentIDs = 256
)

// counts is what the application did in one region.
type counts struct {
	transactions atomic.Uint64 // committed
	rolledBack   atomic.Uint64 // by the application itself
	victims      atomic.Uint64 // rolled back by the database: a deadlock, a lock that was waited for too long
}

// shop is the application: what its writers in all regions share.
type shop struct {
	mu     sync.Mutex
	orders []uint64 // ids of recent orders, of all regions
	next   int
}

func (s *shop) placed(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.orders) < recentIDs {
		s.orders = append(s.orders, id)
		return
	}
	s.orders[s.next] = id
	s.next = (s.next + 1) % recentIDs
}

// someOrder is a recent order of any region; it may not have come here yet, or be gone.
func (s *shop) someOrder(random *rand.Rand) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.orders) == 0 {
		return 0
	}
	return s.orders[random.IntN(len(s.orders))]
}

// write writes in the region until ctx ends, which is no error.
func (s *shop) write(ctx context.Context, r *region, seed uint64) error {
	w := &writer{shop: s, region: r, random: rand.New(rand.NewPCG(seed, seed))}
	pace := time.NewTicker(pause)
	defer pace.Stop()
	for {
		// A transaction that has begun is not cut off: what it did would be unknown.
		err := w.transaction(context.WithoutCancel(ctx))
		var refused *mysql.MySQLError
		switch {
		case err == nil:
		case errors.As(err, &refused) && (refused.Number == errDeadlock || refused.Number == errLockTimeout):
			r.written.victims.Add(1)
		case ctx.Err() != nil:
			return nil
		default:
			return fmt.Errorf("the application in %s: %w", r.name, err)
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Errors that an application answers by trying again (MySQL's error reference, server errors).
const (
	errLockTimeout = 1205 // ER_LOCK_WAIT_TIMEOUT
	errDeadlock    = 1213 // ER_LOCK_DEADLOCK
)

// writer is one connection of the application.
type writer struct {
	shop   *shop
	region *region
	random *rand.Rand
}

// errChangedMind makes a transaction roll back.
var errChangedMind = errors.New("the customer changed their mind")

func (w *writer) transaction(ctx context.Context) error {
	tx, err := w.region.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	placed := uint64(0)
	switch n := w.random.IntN(100); {
	case n < 30:
		placed, err = w.placeOrder(ctx, tx)
	case n < 55:
		err = w.changePrice(ctx, tx)
	case n < 72:
		err = w.fillCart(ctx, tx)
	case n < 80:
		err = execute(ctx, tx, "DELETE FROM shop.carts WHERE customer = ?", w.customer())
	case n < 90:
		err = execute(ctx, tx, "UPDATE shop.orders SET status = ?, note = CONCAT('touched in ', ?) WHERE id = ?",
			[]string{"paid", "sent"}[w.random.IntN(2)], w.region.name, w.shop.someOrder(w.random))
	case n < 97:
		err = w.cancelOrder(ctx, tx)
	default:
		if _, err = w.placeOrder(ctx, tx); err == nil {
			err = errChangedMind
		}
	}
	if errors.Is(err, errChangedMind) {
		w.region.written.rolledBack.Add(1)
		return tx.Rollback()
	}
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	w.region.written.transactions.Add(1)
	if placed > 0 {
		w.shop.placed(placed)
	}
	return nil
}

func execute(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	_, err := tx.ExecContext(ctx, query, args...)
	return err
}

func (w *writer) customer() string { return customers[w.random.IntN(len(customers))] }
func (w *writer) sku() string      { return fmt.Sprintf("SKU-%02d", w.random.IntN(skus)) }
func (w *writer) price() string {
	return fmt.Sprintf("%d.%02d", w.random.IntN(500), w.random.IntN(100))
}

// placeOrder inserts an order and its items: several rows of two tables in one transaction.
func (w *writer) placeOrder(ctx context.Context, tx *sql.Tx) (id uint64, err error) {
	result, err := tx.ExecContext(ctx, "INSERT INTO shop.orders (customer, placed_in, status, total, placed_at, note) VALUES (?, ?, 'new', ?, ?, NULL)",
		w.customer(), w.region.name, w.price(), time.Now().UTC())
	if err != nil {
		return 0, err
	}
	last, err := result.LastInsertId()
	if err != nil {
		return 0, err
	}
	query, args := "INSERT INTO shop.order_items (order_id, line, sku, quantity, price) VALUES ", []any{}
	for line := range 1 + w.random.IntN(4) {
		if line > 0 {
			query += ", "
		}
		query += "(?, ?, ?, ?, ?)"
		args = append(args, last, line+1, w.sku(), 1+w.random.IntN(9), w.price())
	}
	return uint64(last), execute(ctx, tx, query, args...)
}

// changePrice writes one of the few rows that all regions write.
func (w *writer) changePrice(ctx context.Context, tx *sql.Tx) error {
	return execute(ctx, tx, "INSERT INTO shop.prices (sku, price, changed_in, changed_at) VALUES (?, ?, ?, ?) "+
		"ON DUPLICATE KEY UPDATE price = VALUES(price), changed_in = VALUES(changed_in), changed_at = VALUES(changed_at)",
		w.sku(), w.price(), w.region.name, time.Now().UTC())
}

// fillCart inserts or replaces a row that other regions insert, replace and delete.
func (w *writer) fillCart(ctx context.Context, tx *sql.Tx) error {
	items := fmt.Sprintf(`{"sku": %q, "quantity": %d}`, w.sku(), 1+w.random.IntN(5))
	return execute(ctx, tx, "INSERT INTO shop.carts (customer, items, changed_in, changes) VALUES (?, ?, ?, 1) "+
		"ON DUPLICATE KEY UPDATE customer = VALUES(customer), items = VALUES(items), changed_in = VALUES(changed_in), changes = changes + 1",
		w.customer(), items, w.region.name)
}

// cancelOrder deletes an order and its items, wherever it was placed.
func (w *writer) cancelOrder(ctx context.Context, tx *sql.Tx) error {
	id := w.shop.someOrder(w.random)
	if err := execute(ctx, tx, "DELETE FROM shop.orders WHERE id = ?", id); err != nil {
		return err
	}
	return execute(ctx, tx, "DELETE FROM shop.order_items WHERE order_id = ?", id)
}
