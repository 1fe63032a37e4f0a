package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// diskFacts is what there is of the folder that a process keeps its state in.
type diskFacts struct {
	folder string // what was looked at: the folder itself, or the nearest above it that is there
	exists bool   // it is the folder itself
	err    error  // it cannot be written to
	free   int64  // bytes
}

// errNoFiles is what is wrong with a folder that the system itself makes up.
var errNoFiles = errors.New("it is on a file system that files cannot be put on")

// lookAtDisk asks whether the folder can be written to, without writing.
func lookAtDisk(folder string) diskFacts {
	d := diskFacts{folder: folder, exists: true}
	for {
		info, err := os.Stat(d.folder)
		if err == nil {
			if !info.IsDir() {
				d.err = fmt.Errorf("%s is no folder", d.folder)
				return d
			}
			break
		}
		above := filepath.Dir(d.folder)
		if !errors.Is(err, fs.ErrNotExist) || above == d.folder {
			d.err = err
			return d
		}
		d.folder, d.exists = above, false
	}
	if err := unix.Access(d.folder, unix.W_OK|unix.X_OK); err != nil {
		d.err = &fs.PathError{Op: "write to", Path: d.folder, Err: err}
		return d
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(d.folder, &stat); err != nil {
		d.err = &fs.PathError{Op: "look at", Path: d.folder, Err: err}
		return d
	}
	if stat.Blocks == 0 { // such as /proc: no lack of space, but no place for files at all
		d.err = &fs.PathError{Op: "write to", Path: d.folder, Err: errNoFiles}
		return d
	}
	d.free = int64(stat.Bavail) * int64(stat.Bsize) //nolint:unconvert // Bsize has another type on other systems
	return d
}

// A ledger takes about 60 bytes a row. What is free is no more than a hint at how many rows there will be.
const (
	leastFree = 64 << 20
	goodFree  = 1 << 30
)

func checkDisk(i *inspection) []Check {
	const name = "state_directory"
	d, folder := i.disk, i.config.Directory
	const fix = "correct state_directory in the configuration, or give the folder to the user that runs the syncer: chown"
	switch {
	case d.err != nil:
		return []Check{fail(name, fmt.Sprintf("%s: %v", folder, d.err), fix)}
	case d.free < leastFree:
		return []Check{fail(name, fmt.Sprintf("%s has %s free: the ledger does not fit", folder, size(d.free)), "free some space, or move state_directory to a larger disk")}
	case d.free < goodFree:
		return []Check{warn(name, fmt.Sprintf("%s has only %s free", folder, size(d.free)), "free some space, or move state_directory to a larger disk")}
	case !d.exists:
		return []Check{pass(name, fmt.Sprintf("%s will be created, %s free", folder, size(d.free)))}
	default:
		return []Check{pass(name, fmt.Sprintf("%s can be written to, %s free", folder, size(d.free)))}
	}
}
