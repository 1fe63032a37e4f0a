package envelope

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"meridian/internal/row"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// difference tells how two messages differ.
func difference(want, got *Message) string { return cmp.Diff(dump(want), dump(got)) }

// dump writes all of a message, but for the labels of its columns: they do not travel.
func dump(m *Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s epoch %d time %d\n%+v\n", m.Kind, m.Epoch, m.Time, m.Source)
	for _, content := range []any{m.Start, m.Watermark} {
		text, err := json.Marshal(content)
		fmt.Fprintf(&b, "%s %v\n", text, err)
	}
	c := m.Change
	if c == nil {
		return b.String()
	}
	fmt.Fprintf(&b, "%s %q digest %016x version %v over %v\n", c.Op, c.Key, c.Digest, c.Version, c.Overwrote)
	fmt.Fprintf(&b, "table %q %q key %v\n", c.Table.Schema, c.Table.Name, c.Table.PrimaryKey)
	for i, column := range c.Table.Columns {
		column.Labels = nil
		fmt.Fprintf(&b, "column %d %+v\n", i, column)
	}
	dumpImage(&b, "before", c.Before)
	dumpImage(&b, "after", c.After)
	return b.String()
}

func dumpImage(b *strings.Builder, name string, values []row.Value) {
	fmt.Fprintf(b, "%s exists: %t\n", name, values != nil)
	for i, v := range values {
		fmt.Fprintf(b, "%s %d kind %d num %x bytes %q\n", name, i, v.Kind, v.Num, v.Bytes)
	}
}
