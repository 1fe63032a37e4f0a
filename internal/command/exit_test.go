package command

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{errors.New("boom"), 1, "syncer: boom\n"},
		{fmt.Errorf("x: %w", ErrReported), 1, ""},
		{fmt.Errorf("x: %w", ErrFound), 3, ""},
		{fmt.Errorf("x: %w", &UsageError{"how?"}), 2, "syncer: how?\n"},
	} {
		var stderr bytes.Buffer
		if code := ExitCode("syncer", c.err, &stderr); code != c.code || stderr.String() != c.says {
			t.Errorf("%v: %d %q", c.err, code, stderr.String())
		}
	}
}
