package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes.
type Size int64

// The units of sizes in a configuration.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

var sizeUnits = []struct {
	name string
	size Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

// String gives the size in the largest unit that it is a whole number of.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return "0B"
}

// parseSize reads "64MiB". Decimal units are refused: whether MB means 1000² or 1024² is anybody's guess.
func parseSize(text string) (Size, error) {
	digits := strings.TrimRight(text, "BKMGTPbkmgtpiI ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("is no size: %q (write it like 64MiB)", text)
	}
	unit := strings.TrimPrefix(text, digits)
	if unit == "" {
		return 0, fmt.Errorf("has no unit: %q (write it like 64MiB; B, KiB, MiB, GiB and TiB are known)", text)
	}
	for _, u := range sizeUnits {
		if u.name == unit {
			if n > math.MaxInt64/int64(u.size) {
				return 0, fmt.Errorf("is too large: %q", text)
			}
			return Size(n) * u.size, nil
		}
	}
	return 0, fmt.Errorf("has the unknown unit %q (write it like 64MiB; B, KiB, MiB, GiB and TiB are known)", strings.TrimSpace(unit))
}

// parseDuration reads "5s", "1h30m", "500ms".
func parseDuration(text string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil && text != "0" {
		return 0, fmt.Errorf("has no unit: %q (write it like %ss; ms, s, m and h are known)", text, text)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("is no duration: %q (write it like 5s; ms, s, m and h are known, a day is 24h)", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("is less than nothing: %q", text)
	}
	return d, nil
}
