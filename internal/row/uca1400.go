package row

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"
	"unicode/utf8"
)

// The collations uca1400_* are MariaDB's own, from 10.10 on, and its default from 11.5 on: the Unicode collation
// algorithm with the weights of Unicode 14. A text has weights on three levels: letters, accents, case. Two texts are
// equal when they are equal on every level that the collation looks at: "ai" leaves out the second, "ci" the third. The
// languages' own variants are not here.

// ucaWeights gives the weights of one of these collations.
type ucaWeights struct {
	table  *ucaTable
	levels []int // 0, 1, 2
	padded bool
}

// newUCA1400 gives nil for what is none of these collations, or one of a language.
func newUCA1400(rest string) *ucaWeights {
	rest, ok := strings.CutPrefix(rest, "uca1400_")
	if !ok {
		return nil
	}
	rest, unpadded := strings.CutPrefix(rest, "nopad_")
	w := &ucaWeights{padded: !unpadded}
	switch rest {
	case "ai_ci":
		w.levels = []int{0}
	case "as_ci":
		w.levels = []int{0, 1}
	case "ai_cs":
		w.levels = []int{0, 2}
	case "as_cs":
		w.levels = []int{0, 1, 2}
	default:
		return nil
	}
	if w.table = uca(); w.table == nil {
		return nil
	}
	return w
}

// ucaSpace is the weight of a space on each level.
var ucaSpace = [3][]byte{{0x02, 0x09}, {0x00, 0x20}, {0x00, 0x02}}

// append writes one level after the other, with a weight that does not exist, 0, between them. NO PAD is for the first
// level only: on the others the server ignores trailing weights of a space whatever the collation says.
func (w *ucaWeights) append(dst, text []byte) []byte {
	for i, level := range w.levels {
		if i > 0 {
			dst = append(dst, 0, 0)
		}
		start := len(dst)
		dst = w.table.appendLevel(dst, text, level)
		for (w.padded || level > 0) && len(dst) > start && bytes.Equal(dst[len(dst)-2:], ucaSpace[level]) {
			dst = dst[:len(dst)-2]
		}
	}
	return dst
}

// ucaTable has the weights, two bytes each, big-endian, of the characters and of the sequences that have weights of their
// own. A character without an entry has the weights that the algorithm computes from its number.
type ucaTable struct {
	pages     [0x110000 >> 8]*[256]uint16 // a character's entry, counted from 1
	entries   []ucaEntry
	sequences map[rune][]ucaSequence // by their first character, the longest first
}

type ucaEntry struct {
	levels [3][]byte
	heads  bool // it begins a sequence
}

type ucaSequence struct {
	rest   []byte // the characters behind the first, in UTF-8
	levels [3][]byte
}

func (t *ucaTable) appendLevel(dst, text []byte, level int) []byte {
	for len(text) > 0 {
		r, width := utf8.DecodeRune(text)
		text = text[width:]
		page := t.pages[r>>8]
		if page == nil || page[r&255] == 0 {
			dst = appendImplicit(dst, r, level)
			continue
		}
		entry := &t.entries[page[r&255]-1]
		if entry.heads {
			if s := t.sequence(r, text); s != nil {
				dst, text = append(dst, s.levels[level]...), text[len(s.rest):]
				continue
			}
		}
		dst = append(dst, entry.levels[level]...)
	}
	return dst
}

// sequence finds the longest sequence that begins with r and continues in text.
func (t *ucaTable) sequence(r rune, text []byte) *ucaSequence {
	sequences := t.sequences[r]
	for i := range sequences {
		if bytes.HasPrefix(text, sequences[i].rest) {
			return &sequences[i]
		}
	}
	return nil
}

// appendImplicit appends the weights of a character without an entry: two on the first level, by what kind of character
// it is and its number (the "implicit weights" of Unicode Technical Standard 10, section 10.1.3).
func appendImplicit(dst []byte, r rune, level int) []byte {
	switch level {
	case 1:
		return append(dst, 0, 0x20)
	case 2:
		return append(dst, 0, 0x02)
	}
	lead, trail := 0xfbc0+r>>15, r&0x7fff
	switch {
	case 0x17000 <= r && r <= 0x18aff, 0x18d00 <= r && r <= 0x18d8f: // Tangut
		lead, trail = 0xfb00, r-0x17000
	case 0x1b170 <= r && r <= 0x1b2ff: // Nushu
		lead, trail = 0xfb01, r-0x1b170
	case 0x18b00 <= r && r <= 0x18cff: // Khitan
		lead, trail = 0xfb02, r-0x18b00
	case 0x4e00 <= r && r <= 0x9fff, isCompatibilityHan(r):
		lead = 0xfb40 + r>>15
	case 0x3400 <= r && r <= 0x4dbf, 0x20000 <= r && r <= 0x2a6df, 0x2a700 <= r && r <= 0x2b738, 0x2b740 <= r && r <= 0x2b81d,
		0x2b820 <= r && r <= 0x2cea1, 0x2ceb0 <= r && r <= 0x2ebe0, 0x30000 <= r && r <= 0x3134a:
		lead = 0xfb80 + r>>15
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(lead))
	return binary.BigEndian.AppendUint16(dst, uint16(trail|0x8000))
}

// isCompatibilityHan tells the twelve unified ideographs that stand among the compatibility ideographs.
func isCompatibilityHan(r rune) bool {
	switch r {
	case 0xfa0e, 0xfa0f, 0xfa11, 0xfa13, 0xfa14, 0xfa1f, 0xfa21, 0xfa23, 0xfa24, 0xfa27, 0xfa28, 0xfa29:
		return true
	}
	return false
}

// uca makes the table out of two sections: "uca1400" with the columns: the characters (each as the distance from the one
// before), how many weights each has on each of three levels, all weights of each of three levels (those of the first as
// distances); and "uca1400 sequences" with: how many characters each has, all their characters, then the same.
var uca = sync.OnceValue(func() *ucaTable {
	single, several := section("uca1400"), section("uca1400 sequences")
	if len(single) != 7 || len(several) != 8 {
		return nil
	}
	t := &ucaTable{entries: make([]ucaEntry, len(single[0])), sequences: make(map[rune][]ucaSequence)}
	weights := newWeightColumns(single[1:])
	at := rune(0)
	for i, distance := range single[0] {
		at += rune(distance)
		if t.pages[at>>8] == nil {
			t.pages[at>>8] = new([256]uint16)
		}
		t.pages[at>>8][at&255] = uint16(i + 1)
		t.entries[i].levels = weights.next(i)
	}
	weights = newWeightColumns(several[2:])
	runes := several[1]
	for i, size := range several[0] {
		first := rune(runes[0])
		s := ucaSequence{levels: weights.next(i)}
		for _, r := range runes[1:size] {
			s.rest = utf8.AppendRune(s.rest, rune(r))
		}
		runes = runes[size:]
		t.sequences[first] = append(t.sequences[first], s)
		if page := t.pages[first>>8]; page != nil && page[first&255] > 0 {
			t.entries[page[first&255]-1].heads = true
		}
	}
	return t
})

// weightColumns cuts the columns of weights into those of each entry.
type weightColumns struct {
	counts  [3][]int64
	weights [3][]byte
}

func newWeightColumns(columns table) *weightColumns {
	w := &weightColumns{}
	for level := range 3 {
		w.counts[level] = columns[level]
		previous := int64(0)
		for _, n := range columns[3+level] {
			if level == 0 {
				n += previous
				previous = n
			}
			w.weights[level] = binary.BigEndian.AppendUint16(w.weights[level], uint16(n))
		}
	}
	return w
}

// next gives the weights of the i-th entry; it must be called for one entry after the other.
func (w *weightColumns) next(i int) (levels [3][]byte) {
	for level := range 3 {
		size := 2 * int(w.counts[level][i])
		levels[level], w.weights[level] = w.weights[level][:size:size], w.weights[level][size:]
	}
	return levels
}
