package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Ports are handed out below the range from which systems take the ports of outgoing connections
// (Linux: 32768 and up), so that no client socket sits on the port of a server that restarts.
const (
	firstPort = 20000
	lastPort  = 32000
)

// Port is a port on loopback that nobody else who asks this package gets, in this process or in
// another of the same machine, until it is released or the process ends.
type Port struct {
	Number int
	lock   *os.File
}

// ReservePort reserves a port that is free now. The reservation is a locked file, not a socket, so
// a server can listen on it, die, and listen on it again.
func ReservePort(ctx context.Context) (*Port, error) {
	dir := filepath.Join(os.TempDir(), "meridian-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	const attempts = 500
	for range attempts {
		number := firstPort + rand.IntN(lastPort-firstPort)
		lock, err := tryLock(filepath.Join(dir, strconv.Itoa(number)))
		if err != nil {
			return nil, fmt.Errorf("reserving a port: %w", err)
		}
		if lock == nil {
			continue
		}
		if portIsFree(ctx, number) {
			return &Port{Number: number, lock: lock}, nil
		}
		if err := lock.Close(); err != nil {
			return nil, fmt.Errorf("reserving a port: %w", err)
		}
	}
	return nil, fmt.Errorf("reserving a port: none of %d tried between %d and %d is free", attempts, firstPort, lastPort)
}

// Address is 127.0.0.1 with the port.
func (p *Port) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Number)) }

// Release gives the port back.
func (p *Port) Release() error { return p.lock.Close() }

func portIsFree(ctx context.Context, number int) bool {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
	return err == nil && listener.Close() == nil
}

// tryLock opens the file and locks it for this process; nil without an error if another has it.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, file.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
	}
	return file, nil
}
