package preflight

import "strings"

// stateFacts is one of Meridian's own tables as the server has it.
type stateFacts struct {
	order   []string // of the columns
	columns map[string]stateColumnFacts
	keys    map[string][]string // the columns of each by its name, as stateKey has them
}

type stateColumnFacts struct {
	columnType string // in lower case
	nullable   bool
	collation  string // "" for what is no text

	hasDefault, autoIncrement, generated bool
}

// askState asks for the columns and keys of Meridian's own tables.
func (f *facts) askState(q *asker) error {
	f.state = map[string]*stateFacts{}
	// The columns of information_schema are asked for by their names in capitals: MySQL 8 names them so in its answer.
	err := q.each("Meridian's own tables", "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLLATION_NAME, COLUMN_DEFAULT IS NOT NULL, EXTRA "+
		"FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION", []any{stateSchema}, func(r []string) error {
		t := f.state[r[0]]
		if t == nil {
			t = &stateFacts{columns: map[string]stateColumnFacts{}, keys: map[string][]string{}}
			f.state[r[0]] = t
		}
		extra := strings.ToLower(r[6])
		t.order = append(t.order, r[1])
		t.columns[r[1]] = stateColumnFacts{columnType: strings.ToLower(r[2]), nullable: r[3] == "YES", collation: r[4], hasDefault: r[5] == "1",
			autoIncrement: strings.Contains(extra, "auto_increment"), generated: strings.Contains(extra, " generated")}
		return nil
	})
	if err != nil {
		return err
	}
	return q.each("the keys of Meridian's own tables", "SELECT TABLE_NAME, INDEX_NAME, CONCAT(COLUMN_NAME, IF(SUB_PART IS NULL, '', CONCAT('(', SUB_PART, ')'))) FROM information_schema.STATISTICS "+
		"WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX", []any{stateSchema}, func(r []string) error {
		if t := f.state[r[0]]; t != nil {
			t.keys[r[1]] = append(t.keys[r[1]], r[2])
		}
		return nil
	})
}
