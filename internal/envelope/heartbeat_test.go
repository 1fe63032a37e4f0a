package envelope

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meridian/internal/bus"
)

func TestHeartbeat_ComesBack(t *testing.T) {
	h := &Heartbeat{Region: "us-east-1", Replica: 1, Time: 1709210096789012, Observed: map[string]int64{"eu-west-1": -1200},
		Extra: map[string]json.RawMessage{"load": json.RawMessage(`0.5`)}}
	r, err := EncodeHeartbeat(h)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"region":"us-east-1","replica":1,"time_us":1709210096789012,"observed_us":{"eu-west-1":-1200},"extra":{"load":0.5}}`; string(r.Value) != want {
		t.Errorf("the value is %s, want %s", r.Value, want)
	}
	back, err := DecodeHeartbeat(&r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, back); diff != "" {
		t.Error(diff)
	}
}

func TestHeartbeat_OthersAreForeign(t *testing.T) {
	kind := []bus.Header{{Key: headerKind, Value: heartbeatKind}}
	for name, r := range map[string]*bus.Record{
		"no header": {Value: []byte(`{"region":"a"}`)},
		"a change":  encoded(t, orderMessage(t)),
		"no JSON":   {Value: []byte("x"), Headers: kind},
		"no region": {Value: []byte("{}"), Headers: kind},
	} {
		_, err := DecodeHeartbeat(r)
		var f *ForeignError
		if !errors.As(err, &f) {
			t.Errorf("%s: error %v, want a ForeignError", name, err)
		}
	}
}
