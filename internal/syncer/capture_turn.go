package syncer

import "context"

// How others get in between two transactions. Capture has the turn from a transaction's beginning to its end; whoever has it
// between two sees the ledger as of one place in the binlog, and may have capture do something there.

// between calls f while no transaction is being read, and keeps the next one from beginning. f must be quick: capture, and with
// it every fence, waits.
func (c *Capture) between(ctx context.Context, f func() error) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	return f()
}

func (c *Capture) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Capture) give() { <-c.turn }

// flushNow sets a cut aside, between two transactions, whether much has happened since the last one or not.
func (c *Capture) flushNow(ctx context.Context) error {
	return c.between(ctx, func() error {
		if c.last == nil || c.resumed != nil {
			return nil // it is not known where, or the ledger has a part of a transaction
		}
		return c.freeze(ctx, c.last.Position())
	})
}
