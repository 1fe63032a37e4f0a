package main

import (
	"context"
	"encoding/json"
)

// addDrift takes the numbers of rows that differ from the verifier, if one runs: the syncers know their own rows only. Where none
// answers the numbers stay as the syncers say, which is 0.
func (a *statusAsker) addDrift(ctx context.Context, all *allStatus) {
	documents, err := a.askOne(ctx, a.verifier)
	if err != nil {
		return // none runs, or it is not reached from here: PRODUCT has it as it can be had
	}
	type differs struct {
		Region   string `json:"region"`
		Drift    uint64 `json:"drift"`
		Unproven uint64 `json:"unproven"`
	}
	by := map[string]differs{}
	for _, document := range documents {
		var d differs
		if json.Unmarshal(document, &d) == nil {
			by[d.Region] = d
		}
	}
	for i := range all.views {
		v := &all.views[i]
		d, known := by[v.Region]
		if !known || v.Replica > 0 || v.unreachable { // once for a region
			continue
		}
		v.Drift, v.Unproven = d.Drift, d.Unproven
		var document map[string]json.RawMessage
		if json.Unmarshal(all.Regions[i], &document) != nil {
			continue
		}
		document["drift"], _ = json.Marshal(d.Drift)       // a number
		document["unproven"], _ = json.Marshal(d.Unproven) // as above
		if patched, err := json.Marshal(document); err == nil {
			all.Regions[i] = patched
		}
	}
}
