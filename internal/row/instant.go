package row

import "time"

// Instant gives the time of a Datetime (read as if it were UTC) or a Timestamp, in microseconds since 1970; false for
// other kinds, and for what is no time: zero and invalid dates.
func (v Value) Instant() (micros int64, ok bool) {
	switch v.Kind {
	case Timestamp:
		return v.Int64(), v.Num != 0
	case Datetime:
		year, month, day, hour, minute, second, fraction := v.DatetimeParts()
		t := time.Date(year, time.Month(month), day, hour, minute, second, fraction*1000, time.UTC)
		valid := month >= 1 && month <= 12 && day >= 1 && t.Day() == day
		return t.UnixMicro(), valid
	default:
		return 0, false
	}
}
