package row

import (
	"bytes"
	"slices"
	"testing"
	"unicode/utf8"

	"meridian/internal/testenv"
)

// databases are the servers that decide what bytes mean, by name.
func databases(t *testing.T) map[string]*testenv.Database {
	return map[string]*testenv.Database{"MySQL 9.7": testenv.SharedMySQL(t), "MariaDB 10.11": testenv.SharedMariaDB1011(t), "MariaDB 11.8": testenv.SharedMariaDB(t)}
}

// undecoded are the character sets that DecodeText leaves alone.
var undecoded = map[string]bool{"binary": true}

// Every code of every character set: text exactly where the server reads a character and writes it as the same code.
func TestDecodeText_IsTextWhereTheServerReadsAndWritesTheSame(t *testing.T) {
	for name, db := range databases(t) {
		if name == "MariaDB 11.8" {
			continue // it has the character sets of 10.11
		}
		t.Run(name, func(t *testing.T) {
			s := openSession(t, db)
			var narrow, wide []string
			for i := range 256 {
				narrow = append(narrow, string([]byte{byte(i)}))
			}
			wide = append(wide, narrow...)
			for i := 0; i < 1<<15; i += 11 { // in UTF-16 and UCS-2 only
				wide = append(wide, string([]byte{byte(i >> 8), byte(i)}))
			}
			for i := 1 << 15; i < 1<<16; i++ {
				wide = append(wide, string([]byte{byte(i >> 8), byte(i)}))
			}
			for i := 0xa1a1; i < 1<<16; i += 3 { // the third plane of the EUC sets
				wide = append(wide, string([]byte{0x8f, byte(i >> 8), byte(i)}))
			}
			for r := rune(0); r <= utf8.MaxRune; r += 1 + r>>9 { // UTF-16 and UTF-32
				wide = append(wide, string([]byte{0, byte(r >> 16), byte(r >> 8), byte(r)}))
				if r > 0xffff {
					wide = append(wide, string([]byte{0xd8 | byte((r-0x10000)>>18), byte((r - 0x10000) >> 10), 0xdc | byte(r>>8)&3, byte(r)}))
				}
			}
			s.fill("narrow", asBytes, narrow)
			s.fill("wide", asBytes, wide)
			if db.Flavor == "mysql" {
				four := slices.Clone(wide)
				for n := rune(0); n < 39420; n++ {
					four = append(four, string(gb18030Code(n)))
				}
				for n := rune(189000); n < 189000+1<<20; n += 997 {
					four = append(four, string(gb18030Code(n)))
				}
				s.fill("four", asBytes, four)
			}
			for _, row := range s.query("SELECT character_set_name, maxlen FROM information_schema.character_sets") {
				set := string(row[0])
				if undecoded[set] {
					continue
				}
				table := "wide"
				switch {
				case set == "gb18030":
					table = "four"
				case string(row[1]) == "1":
					table = "narrow"
				}
				compareCharset(t, s, set, table)
			}
		})
	}
}

// gb18030Code gives the four bytes of GB 18030 for a number counted from its first four-byte code.
func gb18030Code(n rune) []byte {
	return []byte{byte(0x81 + n/12600), byte(0x30 + n/1260%10), byte(0x81 + n/10%126), byte(0x30 + n%10)}
}

func compareCharset(t *testing.T, s *session, set, codes string) {
	t.Helper()
	faults, decoded := 0, 0
	for _, row := range s.query("SELECT v, CAST(u AS BINARY), CAST(CONVERT(u USING " + set + ") AS BINARY) FROM " +
		"(SELECT v, CONVERT(CONVERT(v USING " + set + ") USING utf8mb4) u FROM " + codes + ") x") {
		code, text, back := row[0], row[1], row[2]
		// The server completes and cuts what is no whole character; only what it takes as one is compared.
		if text != nil && utf8.RuneCount(text) != 1 {
			continue
		}
		want := text != nil && bytes.Equal(code, back)
		got, ok := DecodeText(set, code)
		if ok != want || (ok && !bytes.Equal(got, text)) {
			if utf8.RuneCount(got) != 1 && text == nil {
				continue // two characters of one byte
			}
			if faults++; faults < 5 {
				t.Errorf("%s: %x is %q (text: %v) for DecodeText; the server reads %q and writes it as %x", set, code, got, ok, text, back)
			}
		}
		if ok {
			decoded++
		}
	}
	if decoded < 100 {
		t.Errorf("%s: only %d codes are text", set, decoded)
	}
	if faults > 0 {
		t.Errorf("%s: %d codes differ", set, faults)
	}
}
