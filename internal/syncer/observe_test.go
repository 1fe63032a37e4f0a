package syncer

import (
	"errors"
	"fmt"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"meridian/internal/mysqldb"
	"meridian/internal/propagate"
)

// What is tried for ever and does not pass by itself is told; what is set aside, or passes, is not.
func TestObserver_TellsWhatDoesNotPassByItself(t *testing.T) {
	denied := &mysql.MySQLError{Number: 1142, SQLState: [5]byte([]byte("42000")), Message: "UPDATE command denied"}
	value := &mysql.MySQLError{Number: 65000, SQLState: [5]byte([]byte("22000")), Message: "a value"} // its reason is that of a refused row
	for _, c := range []struct {
		what   string
		reason string // "": the error's own
		err    error
		told   bool
	}{
		{"a lost connection", "", mysql.ErrInvalidConn, false},
		{"a right that is missing", "", denied, true},
		{"what nobody knows", "", errors.New("unheard of"), true},
		{"a row that is set aside", "refused", &propagate.RefusedError{Cause: value}, false},
		{"a statement of Meridian's own that the server does not take", "", fmt.Errorf("writing the provenance: %w", mysql.ErrPktTooLarge), true},
		{"a write in between", "changed", errors.New("changed"), false},
	} {
		s := &Syncer{cfg: Config{Log: zap.NewNop(), Metrics: NewMetrics("a", prometheus.NewRegistry())}, health: newHealth(nil)}
		if c.reason == "" {
			c.reason = mysqldb.Reason(c.err)
		}
		(&observer{s: s}).Retried("b", 0, c.reason, c.err)
		if got := len(s.health.troubles) > 0; got != c.told {
			t.Errorf("%s: told is %t, want %t", c.what, got, c.told)
		}
	}
}
