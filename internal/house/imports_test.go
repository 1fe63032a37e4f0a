package house

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "meridian/"

// room is what a package of the product may import of ours. "anything" is for the commands that wire the rooms together.
type room []string

const anything = "*"

// plan is the house: every package with what it may import, from the bottom up. A package that is not here has no place
// yet: give it one, and say in DESIGN.md what it is for.
var plan = map[string]room{
	// Values and policies: no I/O.
	"internal/row":      {},
	"internal/conflict": {"internal/row"},
	"internal/retry":    {},

	// The outside: a server, a bus, what stands on the bus.
	"internal/mysqldb":  {"internal/row"},
	"internal/bus":      {},
	"internal/envelope": {"internal/row", "internal/bus"},

	// How a region is looked at from outside: questions and answers.
	"internal/inspect": {"internal/row"},

	// The three parts of the flow. They do not know each other.
	"internal/binlog":    {"internal/row", "internal/mysqldb", "internal/retry"},
	"internal/checksum":  {"internal/row", "internal/mysqldb", "internal/retry"},
	"internal/propagate": {"internal/row", "internal/mysqldb", "internal/retry", "internal/conflict", "internal/bus", "internal/envelope"},

	// One region's process: joins the parts.
	"internal/syncer": {"internal/row", "internal/mysqldb", "internal/retry", "internal/conflict", "internal/bus", "internal/envelope",
		"internal/binlog", "internal/checksum", "internal/propagate", "internal/inspect"},

	// What all regions hold, compared from outside.
	"internal/verify": {"internal/row", "internal/retry", "internal/inspect"},

	// What a command needs besides.
	"internal/config":    {},
	"internal/findings":  {},
	"internal/admin":     {},
	"internal/console":   {},
	"internal/preflight": {"internal/row", "internal/mysqldb", "internal/bus"},
	"internal/servers":   {},
	"internal/demo":      {"internal/console", "internal/servers"},

	// The commands, and what they have in common.
	"internal/command":         {"internal/config", "internal/console"},
	"cmd/syncer":               {anything},
	"cmd/verifier":             {anything},
	"internal/servers/install": {"internal/servers"},
	"internal/bench":           {anything},

	// For tests.
	"internal/testenv": {"internal/servers"},
	"internal/storm":   {},
	"internal/house":   {},
}

// notInTheProduct are the packages that only tests and measurements import.
var notInTheProduct = []string{"internal/testenv", "internal/storm", "internal/bench", "internal/house"}

// strangers do not import each other, not even in tests: each declares the interfaces that it needs of the others.
var strangers = []string{"internal/binlog", "internal/checksum", "internal/propagate"}

// keepers are the only packages of the product that may import a library, so that what it does stays behind their doors.
var keepers = map[string][]string{
	"github.com/go-mysql-org/go-mysql":    {"internal/binlog"},
	"go.etcd.io/bbolt":                    {"internal/checksum", "internal/findings"},
	"github.com/segmentio/kafka-go":       {"internal/bus"},
	"github.com/twmb/franz-go/pkg/kfake":  {"internal/bus"},
	"vitess.io/vitess":                    {"internal/row"},
	"go.yaml.in/yaml":                     {"internal/config"},
	"github.com/alecthomas/kong":          {"internal/command"},
	"golang.org/x/term":                   {"internal/console"},
	"github.com/go-sql-driver/mysql":      {"internal/mysqldb", "internal/preflight", "internal/demo", "internal/testenv", "internal/bench"},
	"github.com/prometheus/client_golang": {"internal/command", "internal/admin", "internal/syncer", "internal/bench", "cmd/syncer", "cmd/verifier"},
}

// imports are a package's, of its product files and of its tests.
type imports struct{ product, tests []string }

// violations tells what the house forbids in a program of such packages, by folder.
func violations(program map[string]imports) []string {
	var found []string
	complain := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for from, is := range program {
		allowed, known := plan[from]
		if !known {
			complain("%s has no place in the plan of the house (internal/house/imports_test.go)", from)
		}
		for _, to := range is.product {
			ours, ok := strings.CutPrefix(to, module)
			switch {
			case !ok:
				if keeper := keepersOf(to); keeper != nil && !slices.Contains(keeper, from) {
					complain("%s imports %s, which only %s may", from, to, strings.Join(keeper, ", "))
				}
			case slices.Contains(notInTheProduct, ours):
				complain("%s imports %s, which is for tests", from, ours)
			case known && !slices.Contains(allowed, ours) && !slices.Contains(allowed, anything):
				complain("%s imports %s, which it may not", from, ours)
			}
		}
		for _, to := range is.tests {
			ours := strings.TrimPrefix(to, module)
			if slices.Contains(strangers, from) && slices.Contains(strangers, ours) && from != ours {
				complain("the tests of %s import %s: they do not know each other", from, ours)
			}
			if ours == "internal/config" && from != ours && from != "internal/command" && !strings.HasPrefix(from, "cmd/") {
				complain("the tests of %s import internal/config, which only cmd and internal/command may", from)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func keepersOf(library string) []string {
	for prefix, keeper := range keepers {
		if library == prefix || strings.HasPrefix(library, prefix+"/") {
			return keeper
		}
	}
	return nil
}

// read gives the imports of every package in the checkout that belongs to the module.
func read(t *testing.T) map[string]imports {
	t.Helper()
	const root = "../.."
	program := map[string]imports{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && file != root && (name == "testdata" || name == "third_party" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		if entry.IsDir() || filepath.Ext(file) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		folder = filepath.ToSlash(folder)
		is := program[folder]
		for _, spec := range parsed.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if strings.HasSuffix(file, "_test.go") {
				is.tests = append(is.tests, to)
			} else {
				is.product = append(is.product, to)
			}
		}
		program[folder] = is
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func TestImports_FollowThePlanOfTheHouse(t *testing.T) {
	program := read(t)
	if len(program) < 10 || len(program["internal/syncer"].product) == 0 {
		t.Fatalf("only %d packages were read", len(program))
	}
	for _, v := range violations(program) {
		t.Error(v)
	}
}

func TestViolations_FindsEachKind(t *testing.T) {
	for _, c := range []struct {
		from, to string
		inTest   bool
		want     string // "" if it is allowed
	}{
		{"internal/binlog", "meridian/internal/checksum", false, "internal/binlog imports internal/checksum, which it may not"},
		{"internal/propagate", "meridian/internal/binlog", false, "internal/propagate imports internal/binlog, which it may not"},
		{"internal/checksum", "meridian/internal/propagate", true, "the tests of internal/checksum import internal/propagate: they do not know each other"},
		{"internal/row", "meridian/internal/retry", false, "internal/row imports internal/retry, which it may not"},
		{"internal/syncer", "meridian/internal/config", false, "internal/syncer imports internal/config, which it may not"},
		{"internal/syncer", "meridian/internal/config", true, "the tests of internal/syncer import internal/config, which only cmd and internal/command may"},
		{"internal/demo", "meridian/internal/testenv", false, "internal/demo imports internal/testenv, which is for tests"},
		{"cmd/syncer", "meridian/internal/storm", false, "cmd/syncer imports internal/storm, which is for tests"},
		{"internal/propagate", "github.com/segmentio/kafka-go", false, "internal/propagate imports github.com/segmentio/kafka-go, which only internal/bus may"},
		{"internal/checksum", "github.com/go-mysql-org/go-mysql/replication", false, "internal/checksum imports github.com/go-mysql-org/go-mysql/replication, which only internal/binlog may"},
		{"internal/cellar", "fmt", false, "internal/cellar has no place in the plan of the house (internal/house/imports_test.go)"},
		{"cmd/syncer", "meridian/internal/config", false, ""},
		{"cmd/syncer", "meridian/internal/testenv", true, ""},
		{"internal/syncer", "meridian/internal/binlog", false, ""},
		{"internal/bus", "github.com/segmentio/kafka-go", false, ""},
		{"internal/row", "meridian/internal/testenv", true, ""},
	} {
		is := imports{product: []string{c.to}}
		if c.inTest {
			is = imports{tests: []string{c.to}}
		}
		got := strings.Join(violations(map[string]imports{c.from: is}), "\n")
		if got != c.want {
			t.Errorf("%s importing %s: %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

// What the plan allows has an order: nobody reaches itself through others.
func TestPlan_HasNoCircles(t *testing.T) {
	var visit func(p string, through []string)
	visit = func(p string, through []string) {
		if slices.Contains(through, p) {
			t.Fatalf("a circle: %s", strings.Join(append(through, p), " → "))
		}
		for _, to := range plan[p] {
			if to == anything {
				continue
			}
			if _, ok := plan[to]; !ok || path.Clean(to) != to {
				t.Errorf("%s may import %s, which is not in the plan", p, to)
			}
			visit(to, append(through, p))
		}
	}
	for p := range plan {
		visit(p, nil)
	}
}
