package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Installer gets servers into a cache folder.
type Installer struct {
	Cache string    // see [CacheDirectory]
	Log   io.Writer // what it does, a line each
}

// Install returns the kind's program, and gets it first if it is neither in the cache nor on the
// machine. Two that install at the same time wait for each other; one that is interrupted leaves
// nothing that could be taken for a server. What it needs from the system (mmdebstrap, Maven, Java)
// it installs with apt-get where it may; else the error says what is missing.
func (i *Installer) Install(ctx context.Context, kind Kind) (*Program, error) {
	program, err := Find(ctx, i.Cache, kind)
	var missing *MissingError
	if !errors.As(err, &missing) {
		return program, err
	}
	unlock, err := i.lock(ctx, string(kind))
	if err != nil {
		return nil, err
	}
	program, err = i.installLocked(ctx, kind)
	return program, errors.Join(err, unlock())
}

func (i *Installer) installLocked(ctx context.Context, kind Kind) (*Program, error) {
	program, err := Find(ctx, i.Cache, kind) // whoever had the lock before may have installed it
	var missing *MissingError
	if !errors.As(err, &missing) {
		return program, err
	}
	if err = i.say("%s: installing into %s", kind, i.Cache); err != nil {
		return nil, err
	}
	began := time.Now()
	root, err := os.MkdirTemp(i.Cache, "."+string(kind)+"-")
	if err != nil {
		return nil, fmt.Errorf("installing %s: %w", kind, err)
	}
	program, err = i.build(ctx, kind, root)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("installing %s: %w", kind, err), os.RemoveAll(root))
	}
	return program, i.say("%s: installed %s in %.0f s", kind, program.Version, time.Since(began).Seconds())
}

// build makes the tree in root, sees that its program runs, and moves it to its place.
func (i *Installer) build(ctx context.Context, kind Kind, root string) (*Program, error) {
	line, err := i.fill(ctx, kind, root)
	if err == nil && line == "" {
		line, err = askVersion(ctx, kind, root)
	}
	if err != nil {
		return nil, err
	}
	version, err := parseVersion(line)
	if err != nil {
		return nil, err
	}
	if kind != Kafka && !kind.accepts(version, kind.IsMariaDB()) {
		return nil, fmt.Errorf("the packages brought %q, which is not what was asked for", line)
	}
	if err := os.WriteFile(filepath.Join(root, versionFile), []byte(line+"\n"), 0o600); err != nil {
		return nil, err
	}
	target := filepath.Join(i.Cache, string(kind))
	if err := errors.Join(os.RemoveAll(target), os.Rename(root, target)); err != nil {
		return nil, err
	}
	return inTree(ctx, kind, target)
}

func askVersion(ctx context.Context, kind Kind, root string) (string, error) {
	program, err := layout(kind, root)
	if err != nil {
		return "", err
	}
	return program.versionLine(ctx)
}

// fill puts the kind's files into root, and returns a version line where the program itself cannot
// be asked for one.
func (i *Installer) fill(ctx context.Context, kind Kind, root string) (string, error) {
	switch kind {
	case MySQL:
		return "", i.debianTree(ctx, kind, root, "sid", "mysql-server-core,mysql-client-core")
	case MariaDB:
		return "", i.debianTree(ctx, kind, root, "trixie", "mariadb-server-core,mariadb-server,mariadb-client-core")
	case MariaDB1011:
		return "", i.debianTree(ctx, kind, root, "bookworm", "mariadb-server-core,mariadb-server,mariadb-client-core")
	case Redis:
		return "", i.debianTree(ctx, kind, root, "bookworm", "redis-server,redis-sentinel")
	case MySQL80:
		return "", i.mysql80(ctx, root)
	case Kafka:
		return "kafka " + kafkaVersion, i.kafkaJars(ctx, root)
	}
	return "", fmt.Errorf("there is no recipe for %q", kind)
}

// lock takes the lock of that name in the cache, and returns what gives it back.
func (i *Installer) lock(ctx context.Context, name string) (func() error, error) {
	if err := os.MkdirAll(i.Cache, 0o750); err != nil {
		return nil, fmt.Errorf("making the cache folder: %w", err)
	}
	return lockFile(ctx, filepath.Join(i.Cache, "."+name+".lock"), func() error {
		return i.say("%s: another process is installing it; waiting", name)
	})
}

// lockFile locks the file for this process; waiting is called if another has it.
func lockFile(ctx context.Context, path string, waiting func() error) (func() error, error) {
	file, err := tryLock(path)
	if err != nil {
		return nil, err
	}
	if file != nil {
		return file.Close, nil
	}
	if err = waiting(); err != nil {
		return nil, err
	}
	if file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	// flock(2) cannot be told to stop waiting: after ctx the goroutine stays until it has the lock, and
	// gives it back.
	locked := make(chan error)
	go func() {
		err := ignoringEINTR(func() error { return syscall.Flock(int(file.Fd()), syscall.LOCK_EX) })
		select {
		case locked <- err:
		case <-ctx.Done():
			file.Close() //nolint:errcheck // nobody is left to tell
		}
	}()
	select {
	case err := <-locked:
		if err != nil {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
		}
		return file.Close, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another process that has %s locked: %w", path, ctx.Err())
	}
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func (i *Installer) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(i.Log, format+"\n", args...); err != nil {
		return fmt.Errorf("writing the installer's log: %w", err)
	}
	return nil
}

// command runs a program of the system to its end, its output in a log file of the cache.
func (i *Installer) command(ctx context.Context, dir string, argv ...string) error {
	logs := filepath.Join(i.Cache, "logs")
	if err := os.MkdirAll(logs, 0o750); err != nil {
		return err
	}
	const longest = 20 * time.Minute // a slow mirror is slow; a hung one must not hang a build for ever
	return run(ctx, command{
		name: filepath.Base(argv[0]), argv: argv, dir: dir, deadline: longest,
		env:     []string{"DEBIAN_FRONTEND=noninteractive"},
		logPath: filepath.Join(logs, filepath.Base(argv[0])+".log"),
	})
}
