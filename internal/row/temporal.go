package row

import "strconv"

// appendDate appends YYYY-MM-DD.
func appendDate(dst []byte, year, month, day int) []byte {
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), month, 2)
	return appendPadded(append(dst, '-'), day, 2)
}

// appendClock appends HH:MM:SS and as many digits of the microseconds as asked for.
func appendClock(dst []byte, hour, minute, second, micros, digits int) []byte {
	dst = appendPadded(dst, hour, 2)
	dst = appendPadded(append(dst, ':'), minute, 2)
	dst = appendPadded(append(dst, ':'), second, 2)
	if digits > 0 {
		for range 6 - digits {
			micros /= 10
		}
		dst = appendPadded(append(dst, '.'), micros, digits)
	}
	return dst
}

// appendTime appends a TIME in signed microseconds.
func appendTime(dst []byte, micros int64, digits int) []byte {
	if micros < 0 {
		dst, micros = append(dst, '-'), -micros
	}
	seconds := micros / 1e6
	return appendClock(dst, int(seconds/3600), int(seconds/60%60), int(seconds%60), int(micros%1e6), digits)
}

// appendPadded appends a number with leading zeros up to a width.
func appendPadded(dst []byte, n, width int) []byte {
	var room [20]byte
	text := strconv.AppendInt(room[:0], int64(n), 10)
	for range width - len(text) {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}
