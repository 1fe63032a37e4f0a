package row

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version says when and where a row was written. Versions are totally ordered: time first, region as the tie-break.
// A version is given once, by the ledger of the region where the write was committed, and travels unchanged.
//
// The zero Version is the baseline: a row that was there before Meridian came, older than any stamped one.
type Version struct {
	Time   int64  // microseconds since 1970-01-01 UTC
	Region string // where the row was written
}

// Compare orders versions: negative when v is older than w, zero when they are the same write.
func (v Version) Compare(w Version) int {
	if c := cmp.Compare(v.Time, w.Time); c != 0 {
		return c
	}
	return strings.Compare(v.Region, w.Region)
}

// Newer tells whether v wins over w.
func (v Version) Newer(w Version) bool { return v.Compare(w) > 0 }

// IsBaseline tells whether v is the zero version.
func (v Version) IsBaseline() bool { return v == Version{} }

// String gives "TIME@REGION", TIME in microseconds since 1970; "baseline" for the zero version.
func (v Version) String() string {
	if v.IsBaseline() {
		return "baseline"
	}
	return strconv.FormatInt(v.Time, 10) + "@" + v.Region
}

// ParseVersion reads what String wrote.
func ParseVersion(s string) (Version, error) {
	if s == "baseline" {
		return Version{}, nil
	}
	t, region, ok := strings.Cut(s, "@")
	if !ok || region == "" {
		return Version{}, fmt.Errorf("version %q is not TIME@REGION", s)
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return Version{}, fmt.Errorf("version %q: time: %w", s, err)
	}
	return Version{Time: n, Region: region}, nil
}
