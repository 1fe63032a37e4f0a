package syncer

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"meridian/internal/checksum"
	"meridian/internal/retry"
)

// A process that starts over by itself does not acknowledge what it has found since somebody asked for it.
func TestAcknowledge_IsOfWhatWasThereWhenTheProcessBegan(t *testing.T) {
	l, err := checksum.Open(checksum.Options{Path: filepath.Join(t.TempDir(), "ledger.db"), Region: "a", Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := New(Config{Clock: retry.System{}, Log: zap.NewNop(), Metrics: NewMetrics("a", prometheus.NewRegistry()), AcknowledgeWarnings: true})
	for _, c := range []struct {
		text string
		left []string
	}{{"known", nil}, {"found since", []string{"found since"}}} {
		if err := l.Warn(c.text); err != nil {
			t.Fatal(err)
		}
		if err := s.acknowledge(l); err != nil {
			t.Fatal(err)
		}
		if got := l.Warnings(); !slices.Equal(got, c.left) {
			t.Errorf("left are %q, want %q", got, c.left)
		}
	}
}

func TestExpiry_OfEveryKindOfServer(t *testing.T) {
	for _, c := range []struct {
		server        string
		days, seconds float64
		want          time.Duration
	}{
		{"MySQL", 0, 3600, time.Hour},
		{"MySQL 8.0 with the old setting", 2, 0, 48 * time.Hour},
		{"MariaDB before 10.6", 10, -1, 240 * time.Hour},
		{"MariaDB", 0.5, 43200, 12 * time.Hour},
		{"for ever", 0, 0, 0},
	} {
		settings := map[string]float64{"expire_logs_days": c.days}
		if c.seconds >= 0 {
			settings["binlog_expire_logs_seconds"] = c.seconds
		}
		if got := expiry(settings); got != c.want {
			t.Errorf("%s: %v, want %v", c.server, got, c.want)
		}
	}
}
