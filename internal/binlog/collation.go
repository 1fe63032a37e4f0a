package binlog

import (
	"fmt"
	"strings"
)

// collation is what a collation's number in a table map stands for on the server that wrote it.
type collation struct{ name, charset string }

// collations gives the server's collations by number. They are asked for at each connection: the numbers of MySQL and
// MariaDB differ, and a server may define its own.
type collations map[uint64]collation

const binaryCollation = 63 // of columns that hold bytes, on all servers

func (s *stream) readCollations() (collations, error) {
	query := "SELECT ID, COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL"
	if s.isMaria { // the collations of all character sets (uca1400) have a number per character set only here
		query = "SELECT ID, FULL_COLLATION_NAME, CHARACTER_SET_NAME " +
			"FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IS NOT NULL"
	}
	r, err := s.execute(query)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all := make(collations, r.RowNumber())
	for i := range r.RowNumber() {
		id, err := r.GetUint(i, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: reading the collations: %w", s.config.Address, err)
		}
		name, err := r.GetString(i, 1)
		if err != nil {
			return nil, fmt.Errorf("%s: reading the collations: %w", s.config.Address, err)
		}
		charset, err := r.GetString(i, 2)
		if err != nil {
			return nil, fmt.Errorf("%s: reading the collations: %w", s.config.Address, err)
		}
		all[id] = collation{name: strings.Clone(name), charset: strings.Clone(charset)}
	}
	return all, nil
}
