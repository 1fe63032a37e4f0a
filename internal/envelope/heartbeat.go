package envelope

import (
	"bytes"
	"encoding/json"
	"fmt"

	"meridian/internal/bus"
)

// Heartbeat is a record of the topic <prefix>.heartbeats: a region is alive, and what it sees of the others' clocks.
type Heartbeat struct {
	Region  string `json:"region"`
	Replica int    `json:"replica"`
	Time    int64  `json:"time_us"` // by the region's clock when it was sent, microseconds since 1970
	// Observed holds, by region, the least of (time of receipt by our clock − time of sending by theirs) of late, in microseconds: the clock's
	// difference plus the shortest way. Two regions' observations of each other tell both apart.
	Observed map[string]int64 `json:"observed_us,omitempty"`
	// Extra is for whoever needs to say more; readers pass over what they do not know.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
}

var heartbeatKind = []byte("heartbeat")

// EncodeHeartbeat makes a record of a heartbeat.
func EncodeHeartbeat(h *Heartbeat) (bus.Record, error) {
	key, err := json.Marshal(map[string]any{"region": h.Region, "replica": h.Replica})
	if err != nil {
		return bus.Record{}, fmt.Errorf("envelope: a heartbeat: %w", err)
	}
	value, err := json.Marshal(h)
	if err != nil {
		return bus.Record{}, fmt.Errorf("envelope: a heartbeat: %w", err)
	}
	return bus.Record{Key: key, Value: value, Headers: []bus.Header{
		{Key: headerOrigin, Value: []byte(h.Region)},
		{Key: headerKind, Value: heartbeatKind},
	}}, nil
}

// DecodeHeartbeat reads what EncodeHeartbeat made; a *ForeignError for anything else.
func DecodeHeartbeat(r *bus.Record) (*Heartbeat, error) {
	if kind, _ := r.Header(headerKind); !bytes.Equal(kind, heartbeatKind) {
		return nil, foreign("its kind is %q, not heartbeat", kind)
	}
	h := new(Heartbeat)
	if err := json.Unmarshal(r.Value, h); err != nil {
		return nil, foreign("the heartbeat: %v", err)
	}
	if h.Region == "" {
		return nil, foreign("the heartbeat names no region")
	}
	return h, nil
}
