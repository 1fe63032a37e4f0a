package row

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"meridian/internal/testenv"
)

// serverCollation is a collation with its character set.
type serverCollation struct{ name, set string }

// supportedCollations gives those of a server that may be in a key, and the names of the others.
func (s *session) supportedCollations(mariadb bool) (supported []serverCollation, others []string) {
	query := "SELECT collation_name, character_set_name FROM information_schema.collations ORDER BY 1"
	if mariadb {
		query = "SELECT full_collation_name, character_set_name FROM information_schema.collation_character_set_applicability ORDER BY 1"
	}
	for _, row := range s.query(query) {
		if KeyCollation(string(row[0])) != nil {
			others = append(others, string(row[0]))
			continue
		}
		if string(row[0]) != "binary" {
			supported = append(supported, serverCollation{string(row[0]), string(row[1])})
		}
	}
	return supported, others
}

// tricky are characters that collations treat specially: letters in both cases and with accents, precomposed and not,
// letter pairs that are one letter somewhere, spaces that are not U+0020, ignorable and unassigned characters.
var tricky = []rune("aAbcCdDhHeElLjJnNsSzZiIıoOuUyßẞæÆøåÅöüéèÉñœŒﬁĳǆ    \t\u0000\u00a0\u3000\u00ad\u200b'-." +
	"\u0301\u0308\u030a\u0327\u0306ｱアあァぁがカ゛ー々中文\u0e40\u0e01\u0e44\u0f71\u0f72\u0f80\u0fb2각가" +
	"\u05d0\u0628\u0640\u0627\u0653иИйъёЕЁїѣ\u09c7\u09be𠀀😀\U0001f4a9\ufffd\uffff\ufdfa＇Ａａ")

func randomText(random *rand.Rand) string {
	var b strings.Builder
	for range random.IntN(6) {
		b.WriteRune(tricky[random.IntN(len(tricky))])
	}
	return b.String()
}

// variant changes a text a little, so that many collations call the two equal.
func variant(random *rand.Rand, text string) string {
	switch random.IntN(7) {
	case 0:
		return strings.ToUpper(text)
	case 1:
		return strings.ToLower(text)
	case 2:
		return text + strings.Repeat(" ", 1+random.IntN(2))
	case 3:
		return text + "\u00a0"
	case 4:
		return strings.NewReplacer("ß", "ss", "æ", "ae", "Å", "Å", "é", "e\u0301", "ö", "o", "ñ", "n", "ア", "あ", "が", "か\u3099").Replace(text)
	case 5:
		return text + string(tricky[random.IntN(len(tricky))])
	default:
		return randomText(random)
	}
}

// The one property that a Key must have: two texts have one Key exactly when the server calls them equal.
func TestKey_IsOneWhereTheServerCallsTextsEqual(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	var left, right []string
	for range 500 {
		a := randomText(random)
		left, right = append(left, a), append(right, variant(random, a))
	}
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			s := openSession(t, db)
			s.fill("a", asText, left)
			s.fill("b", asText, right)
			collations, _ := s.supportedCollations(db.Flavor == "mariadb")
			if len(collations) < 200 {
				t.Fatalf("only %d collations", len(collations))
			}
			for _, c := range collations {
				if strings.HasPrefix(name, "MariaDB") && strings.Contains(c.name, "0900") {
					continue // other weights than the name says, see KeyCollation
				}
				compareEquality(t, s, c)
			}
		})
	}
}

func compareEquality(t *testing.T, s *session, c serverCollation) {
	t.Helper()
	a, b := "CONVERT(a.v USING "+c.set+")", "CONVERT(b.v USING "+c.set+")"
	table := textTable(c)
	equal, faults := 0, 0
	for _, row := range s.query(fmt.Sprintf("SELECT CAST(%s AS BINARY), CAST(%s AS BINARY), %s COLLATE %s = %s FROM a JOIN b ON a.id = b.id", a, b, a, c.name, b)) {
		same := string(row[2]) == "1"
		one, other := keyOfStored(t, table, row[0]), keyOfStored(t, table, row[1])
		if same {
			equal++
		}
		if (one == other) != same {
			if faults++; faults < 4 {
				t.Errorf("%s: %x and %x: equal %v, keys %x and %x", c.name, row[0], row[1], same, one, other)
			}
		}
	}
	if equal == 0 {
		t.Errorf("%s: no two texts are equal", c.name)
	}
}

// textTable has a text of a collation for its key.
func textTable(c serverCollation) *Table {
	return NewTable("s", "t", []Column{{Name: "k", Type: TypeText, Charset: c.set, Collation: c.name}}, []int{0})
}

func keyOfStored(t *testing.T, table *Table, stored []byte) Key {
	t.Helper()
	v, err := FromText(&table.Columns[0], stored)
	if err != nil {
		t.Fatal(err)
	}
	key, err := table.KeyOf([]Value{v})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Weights byte for byte, for each character of the first two planes, in the collations that tables really have. Ours come
// from the collation's NO PAD twin, as the server does not take the weights of trailing spaces away.
func TestKey_HasTheServersWeights(t *testing.T) {
	var characters []string
	for r := rune(0); r < 0x20000; r += 1 + r>>12 { // all of the scripts with cases and accents, and some of each other
		if utf8.ValidRune(r) {
			characters = append(characters, string(r))
		}
	}
	for name, collations := range map[string]map[string]string{
		"MySQL 9.7": {"utf8mb4_0900_ai_ci": "utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs": "utf8mb4_0900_as_cs", "utf8mb4_general_ci": "utf8mb4_general_nopad_ci",
			"utf8mb4_unicode_ci": "utf8mb4_unicode_nopad_ci", "utf8mb4_unicode_520_ci": "utf8mb4_unicode_520_nopad_ci"},
		"MariaDB 11.8": {"utf8mb4_general_ci": "utf8mb4_general_nopad_ci", "utf8mb4_unicode_ci": "utf8mb4_unicode_nopad_ci",
			"utf8mb4_uca1400_ai_ci": "utf8mb4_uca1400_nopad_ai_ci", "utf8mb4_uca1400_as_cs": "utf8mb4_uca1400_nopad_as_cs"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openSession(t, databases(t)[name])
			s.fill("c", asText, characters)
			for theirs, ours := range collations {
				c, err := lookupCollation(ours)
				if err != nil {
					t.Fatal(err)
				}
				faults := 0
				for _, row := range s.query("SELECT v, WEIGHT_STRING(v COLLATE " + theirs + ") FROM c") {
					got := untrimmed(c.weights, row[0])
					if !slices.Equal(got, row[1]) {
						if faults++; faults < 4 {
							t.Errorf("%s: %+q has the weights %x, the server says %x", theirs, row[0], got, row[1])
						}
					}
				}
			}
		})
	}
}

// untrimmed gives the weights of a NO PAD collation, those of uca1400 as the server does: with trailing weights of a space
// on all levels, and nothing between the levels.
func untrimmed(w weigher, text []byte) []byte {
	u, ok := w.(*ucaWeights)
	if !ok {
		return w.append(nil, text)
	}
	var weights []byte
	for _, level := range u.levels {
		weights = u.table.appendLevel(weights, text, level)
	}
	return weights
}

// Sequences of characters with weights of their own, in the collations whose tables are Meridian's.
func TestKey_OfSequencesInUCA1400(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 1))
	table := uca()
	var heads []rune
	for r := range table.sequences {
		heads = append(heads, r)
	}
	slices.Sort(heads)
	var list []string
	for range 20000 {
		var b strings.Builder
		for range 1 + random.IntN(3) {
			r := heads[random.IntN(len(heads))]
			b.WriteRune(r)
			if rest := table.sequences[r]; random.IntN(3) > 0 {
				b.Write(rest[random.IntN(len(rest))].rest)
			}
			if random.IntN(4) == 0 {
				b.WriteRune(tricky[random.IntN(len(tricky))])
			}
		}
		list = append(list, b.String())
	}
	s := openSession(t, testenv.SharedMariaDB(t))
	s.fill("c", asText, list)
	c, err := lookupCollation("utf8mb4_uca1400_nopad_as_cs")
	if err != nil {
		t.Fatal(err)
	}
	faults := 0
	for _, row := range s.query("SELECT v, WEIGHT_STRING(v COLLATE utf8mb4_uca1400_as_cs) FROM c") {
		if got := untrimmed(c.weights, row[0]); !slices.Equal(got, row[1]) {
			if faults++; faults < 6 {
				t.Errorf("%+q has the weights %x, the server says %x", row[0], got, row[1])
			}
		}
	}
}

// What is not supported is known, so that a new server version's collations are looked at before they are used.
func TestKeyCollation_NamesWhatIsNotSupported(t *testing.T) {
	for name, want := range map[string][]string{
		"MySQL 9.7": {"cp1250_czech_cs", "gb18030_chinese_ci", "latin1_german2_ci", "latin2_czech_cs", "tis620_thai_ci", "ucs2_croatian_ci",
			"ucs2_general_mysql500_ci", "utf16_croatian_ci", "utf32_croatian_ci", "utf8mb3_croatian_ci", "utf8mb3_general_mysql500_ci",
			"utf8mb3_tolower_ci", "utf8mb4_croatian_ci"},
		"MariaDB 11.8": {"cp1250_czech_cs", "latin1_german2_ci", "latin2_czech_cs", "tis620_thai_ci", "tis620_thai_nopad_ci"},
	} {
		_, others := openSession(t, databases(t)[name]).supportedCollations(name != "MySQL 9.7")
		others = slices.DeleteFunc(others, func(c string) bool {
			_, rest, _ := strings.Cut(c, "_")
			return name != "MySQL 9.7" && (strings.HasPrefix(rest, "uca1400_") || strings.Contains(rest, "croatian") || strings.Contains(rest, "myanmar") ||
				strings.Contains(rest, "thai_520") || strings.Contains(rest, "general1400") || strings.Contains(rest, "mysql500"))
		})
		slices.Sort(others)
		if !slices.Equal(others, want) {
			t.Errorf("%s: not supported are %q, want %q", name, others, want)
		}
	}
}

// The folding of the East Asian collations, for every character that they fold.
func TestKey_FoldsASCIIAsTheServerDoes(t *testing.T) {
	var list []string
	for b := range 0x80 {
		list = append(list, string(rune(b)))
	}
	for name, db := range databases(t) {
		s := openSession(t, db)
		s.fill("a", asText, list)
		for _, collation := range []string{"sjis_japanese_ci", "cp932_japanese_ci", "ujis_japanese_ci", "eucjpms_japanese_ci", "euckr_korean_ci", "gb2312_chinese_ci", "gbk_chinese_ci", "big5_chinese_ci"} {
			set, _, _ := strings.Cut(collation, "_")
			table := textTable(serverCollation{collation, set})
			a, b := "CONVERT(a.v USING "+set+")", "CONVERT(b.v USING "+set+")"
			pairs := s.query(fmt.Sprintf("SELECT CAST(%s AS BINARY), CAST(%s AS BINARY), %s COLLATE %s = %s FROM a JOIN a b", a, b, a, collation, b))
			keys := map[string]Key{}
			for _, row := range pairs {
				keys[string(row[0])] = ""
			}
			for stored := range keys {
				keys[stored] = keyOfStored(t, table, []byte(stored))
			}
			for _, row := range pairs {
				if (keys[string(row[0])] == keys[string(row[1])]) != (string(row[2]) == "1") {
					t.Errorf("%s, %s: %q and %q: equal %s", name, collation, row[0], row[1], row[2])
				}
			}
		}
	}
}
