package preflight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkCascades: InnoDB changes the rows that refer to a changed one beneath the binlog (MariaDB, MySQL before 9.6), so that
// the other regions never hear of it. MySQL from 9.6 on does it as SQL and logs it, unless told to do as before.
func checkCascades(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	hidden := !f.is("innodb_native_foreign_keys", "OFF")
	var unseen, orphans, fixes []string
	logged := 0
	for _, k := range f.foreignKeys {
		rule := k.effect()
		child, parent := i.config.Tables.Match(k.child.schema, k.child.name), i.config.Tables.Match(k.parent.schema, k.parent.name)
		switch {
		case rule == "" || !child && !parent:
		case child && hidden:
			unseen = append(unseen, fmt.Sprintf("%s of %s (%s from %s)", k.name, k.child, rule, k.parent))
			fixes = append(fixes, fmt.Sprintf("ALTER TABLE %s DROP FOREIGN KEY %s; -- and add it again with ON DELETE RESTRICT ON UPDATE RESTRICT; let the application write the rows itself",
				quoteTable(k.child.schema, k.child.name), quote(k.name)))
		case child:
			logged++
		default:
			orphans = append(orphans, fmt.Sprintf("%s of %s (%s from %s)", k.name, k.child, rule, k.parent))
		}
	}
	const name = "foreign_keys"
	switch {
	case len(unseen) > 0:
		if f.has("innodb_native_foreign_keys") {
			fixes = append(fixes, "-- or let the server log what cascades do: "+f.setting("innodb_native_foreign_keys", "OFF", false))
		}
		return []Check{fail(name, "what these cascades change is not in the binlog, so the other regions keep the old rows: "+list(unseen), statements(fixes))}
	case len(orphans) > 0:
		return []Check{warn(name, "these change rows of tables that are not replicated; changes from other regions are applied without them: "+list(orphans),
			"replicate these tables as well, or make the foreign keys RESTRICT")}
	case logged > 0:
		return []Check{pass(name, fmt.Sprintf("the binlog of this server shows what its %d cascades change", logged))}
	default:
		return []Check{pass(name, "no foreign key changes replicated rows")}
	}
}

// effect names what a foreign key does to the rows that refer; "" if it changes none.
func (k *foreignKey) effect() string {
	var effects []string
	for _, rule := range []struct{ on, does string }{{"ON DELETE ", k.onDelete}, {"ON UPDATE ", k.onUpdate}} {
		if rule.does == "CASCADE" || strings.HasPrefix(rule.does, "SET ") {
			effects = append(effects, rule.on+rule.does)
		}
	}
	return strings.Join(effects, ", ")
}

// checkTriggers: a trigger has run where the row was written, and what it wrote is in that binlog. It runs again wherever the
// row is applied: values that it computes differ, rows that it adds come twice. One that asks who is at work may well be made
// for this; whether it is right only its author can say.
func checkTriggers(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	const name = "triggers"
	account, _, _ := strings.Cut(f.account, "@")
	var twice, guarded, fixes []string
	for _, t := range f.triggers {
		if !i.config.Tables.Match(t.table.schema, t.table.name) {
			continue
		}
		text := fmt.Sprintf("%s (%s on %s)", t.name, t.timing, t.table)
		if asksWho(t.body) {
			guarded = append(guarded, text)
			continue
		}
		twice = append(twice, text)
		fixes = append(fixes, fmt.Sprintf("in %s: IF SUBSTRING_INDEX(USER(), '@', 1) <> '%s' THEN ... END IF; -- or DROP TRIGGER %s;",
			t.name, account, quoteTable(t.table.schema, t.name)))
	}
	blind := f.blind(seeTriggers)
	switch {
	case len(twice) > 0:
		return []Check{fail(name, "they run where a row is written and again where it is applied: "+list(twice), statements(fixes))}
	case len(blind) > 0:
		return []Check{warn(name, "triggers of "+list(blind)+" do not show themselves to "+QuoteAccount(f.account), f.grantToSee(seeTriggers, blind))}
	case len(guarded) > 0:
		return []Check{warn(name, "they ask for USER(), presumably to do nothing when Meridian writes; see that they do: "+list(guarded), "")}
	default:
		return []Check{pass(name, "no replicated table has one")}
	}
}

// asksWho tells whether a trigger looks at the session's user. (CURRENT_USER is the trigger's definer.)
func asksWho(body string) bool {
	body = strings.ToUpper(body)
	body = strings.NewReplacer("CURRENT_USER", "", " (", "(").Replace(body)
	return strings.Contains(body, "USER()")
}

// checkEvents: the same event in every region does its work as many times.
func checkEvents(i *inspection) []Check {
	f := i.here
	if !i.known() {
		return nil
	}
	const name = "events"
	if !f.on("event_scheduler") {
		return []Check{pass(name, "event_scheduler is "+f.variables["event_scheduler"])}
	}
	var active, fixes []string
	for _, e := range f.events {
		if e.status == "ENABLED" && slices.ContainsFunc(f.tables, func(t *table) bool { return t.schema == e.schema }) {
			active = append(active, e.schema+"."+e.name)
			fixes = append(fixes, fmt.Sprintf("ALTER EVENT %s DISABLE;", quoteTable(e.schema, e.name)))
		}
	}
	blind := f.blind(seeEvents)
	switch {
	case len(active) > 0:
		return []Check{warn(name, "what they write is replicated; if they are active in several regions, each does the work again: "+list(active),
			"in all regions but one:\n"+statements(fixes))}
	case len(blind) > 0:
		return []Check{warn(name, "events of "+list(blind)+" do not show themselves to "+QuoteAccount(f.account), f.grantToSee(seeEvents, blind))}
	default:
		return []Check{pass(name, "none is active in a replicated schema")}
	}
}

// blind lists the replicated schemas in which we lack the privilege to see something.
func (f *facts) blind(privilege string) []string {
	var schemas []string
	for _, t := range f.tables {
		if !f.grants.allows(privilege, t.schema, t.name) && !slices.Contains(schemas, t.schema) {
			schemas = append(schemas, t.schema)
		}
	}
	return schemas
}

func (f *facts) grantToSee(privilege string, schemas []string) string {
	var fixes []string
	for _, s := range schemas {
		fixes = append(fixes, fmt.Sprintf("GRANT %s ON %s.* TO %s;", privilege, quote(escapeSchema(s)), QuoteAccount(f.account)))
	}
	return statements(fixes)
}

// checkAutoIncrement: two regions that hand out the same id make two rows one, and one of them is lost.
func checkAutoIncrement(i *inspection) []Check {
	f := i.here
	if !i.known() || len(i.others) == 0 {
		return nil
	}
	const name = "auto_increment"
	var tables []string
	for _, t := range f.tables {
		if t.handsOutKeys() {
			tables = append(tables, t.String())
		}
	}
	if len(tables) == 0 {
		return []Check{pass(name, "no replicated table hands out keys")}
	}
	mine := f.sequence()
	var collide, unknown []string
	if mine.ignored {
		collide = append(collide, fmt.Sprintf("auto_increment_offset %d is larger than auto_increment_increment %d, so the server ignores it", mine.offset, mine.increment))
	}
	for _, o := range i.others {
		if o.err != nil {
			unknown = append(unknown, o.region)
			continue
		}
		if theirs := o.sequence(); mine.meets(theirs) {
			collide = append(collide, fmt.Sprintf("%s here and %s in region %s meet", mine, theirs, o.region))
		}
	}
	switch {
	case len(collide) > 0:
		return []Check{fail(name, list(collide)+": two rows of "+list(tables)+" would get the same key, and one of the two be lost", i.sequenceFix())}
	case len(unknown) > 0:
		return []Check{warn(name, fmt.Sprintf("%s here; region %s could not be asked whether it hands out the same keys", mine, strings.Join(unknown, ", ")),
			"run `syncer check` where these databases can be reached")}
	default:
		return []Check{pass(name, fmt.Sprintf("%s here: no other region hands out the same keys", mine))}
	}
}

// handsOutKeys tells whether rows get a unique value from AUTO_INCREMENT.
func (t *table) handsOutKeys() bool {
	for n := range t.columns {
		c := &t.columns[n]
		if !strings.Contains(strings.ToLower(c.Extra), "auto_increment") {
			continue
		}
		if slices.ContainsFunc(t.keyColumns(), func(k string) bool { return strings.EqualFold(k, c.Name) }) {
			return true
		}
		for _, u := range t.unique {
			if slices.ContainsFunc(u.columns, func(k string) bool { return strings.EqualFold(k, c.Name) }) {
				return true
			}
		}
	}
	return false
}

// sequence is what a server hands out: offset, offset + increment, …
type sequence struct {
	increment, offset int64
	ignored           bool // the offset counts for nothing
}

func (f *facts) sequence() sequence {
	s := sequence{increment: 1, offset: 1}
	if n, ok := f.number("auto_increment_increment"); ok {
		s.increment = max(n, 1)
	}
	if n, ok := f.number("auto_increment_offset"); ok {
		s.offset = n
	}
	// https://dev.mysql.com/doc/refman/8.4/en/replication-options-source.html#sysvar_auto_increment_offset
	s.ignored = s.offset > s.increment
	return s
}

func (s sequence) String() string {
	return fmt.Sprintf("every %d. key from %d on", s.increment, s.offset)
}

// meets tells whether two sequences have a number in common: their distance is a multiple of what both steps are multiples of.
func (s sequence) meets(o sequence) bool {
	a, b := s.increment, o.increment
	for b != 0 {
		a, b = b, a%b
	}
	return (s.offset-o.offset)%a == 0
}

// sequenceFix gives each region a place of its own, with room for regions to come.
func (i *inspection) sequenceFix() string {
	regions := len(i.others) + 1
	const room = 10
	increment := max(room, regions)
	names := []string{i.config.Region.Name}
	for _, o := range i.others {
		names = append(names, o.region)
	}
	slices.Sort(names) // so that every region is told the same
	var fixes []string
	for n, region := range names {
		f := i.here
		for _, o := range i.others {
			if o.region == region && o.err == nil {
				f = o
			}
		}
		fixes = append(fixes, fmt.Sprintf("-- in region %s:", region), f.setting("auto_increment_increment", strconv.Itoa(increment), true),
			f.setting("auto_increment_offset", strconv.Itoa(n+1), true))
	}
	return strings.Join(append(fixes, forSessions), "\n")
}
