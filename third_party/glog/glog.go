// Package glog stands in for github.com/golang/glog, by a replace directive in Meridian's go.mod.
//
// Nothing in Meridian logs through glog: it comes with vitess's collation tables, whose package imports vitess's log
// package. The real one starts a goroutine that never ends and registers command-line flags as soon as a program links
// it; Meridian promises that no goroutine outlives Run, and every package that imports internal/row would carry an
// exception in its leak test. So this package has the names that vitess needs, writes what it is given to stderr, and
// does nothing else.
package glog

import (
	"fmt"
	"os"
)

// Level is a verbosity level.
type Level int32

// Verbose tells whether a level is logged: never.
type Verbose bool

// MaxSize is the size at which the real package rotates its files, in bytes.
var MaxSize uint64 = 1024 * 1024 * 1800

// V tells whether messages of a level are wanted: none is.
func V(Level) Verbose { return false }

// Info logs nothing, as no level is wanted.
func (Verbose) Info(...any) {}

// Infof logs nothing, as no level is wanted.
func (Verbose) Infof(string, ...any) {}

// Flush has nothing to flush.
func Flush() {}

// InfoDepth logs nothing.
func InfoDepth(int, ...any) {}

// WarningDepth writes a warning to stderr.
func WarningDepth(_ int, args ...any) { fmt.Fprintln(os.Stderr, args...) }

// ErrorDepth writes an error to stderr.
func ErrorDepth(_ int, args ...any) { fmt.Fprintln(os.Stderr, args...) }
