package binlog

import (
	"net/netip"
	"strconv"
)

// appendFixed appends the text of MariaDB's types of a fixed size, as the server writes it.
func appendFixed(dst []byte, as content, b []byte) []byte {
	switch as {
	case contentUUID:
		return appendMariaUUID(dst, [16]byte(b))
	case contentInet4:
		return netip.AddrFrom4([4]byte(b)).AppendTo(dst)
	default:
		return appendInet6(dst, [16]byte(b))
	}
}

// appendMariaUUID appends a UUID from the form in which MariaDB stores it. So that UUIDs that carry a time sort by it,
// those of the versions 1 to 5 are stored with their five groups in reverse order; 6 and later sort as they are.
// plugin/type_uuid/sql_type_uuid.h, UUID::record_to_memory.
func appendMariaUUID(dst []byte, stored [16]byte) []byte {
	u := stored
	if stored[6]&0x80 != 0 && stored[8] > 0 && stored[8] < 0x60 {
		copy(u[0:4], stored[12:16])
		copy(u[4:6], stored[10:12])
		copy(u[6:8], stored[8:10])
		copy(u[8:10], stored[6:8])
		copy(u[10:16], stored[0:6])
	}
	return appendUUID(dst, u)
}

// appendInet6 appends an address with the longest run of zero groups shortened, and an address of the old kind that is
// embedded in it with dots: strings/…/sql_type_inet.cc, Inet6::to_string.
func appendInet6(dst []byte, b [16]byte) []byte {
	var groups [8]uint16
	for i := range groups {
		groups[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	gap, gapLength := -1, 1
	for i := 0; i < len(groups); i++ {
		j := i
		for j < len(groups) && groups[j] == 0 {
			j++
		}
		if j-i > gapLength {
			gap, gapLength = i, j-i
		}
		i = j
	}
	for i := 0; i < len(groups); i++ {
		if i == gap {
			if i == 0 {
				dst = append(dst, ':')
			}
			dst = append(dst, ':')
			i += gapLength - 1
			continue
		}
		if i == 6 && gap == 0 && (gapLength == 6 || gapLength == 5 && groups[5] == 0xffff) {
			return netip.AddrFrom4([4]byte(b[12:])).AppendTo(dst)
		}
		dst = strconv.AppendUint(dst, uint64(groups[i]), 16)
		if i < len(groups)-1 {
			dst = append(dst, ':')
		}
	}
	return dst
}

