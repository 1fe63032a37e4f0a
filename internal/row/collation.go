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
	padded  bool               // PAD SPACE: trailing spaces do not count
	weights colldata.Collation // nil for a _bin collation: a text's weights are its bytes
	space   []byte             // the weights of one space
	charset charset.Charset    // what the weights are computed from; nil for UTF-8
}

// appendKey appends the canonical bytes of a text as part of a key: a tag, a length, the weights.
func (c *collation) appendKey(dst []byte, v Value) []byte {
	if c.weights == nil {
		tag := byte(tagText)
		if v.Kind == RawText {
			tag = tagRawText
		}
		b := v.Bytes
		if c.padded {
			b = bytes.TrimRight(b, " ")
		}
		return appendBytes(dst, tag, b)
	}
	text := v.Bytes
	switch {
	case c.charset == nil && v.Kind == RawText:
		// No weights are defined for what is no text; the bytes are all there is.
		return appendBytes(dst, tagRawText, text)
	case c.charset != nil && v.Kind == Text:
		var room [256]byte
		encoded, ok := encodeText(room[:0], c.charset, text)
		if !ok {
			return appendBytes(dst, tagText, text)
		}
		return c.appendWeights(dst, encoded)
	}
	return c.appendWeights(dst, text)
}

// appendWeights writes the weights behind room for a length of the largest size, and then puts them in their place.
func (c *collation) appendWeights(dst, text []byte) []byte {
	start := len(dst)
	const room = 1 + binary.MaxVarintLen32
	dst = append(dst, tagWeights, 0, 0, 0, 0, 0)
	dst = c.weights.WeightString(dst, text, 0)
	if c.padded {
		for len(dst) >= start+room+len(c.space) && bytes.HasSuffix(dst, c.space) {
			dst = dst[:len(dst)-len(c.space)]
		}
	}
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
	return fmt.Sprintf("collation %s is not supported in a primary key: give the column another collation, such as %s, or exclude the table",
		e.Collation, substitute(e.Collation))
}

// substitute names a supported collation that comes near an unsupported one.
func substitute(name string) string {
	set, _, _ := strings.Cut(name, "_")
	if strings.Contains(name, "_ci") {
		if strings.HasPrefix(set, "utf8") {
			return set + "_general_ci or " + set + "_bin"
		}
	}
	return set + "_bin"
}

// KeyCollation tells whether text in a primary key may have the named collation, MySQL's or MariaDB's: nil, or a
// *CollationError that says what to do.
func KeyCollation(name string) error {
	_, err := lookupCollation(name)
	return err
}

// known holds every collation that was looked up, by name.
var known sync.Map

func lookupCollation(name string) (*collation, error) {
	name = strings.ToLower(name)
	if c, ok := known.Load(name); ok {
		return c.(*collation), nil
	}
	c, err := newCollation(name)
	if err != nil {
		return nil, err
	}
	actual, _ := known.LoadOrStore(name, c)
	return actual.(*collation), nil
}

var environment = sync.OnceValue(func() *collations.Environment { return collations.NewEnvironment("8.0.30") })

func newCollation(name string) (*collation, error) {
	if name == "binary" {
		return &collation{name: name}, nil
	}
	// MariaDB's NO PAD collations have the weights of the PAD SPACE ones without "_nopad" in their name.
	base, padded := name, true
	if before, after, ok := strings.Cut(name, "_nopad_"); ok {
		base, padded = before+"_"+after, false
	}
	set, rest, _ := strings.Cut(base, "_")
	if strings.Contains(rest, "0900") {
		padded = false
	}
	if strings.HasSuffix(base, "_bin") && charsetByName(set) != nil {
		return &collation{name: name, padded: padded}, nil
	}
	unicode := true
	switch set {
	case "utf8", "utf8mb3", "utf8mb4", "utf16", "utf16le", "utf32", "ucs2":
		// The weights of all Unicode character sets are those of utf8mb4, which needs no conversion.
		base = "utf8mb4_" + rest
	default:
		unicode = false
	}
	weights := colldata.Lookup(environment().LookupByName(base))
	if weights == nil {
		return nil, &CollationError{Collation: name}
	}
	c := &collation{name: name, padded: padded, weights: weights}
	if !unicode {
		c.charset = weights.Charset()
	}
	c.space = weights.WeightString(nil, []byte{' '}, 0)
	return c, nil
}
