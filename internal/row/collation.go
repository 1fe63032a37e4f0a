package row

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"vitess.io/vitess/go/mysql/collations"
	"vitess.io/vitess/go/mysql/collations/charset"
	"vitess.io/vitess/go/mysql/collations/colldata"
)

// collation tells which texts the database takes for the same primary key. It gives a text the weights that the server
// compares (its WEIGHT_STRING), in which two texts are the same when the collation calls them equal.
type collation struct {
	name    string
	padded  bool            // PAD SPACE: trailing spaces do not count
	weights weigher         // nil for a _bin collation: a text's weights are its bytes
	charset charset.Charset // what the weights are computed from; nil for UTF-8
}

// weigher appends the weights of a text, without those of trailing spaces where the collation ignores them.
type weigher interface {
	append(dst, text []byte) []byte
}

// appendKey appends the canonical bytes of a text as part of a key: a tag, a length, the weights.
func (c *collation) appendKey(dst []byte, v Value) []byte {
	text := v.Bytes
	switch {
	case c.weights == nil:
		tag := byte(tagText)
		if v.Kind == RawText {
			tag = tagRawText
		}
		for c.padded && len(text) > 0 && text[len(text)-1] == ' ' {
			text = text[:len(text)-1]
		}
		return appendBytes(dst, tag, text)
	case c.charset == nil && v.Kind == RawText:
		// No weights are defined for what is no text; the bytes are all there is.
		return appendBytes(dst, tagRawText, text)
	case c.charset != nil && v.Kind == Text:
		buffer := takeBuffer()
		defer buffer.giveBack()
		var ok bool
		if buffer.b, ok = encodeText(buffer.b, c.charset, text); !ok {
			return appendBytes(dst, tagText, text)
		}
		return c.appendWeights(dst, buffer.b)
	}
	return c.appendWeights(dst, text)
}

// appendWeights writes the weights behind room for a length of the largest size, and then puts them in their place.
func (c *collation) appendWeights(dst, text []byte) []byte {
	start := len(dst)
	const room = 1 + binary.MaxVarintLen32
	dst = append(dst, tagWeights, 0, 0, 0, 0, 0)
	dst = c.weights.append(dst, text)
	size := len(dst) - start - room
	n := binary.PutUvarint(dst[start+1:], uint64(size))
	copy(dst[start+1+n:], dst[start+room:])
	return dst[:start+1+n+size]
}

// CollationError says that texts in a primary key cannot be compared, because Meridian does not know the collation.
type CollationError struct {
	Collation string
}

func (e *CollationError) Error() string {
	if e.Collation == "" {
		return "the collation of the column is not known: set binlog_row_metadata=FULL"
	}
	return fmt.Sprintf("collation %s is not supported in a primary key: give the column another one, such as %s, or exclude the table",
		e.Collation, substitute(e.Collation))
}

// substitute names a supported collation that comes near an unsupported one.
func substitute(name string) string {
	set, rest, _ := strings.Cut(name, "_")
	switch {
	case strings.HasPrefix(rest, "uca1400_"):
		return set + "_uca1400" + name[len(name)-len("_ai_ci"):]
	case strings.HasPrefix(set, "utf8") && strings.HasSuffix(rest, "_ci"):
		return set + "_general_ci"
	}
	return set + "_bin"
}

// KeyCollation tells whether text in a primary key may have the named collation, MySQL's or MariaDB's: nil, or a
// *CollationError that says what to do.
//
// A name means the same on every server. MySQL and MariaDB each have their own utf8mb4_croatian_ci, so it is not
// supported. MariaDB takes MySQL's 0900 names for its uca1400_nopad collations; they are taken for what they are on MySQL,
// from which these differ in characters that came after Unicode 9, and in that they tell a Hangul syllable from its letters.
func KeyCollation(name string) error {
	_, err := lookupCollation(name)
	return err
}

// known holds the collations that were looked up.
var known registry[collation]

func lookupCollation(name string) (*collation, error) {
	c := known.get(name, newCollation)
	if c == nil {
		return nil, &CollationError{Collation: name}
	}
	return c, nil
}

var environment = sync.OnceValue(func() *collations.Environment { return collations.NewEnvironment("8.0.30") })

// newCollation gives nil for a collation that is not supported.
func newCollation(name string) *collation {
	name = strings.ToLower(name)
	if name == "binary" {
		return &collation{name: name}
	}
	// MariaDB's NO PAD collations have the weights of the PAD SPACE ones without "_nopad" in their name.
	set, rest, _ := strings.Cut(name, "_")
	base, padded := rest, !strings.Contains(rest, "0900")
	if without := strings.TrimPrefix(strings.Replace(rest, "_nopad_", "_", 1), "nopad_"); without != rest {
		base, padded = without, false
	}
	c := &collation{name: name, padded: padded}
	switch set {
	case "utf8", "utf8mb3", "utf8mb4", "utf16", "utf16le", "utf32", "ucs2":
		// The weights of all Unicode character sets are those of utf8mb4, which needs no conversion.
		set = "utf8mb4"
	default:
		s := charsetByName(set)
		if s == nil {
			return nil
		}
		c.charset = s.set
	}
	switch {
	case base == "bin" || base == "0900_bin":
		c.charset = nil
		return c
	case strings.HasPrefix(rest, "uca1400_"):
		if w := newUCA1400(rest); w != nil {
			c.padded, c.weights = w.padded, w
			return c
		}
		return nil
	case base == "croatian_ci" && c.charset == nil:
		return nil
	case set == "gb18030" && base == "unicode_520_ci":
		set, c.charset = "utf8mb4", nil
	}
	if w := newMultibyteWeights(set, base, padded); w != nil {
		c.weights = w
		return c
	}
	if w := colldata.Lookup(environment().LookupByName(set + "_" + base)); w != nil {
		c.weights = newLibraryWeights(w, padded)
		return c
	}
	return nil
}

// libraryWeights gives the weights of a collation that vitess knows.
type libraryWeights struct {
	collation colldata.Collation
	space     []byte // the weights of a space that may stand at the end and not count; nil for NO PAD
	legacy    bool   // by version 4 of Unicode's algorithm, see append
}

func newLibraryWeights(c colldata.Collation, padded bool) *libraryWeights {
	w := &libraryWeights{collation: c}
	if padded {
		w.space = c.WeightString(nil, []byte{' '}, 0)
	}
	if len(c.WeightString(nil, lastOfPlane, 0)) == 0 {
		w.legacy = true
	}
	return w
}

// lastOfPlane is U+FFFF, the last character of the first plane, which the server gives the weights of any character without an
// entry. vitess gives it none in the oldest of Unicode's collations.
var (
	lastOfPlane        = []byte("\uffff")
	lastOfPlaneWeights = []byte{0xfb, 0xc1, 0xff, 0xff}
)

// append takes the weights of trailing spaces away again, not the spaces: other characters may weigh the same.
func (w *libraryWeights) append(dst, text []byte) []byte {
	start := len(dst)
	for w.legacy {
		at := bytes.Index(text, lastOfPlane)
		if at < 0 {
			break
		}
		dst = append(w.collation.WeightString(dst, text[:at], 0), lastOfPlaneWeights...)
		text = text[at+len(lastOfPlane):]
	}
	dst = w.collation.WeightString(dst, text, 0)
	for len(w.space) > 0 && len(dst) >= start+len(w.space) && bytes.HasSuffix(dst, w.space) {
		dst = dst[:len(dst)-len(w.space)]
	}
	return dst
}
