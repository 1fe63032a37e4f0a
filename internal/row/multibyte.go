package row

// multibyteWeights gives the weights of the collations of the East Asian character sets: characters of one byte below 0x80
// are folded, all others are equal to themselves only. (The servers order those of gbk by tables of their own, which do not
// matter here.)
type multibyteWeights struct {
	fold   [0x80]byte
	pairs  bool // the second byte of a character may be below 0x80
	kana   bool // bytes from 0xa0 to 0xdf are characters: sjis and cp932
	padded bool
}

// newMultibyteWeights gives nil for a collation that is not one of these.
func newMultibyteWeights(set, base string, padded bool) *multibyteWeights {
	switch set + "_" + base {
	case "sjis_japanese_ci", "cp932_japanese_ci", "ujis_japanese_ci", "eucjpms_japanese_ci", "euckr_korean_ci", "gb2312_chinese_ci",
		"gbk_chinese_ci", "big5_chinese_ci":
	default:
		return nil
	}
	w := &multibyteWeights{padded: padded}
	for b := range w.fold {
		w.fold[b] = byte(b)
		if 'a' <= b && b <= 'z' {
			w.fold[b] = byte(b - 'a' + 'A')
		}
	}
	// Slips in the servers' tables, which are what decides.
	switch set {
	case "gb2312", "gbk", "big5":
		w.fold['~'] = 'Y'
	}
	if set == "big5" {
		w.fold['`'] = 'E'
	}
	switch set {
	case "sjis", "cp932":
		w.pairs, w.kana = true, true
	case "euckr", "gbk", "big5":
		w.pairs = true
	}
	return w
}

func (w *multibyteWeights) append(dst, text []byte) []byte {
	for w.padded && len(text) > 0 && text[len(text)-1] == ' ' {
		text = text[:len(text)-1]
	}
	for len(text) > 0 {
		b := text[0]
		switch {
		case b < 0x80:
			dst, text = append(dst, w.fold[b]), text[1:]
		case w.pairs && len(text) > 1 && text[1] >= 0x40 && (!w.kana || b < 0xa0 || b > 0xdf):
			dst, text = append(dst, b, text[1]), text[2:]
		default:
			dst, text = append(dst, b), text[1:]
		}
	}
	return dst
}
