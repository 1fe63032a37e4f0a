package row

import (
	"encoding/hex"
	"net/netip"
	"strconv"
)

// AppendUUID appends the text of a MariaDB UUID out of the 16 bytes that a row image holds (trailing 0x00 may be missing).
// MariaDB stores time-based and older UUIDs with their parts in reverse order, so that they sort by time, and the others
// as they are (sql_type_uuid.h in the server's source).
func AppendUUID(dst, stored []byte) []byte {
	var u [16]byte
	copy(u[:], stored)
	// A UUID stored in reverse has its variant in byte 6 and its version in byte 8.
	if u[6]&0x80 != 0 && u[8] > 0 && u[8] < 0x60 {
		u = [16]byte{u[12], u[13], u[14], u[15], u[10], u[11], u[8], u[9], u[6], u[7], u[0], u[1], u[2], u[3], u[4], u[5]}
	}
	dst = append(hex.AppendEncode(dst, u[:4]), '-')
	dst = append(hex.AppendEncode(dst, u[4:6]), '-')
	dst = append(hex.AppendEncode(dst, u[6:8]), '-')
	dst = append(hex.AppendEncode(dst, u[8:10]), '-')
	return hex.AppendEncode(dst, u[10:])
}

// AppendInet4 appends the text of a MariaDB INET4 out of its 4 bytes (trailing 0x00 may be missing).
func AppendInet4(dst, stored []byte) []byte {
	var a [4]byte
	copy(a[:], stored)
	return netip.AddrFrom4(a).AppendTo(dst)
}

// AppendInet6 appends the text of a MariaDB INET6 out of its 16 bytes (trailing 0x00 may be missing), as the server
// prints it: the first of the longest runs of zero groups, even a single one, as "::", the last 32 bits as an IPv4 address where the address
// is an IPv4-compatible or IPv4-mapped one.
func AppendInet6(dst, stored []byte) []byte {
	var a [16]byte
	copy(a[:], stored)
	var groups [8]uint16
	for i := range groups {
		groups[i] = uint16(a[2*i])<<8 | uint16(a[2*i+1])
	}
	from, length := longestZeros(groups)
	for i := 0; i < len(groups); i++ {
		if length > 0 && i == from {
			dst = append(dst, ':')
			if i == 0 {
				dst = append(dst, ':')
			}
			i += length - 1
			continue
		}
		if i == 6 && from == 0 && (length == 6 || (length == 5 && groups[5] == 0xffff)) {
			return netip.AddrFrom4([4]byte(a[12:])).AppendTo(dst)
		}
		dst = strconv.AppendUint(dst, uint64(groups[i]), 16)
		if i < len(groups)-1 {
			dst = append(dst, ':')
		}
	}
	return dst
}

// longestZeros gives the first of the longest runs of zero groups.
func longestZeros(groups [8]uint16) (from, length int) {
	for i := 0; i < len(groups); i++ {
		n := 0
		for i+n < len(groups) && groups[i+n] == 0 {
			n++
		}
		if n > length {
			from, length = i, n
		}
		i += n
	}
	return from, length
}
