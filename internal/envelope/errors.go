package envelope

import "fmt"

// ForeignError says that a record is not one that Encode makes: another program's, of a newer format, or damaged in a way that leaves
// nothing to trust. It is set aside with its offset.
type ForeignError struct{ Reason string }

func (e *ForeignError) Error() string { return "not a record of Meridian: " + e.Reason }

func foreign(format string, args ...any) error {
	return &ForeignError{Reason: fmt.Sprintf(format, args...)}
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
