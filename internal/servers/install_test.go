package servers

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// fakeMachine makes a PATH that has only the shell's own tools and what the test adds to it.
func fakeMachine(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for _, tool := range []string{"sh", "mkdir", "chmod", "cat", "echo"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	return bin
}

func script(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// fakeTree is what the real mmdebstrap does, as far as the installer looks: its last argument is the
// folder that gets a loader and a server.
const fakeTree = `for root; do :; done
echo unpacked >>"$COUNT"
lib="$root/usr/lib/x86_64-linux-gnu"
mkdir -p "$lib" "$root/usr/bin"
echo '#!/bin/sh
shift 2
exec "$@"' >"$lib/ld-linux-x86-64.so.2"
echo '#!/bin/sh
echo Redis server v=7.0.15 sha=0' >"$root/usr/bin/redis-server"
chmod +x "$lib/ld-linux-x86-64.so.2" "$root/usr/bin/redis-server"
`

// countedRuns tells how often the fake tree was unpacked.
func countedRuns(t *testing.T) func() int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "count")
	t.Setenv("COUNT", path)
	return func() int {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Count(string(text), "unpacked")
	}
}

func TestInstaller_InstallsOnceHoweverManyAsk(t *testing.T) {
	bin, runs := fakeMachine(t), countedRuns(t)
	script(t, filepath.Join(bin, "mmdebstrap"), fakeTree)
	cache := filepath.Join(t.TempDir(), "cache")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			program, err := (&Installer{Cache: cache, Log: &bytes.Buffer{}}).Install(t.Context(), Redis)
			if err != nil {
				t.Error(err)
				return
			}
			if want := (Version{7, 0, 15}); program.Version != want || program.Kind != Redis {
				t.Errorf("installed %s %s", program.Kind, program.Version)
			}
		})
	}
	all.Wait()
	if got := runs(); got != 1 {
		t.Errorf("the tree was unpacked %d times, want once", got)
	}
	var said bytes.Buffer
	if _, err := (&Installer{Cache: cache, Log: &said}).Install(t.Context(), Redis); err != nil || said.Len() > 0 {
		t.Errorf("installing what is there says %q (%v), want nothing", said.String(), err)
	}
}

func TestInstaller_LeavesNothingBehindWhenItFails(t *testing.T) {
	bin, runs := fakeMachine(t), countedRuns(t)
	script(t, filepath.Join(bin, "mmdebstrap"), fakeTree+"echo the mirror is down; exit 1\n")
	cache := t.TempDir()
	installer := &Installer{Cache: cache, Log: &bytes.Buffer{}}
	_, err := installer.Install(t.Context(), Redis)
	if err == nil || !strings.Contains(err.Error(), "the mirror is down") {
		t.Fatalf("the error is %v, want what the command said", err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.Contains(entry.Name(), "redis") && entry.Name() != ".redis.lock" {
			t.Errorf("%s is left behind", entry.Name())
		}
	}
	script(t, filepath.Join(bin, "mmdebstrap"), fakeTree)
	if _, err := installer.Install(t.Context(), Redis); err != nil || runs() != 2 {
		t.Errorf("the second try: %v, after %d runs", err, runs())
	}
}

func TestInstaller_RefusesAnotherVersionThanItAskedFor(t *testing.T) {
	bin := fakeMachine(t)
	countedRuns(t)
	script(t, filepath.Join(bin, "mmdebstrap"), strings.ReplaceAll(fakeTree, "v=7.0.15", "v=6.2.1"))
	_, err := (&Installer{Cache: t.TempDir(), Log: &bytes.Buffer{}}).Install(t.Context(), Redis)
	if err == nil || !strings.Contains(err.Error(), "v=6.2.1") {
		t.Errorf("the error is %v, want the version in it", err)
	}
}

func TestInstaller_NamesThePackageThatItCannotGet(t *testing.T) {
	fakeMachine(t)
	_, err := (&Installer{Cache: t.TempDir(), Log: &bytes.Buffer{}}).Install(t.Context(), Kafka)
	if err == nil || !strings.Contains(err.Error(), "default-jre-headless maven") {
		t.Errorf("the error is %v, want the packages in it", err)
	}
}

func TestInstaller_GetsACompilerIntoAnEmptyCache(t *testing.T) {
	bin := fakeMachine(t)
	cache := filepath.Join(t.TempDir(), "cache")
	installer := &Installer{Cache: cache, Log: &bytes.Buffer{}}
	if err := installer.Compiler(t.Context()); err == nil || !strings.Contains(err.Error(), "gcc") {
		t.Errorf("without a compiler and without apt-get: %v", err)
	}
	script(t, filepath.Join(bin, "gcc"), "exit 0\n")
	if err := installer.Compiler(t.Context()); err != nil {
		t.Errorf("with a compiler: %v", err)
	}
}

func TestInstaller_RefreshesPackageListsWhenAPackageIsUnknown(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("as another user than root apt-get is never called; only that is tested here")
	}
	bin, runs := fakeMachine(t), countedRuns(t)
	lists := filepath.Join(t.TempDir(), "lists")
	script(t, filepath.Join(bin, "apt-get"), `for word; do case "$word" in
update) echo known >`+lists+` ;;
mmdebstrap) [ -e `+lists+` ] || exit 100
  echo '#!/bin/sh
'"$FAKE_TREE" >`+bin+`/mmdebstrap; chmod +x `+bin+`/mmdebstrap ;;
esac; done
`)
	t.Setenv("FAKE_TREE", fakeTree)
	_, err := (&Installer{Cache: t.TempDir(), Log: &bytes.Buffer{}}).Install(t.Context(), Redis)
	if os.Geteuid() != 0 {
		if err == nil || !strings.Contains(err.Error(), "sudo apt-get install mmdebstrap") {
			t.Errorf("the error is %v, want the command that root has to give", err)
		}
		return
	}
	if err != nil || runs() != 1 {
		t.Errorf("installing: %v, after %d runs", err, runs())
	}
}

func TestFind_SaysWhichCommandGetsWhatIsMissing(t *testing.T) {
	fakeMachine(t)
	_, err := Find(t.Context(), t.TempDir(), Redis)
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "make servers") || !strings.Contains(err.Error(), "install redis") {
		t.Errorf("the error is %v", err)
	}
}

func TestFind_UsesTheMachinesOwnServerIfItsVersionFits(t *testing.T) {
	bin := fakeMachine(t)
	for version, fits := range map[string]bool{"7.2.4": true, "6.0.16": false} {
		script(t, filepath.Join(bin, "redis-server"), "echo Redis server v="+version+" sha=0\n")
		program, err := Find(t.Context(), t.TempDir(), Redis)
		if fits != (err == nil) {
			t.Errorf("with Redis %s on the machine: %v", version, err)
		}
		if fits && program.Path != filepath.Join(bin, "redis-server") {
			t.Errorf("found %s", program.Path)
		}
	}
}

func TestAt_TellsServersApart(t *testing.T) {
	dir := t.TempDir()
	for line, want := range map[string]Kind{
		"mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))":          MySQL,
		"mysqld  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64":     MySQL80,
		"mariadbd  Ver 11.8.9-MariaDB-0+deb13u1 for debian-linux-gnu": MariaDB,
		"mysqld  Ver 10.11.6-MariaDB for Linux on x86_64":             MariaDB1011,
		"mysqld  Ver 5.7.44 for Linux on x86_64":                      "",
		"not a server":                                                "",
	} {
		path := filepath.Join(dir, "server")
		script(t, path, "echo '"+line+"'\n")
		program, err := At(t.Context(), path)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken for %s", line, program.Kind)
			}
			continue
		}
		if err != nil || program.Kind != want {
			t.Errorf("%q: %+v (%v), want %s", line, program, err, want)
		}
	}
}

func TestLockFile_StopsWaitingWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path, func() error { return errors.New("nobody else has it") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = lockFile(ctx, path, func() error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ended with %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}
