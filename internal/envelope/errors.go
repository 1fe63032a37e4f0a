package envelope

import "fmt"

// ForeignError says that a record is not one that Encode makes: another program's, or damaged in a way that leaves nothing to
// trust. It is set aside with its offset.
type ForeignError struct{ Reason string }

func (e *ForeignError) Error() string { return "not a record of Meridian: " + e.Reason }

func foreign(format string, args ...any) error {
	return &ForeignError{Reason: fmt.Sprintf(format, args...)}
}

// NewerFormatError says that a record is of a format that this version of Meridian does not know yet: a region that was upgraded
// earlier has published it. It is a change like any other, and must wait for this version's upgrade.
type NewerFormatError struct {
	Origin string // the region that published it
	Format int
}

func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("a record of %q is of format %d, this version of Meridian reads up to %d: upgrade this region", e.Origin, e.Format, metaFormat)
}

// CorruptError says that a record reads well, but that its row is not the one that was published: the digests differ.
type CorruptError struct {
	Table      string
	Key        string // the record's key, as JSON
	Want, Have uint64 // the digest that was published, and that of the row in the record
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the record of %s has a row with digest %016x, %016x was published: it was altered on its way", e.Key, e.Have, e.Want)
}
