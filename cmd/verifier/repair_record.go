package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"meridian/internal/admin"
	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/findings"
	"meridian/internal/verify"
)

// What a person repairs stands in the report beside what the service repairs by itself: the command hands it to the service that
// runs, or, where none does, writes it into the file itself.

// record keeps what a command has repaired. That it could not is told, and is no failure of the repair.
func record(ctx context.Context, p *command.Process, c *config.Config, done []verify.RepairedRow) {
	now := time.Now().UTC()
	var list []findings.Repair
	for i := range done {
		list = append(list, repairsOf(&done[i], now)...)
	}
	if len(list) == 0 {
		return
	}
	store, err := openFindings(c, p.Logger)
	switch {
	case errors.Is(err, findings.ErrLocked):
		err = handOver(ctx, c, list)
	case err == nil:
		err = errors.Join(store.AddRepairs(list...), store.Close())
	}
	if err != nil {
		p.Logger.Warn("this repair will not be in `verifier report`", zap.Error(err))
	}
}

func handOver(ctx context.Context, c *config.Config, list []findings.Repair) error {
	client, token, err := command.Client(c, askTimeout)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	body, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("telling the verifier: %w", err)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, c.VerifierURL()+"/v1/repairs", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("verifier.listen: %w", err)
	}
	q.Header.Set("Content-Type", "application/json")
	if token != nil {
		secret, unread := token()
		if unread != nil {
			return unread
		}
		q.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := client.Do(q)
	if err != nil {
		return &noVerifierError{err}
	}
	defer func() { _ = response.Body.Close() }() // it has nothing to say
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s answers %s", c.VerifierURL(), response.Status) //nolint:err113 // it is only told
	}
	return nil
}

// takeRepairs serves POST /v1/repairs.
func (s *service) takeRepairs(w http.ResponseWriter, r *http.Request) {
	var list []findings.Repair
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		admin.WriteProblem(w, http.StatusBadRequest, "the repairs cannot be read: "+err.Error())
		return
	}
	if err := s.keepRepairs(list); err != nil {
		s.log.Error("what was repaired could not be kept for the report", zap.Error(err))
		admin.WriteProblem(w, http.StatusInternalServerError, err.Error())
		return
	}
	for i := range list {
		s.metrics.repairs.WithLabelValues(list[i].Table, list[i].Outcome).Inc()
	}
	w.WriteHeader(http.StatusNoContent)
}
