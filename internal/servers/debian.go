package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// requirement is something of the system that a recipe needs, and the Debian package that has it.
type requirement struct {
	program string // looked for in the PATH, or a path
	pkg     string
}

func (r requirement) met() bool {
	if strings.HasPrefix(r.program, "/") {
		_, err := os.Stat(r.program)
		return err == nil
	}
	_, err := exec.LookPath(r.program)
	return err == nil
}

// require sees to it that the machine has what a recipe needs, and installs packages if it may.
func (i *Installer) require(ctx context.Context, requirements ...requirement) error {
	if len(unmet(requirements)) == 0 {
		return nil
	}
	unlock, err := i.lock(ctx, "apt") // apt-get itself does not wait for another that updates its lists
	if err != nil {
		return err
	}
	return errors.Join(i.requireLocked(ctx, requirements), unlock())
}

func (i *Installer) requireLocked(ctx context.Context, requirements []requirement) error {
	missing := unmet(requirements)
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("this machine lacks what the Debian packages %s bring, and has no apt-get to install them with: "+
			"install their equivalent, or a server of the kind itself", names)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("the packages %s are missing: install them with `sudo apt-get install %s`, or run this as root", names, names)
	}
	if err := i.say("apt-get install %s", names); err != nil {
		return err
	}
	install := append([]string{apt, "-o", "DPkg::Lock::Timeout=600", "install", "-y", "--no-install-recommends"}, missing...)
	if err := i.command(ctx, "", install...); err != nil {
		// The usual reason is that the package lists are missing or old.
		if updateErr := i.command(ctx, "", apt, "update"); updateErr != nil {
			return errors.Join(err, updateErr)
		}
		if err := i.command(ctx, "", install...); err != nil {
			return err
		}
	}
	if missing := unmet(requirements); len(missing) > 0 {
		return fmt.Errorf("apt-get installed %s, and still what they should bring is missing", strings.Join(missing, " "))
	}
	return nil
}

func unmet(requirements []requirement) []string {
	var missing []string
	for _, r := range requirements {
		if !r.met() {
			missing = append(missing, r.pkg)
		}
	}
	return missing
}

// Compiler sees to it that the machine has a C compiler: Go's race detector does not link without one.
func (i *Installer) Compiler(ctx context.Context) error {
	for _, name := range []string{os.Getenv("CC"), "gcc", "clang"} {
		if _, err := exec.LookPath(name); err == nil {
			return nil
		}
	}
	return i.require(ctx, requirement{"gcc", "gcc"}, requirement{"/usr/include/stdlib.h", "libc6-dev"})
}

// debianTree unpacks packages of a Debian release, and all that they depend on, into root. Nothing
// of them is installed on the machine, and no maintainer script runs; the tree brings its own C
// library, so that the machine's release does not matter.
func (i *Installer) debianTree(ctx context.Context, kind Kind, root, release, packages string) error {
	err := i.require(ctx,
		requirement{"mmdebstrap", "mmdebstrap"},
		requirement{"/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"})
	if err != nil {
		return err
	}
	if err := i.say("%s: unpacking %s of Debian %s", kind, packages, release); err != nil {
		return err
	}
	return i.command(ctx, "", "mmdebstrap", "--variant=extract",
		`--aptopt=Acquire::Check-Valid-Until "false"`, "--include="+packages, release, root)
}
