package syncer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/bus"
	"meridian/internal/testenv"
)

// hasReason waits until a reason begins with the words.
func (g *region) hasReason(words string) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%s says %q", g.name, words), func() error {
		reasons := g.syncer.Reasons()
		if !slices.ContainsFunc(reasons, func(r string) bool { return strings.HasPrefix(r, words) }) {
			return fmt.Errorf("its reasons are %q", reasons)
		}
		return nil
	})
}

// A region whose own Kafka does not acknowledge is not ready: nobody gets what is written there. It says so, and is ready
// again when that is over.
func TestPublish_ARegionIsNotReadyWhileItsOwnBusIsGone(t *testing.T) {
	r := newRegions(t, 2, testenv.KindMySQL)
	a := r.list[0]
	cfg := bus.EmbeddedConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", NoSync: true}
	home, err := bus.StartEmbedded(context.WithoutCancel(t.Context()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = home.ClientConfig().Brokers[0]
	a.cfg.Home, a.cfg.ReadyMaxLag = home.ClientConfig(), 2*time.Second
	r.exec(ordersDDL)
	r.start()
	if err = home.Close(); err != nil {
		t.Fatal(err)
	}
	a.exec("INSERT INTO orders VALUES (1, 'x', 1)")
	a.hasReason("publish: the bus does not acknowledge shard ")
	a.hasReason("capture: ") // behind, though the tailer is not
	if lag := a.syncer.Status().Capture.LagSeconds; lag < 2 {
		t.Errorf("the status says that capture is %v s behind", lag)
	}
	if home, err = bus.StartEmbedded(context.WithoutCancel(t.Context()), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	a.waitReady()
}
