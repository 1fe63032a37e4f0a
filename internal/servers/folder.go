package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Folder is a folder for a server that nobody needs when the process that made it has ended. One
// that a killed process left behind is removed by the next that makes one.
type Folder struct {
	Path string
	lock *os.File
}

const (
	folderPattern = "meridian-server-*"
	folderLock    = "meridian-lock" // locked for as long as the folder's process lives
	folderKeep    = "meridian-keep" // stands in a folder that is to stay
)

var sweepOnce = sync.OnceValue(sweepFolders)

// NewFolder makes one below the system's folder for temporary files.
func NewFolder() (*Folder, error) {
	if err := sweepOnce(); err != nil {
		return nil, err
	}
	for {
		path, err := os.MkdirTemp("", folderPattern)
		if err != nil {
			return nil, fmt.Errorf("making a folder for a server: %w", err)
		}
		lock, err := tryLock(filepath.Join(path, folderLock))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("making a folder for a server: %w", err)
		}
		if lock != nil {
			return &Folder{Path: path, lock: lock}, nil
		}
		// Another process swept it away between its making and its locking: make another.
	}
}

// Keep lets the folder stay when the process has ended, for somebody to look at.
func (f *Folder) Keep() error {
	return errors.Join(os.WriteFile(filepath.Join(f.Path, folderKeep), nil, 0o600), f.lock.Close())
}

// Remove removes the folder with all that is in it.
func (f *Folder) Remove() error { return errors.Join(os.RemoveAll(f.Path), f.lock.Close()) }

// sweepFolders removes the folders of processes that are gone.
func sweepFolders() error {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), folderPattern))
	if err != nil {
		return err
	}
	for _, path := range folders {
		if _, err := os.Stat(filepath.Join(path, folderKeep)); err == nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(path, folderLock)); err != nil {
			continue // being made right now, or not ours
		}
		lock, err := tryLock(filepath.Join(path, folderLock))
		if err != nil || lock == nil {
			continue // in use, gone by now, or another user's
		}
		if err := errors.Join(os.RemoveAll(path), lock.Close()); err != nil {
			return fmt.Errorf("removing what a killed process left behind: %w", err)
		}
	}
	return nil
}
