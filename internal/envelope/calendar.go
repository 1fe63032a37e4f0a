package envelope

import (
	"time"

	"meridian/internal/row"
)

const (
	microsPerSecond = 1_000_000
	secondsPerDay   = 86_400
)

// calendarDay gives the days since 1970-01-01 of a date that is in the Gregorian calendar, from year 1 on. MySQL's year 0 has no
// 29th of February, so that its days are not those of anybody else.
func calendarDay(year, month, day int) (days int64, ok bool) {
	if year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 || day > monthDays(year, month) {
		return 0, false
	}
	// Days from civil, with years that begin in March (Howard Hinnant, "chrono-compatible low-level date algorithms").
	y, m := int64(year), int64(month)
	if m <= 2 {
		y--
	}
	era := y / 400
	yearOfEra := y - era*400
	dayOfYear := (153*((m+9)%12)+2)/5 + int64(day) - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return era*146097 + dayOfEra - 719468, true
}

func monthDays(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// civil is calendarDay's inverse, for days of the years 1 to 9999.
func civil(days int64) (year, month, day int, ok bool) {
	const first, last = -719162, 2932896
	if days < first || days > last {
		return 0, 0, 0, false
	}
	d := time.Unix(days*secondsPerDay, 0).UTC()
	return d.Year(), int(d.Month()), d.Day(), true
}

// datetimeMicros gives the microseconds since 1970 of a Datetime, read as if it were UTC, if it is in the calendar.
func datetimeMicros(v row.Value) (int64, bool) {
	year, month, day, hour, minute, second, micros := v.DatetimeParts()
	days, ok := calendarDay(year, month, day)
	if !ok || hour > 23 || minute > 59 || second > 59 || micros >= microsPerSecond {
		return 0, false
	}
	return ((days*24+int64(hour))*60+int64(minute))*60*microsPerSecond + int64(second)*microsPerSecond + int64(micros), true
}

// microsDatetime is datetimeMicros' inverse.
func microsDatetime(micros int64) (row.Value, bool) {
	seconds, fraction := floorDiv(micros, microsPerSecond)
	days, second := floorDiv(seconds, secondsPerDay)
	year, month, day, ok := civil(days)
	if !ok {
		return row.Value{}, false
	}
	return row.DatetimeValue(year, month, day, int(second/3600), int(second/60%60), int(second%60), int(fraction)), true
}

func floorDiv(a, b int64) (quotient, remainder int64) {
	quotient, remainder = a/b, a%b
	if remainder < 0 {
		quotient--
		remainder += b
	}
	return quotient, remainder
}
