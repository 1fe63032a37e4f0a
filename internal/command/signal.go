package command

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// UntilSignal gives a context that the first SIGINT or SIGTERM ends: it asks for an orderly end. By the time the context has
// ended signals have their usual effect again, so that a second one ends the process at once.
func UntilSignal(ctx context.Context) context.Context {
	ctx, end := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		end()
	}()
	return ctx
}
