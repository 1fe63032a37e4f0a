package main

import (
	"net/http"
	"time"

	"meridian/internal/command"
	"meridian/internal/config"
	"meridian/internal/inspect"
	"meridian/internal/retry"
	"meridian/internal/verify"
)

// askTimeout is how long a region's process may take for one answer.
const askTimeout = 30 * time.Second

// pause is between two looks at what is unproven: about as often as the regions tell how far they are.
const pause = 250 * time.Millisecond

// regions are all regions' processes, as the verifier asks them.
type regions struct {
	cluster    verify.Cluster
	explainers verify.Explainers
	restorers  verify.Restorers
	reviewers  verify.Reviewers
	client     *http.Client
}

// reach prepares to ask all processes of all regions. Nothing is asked yet.
func reach(c *config.Config) (*regions, error) {
	client, token, err := command.Client(c, askTimeout)
	if err != nil {
		return nil, err
	}
	r := &regions{cluster: verify.Cluster{}, explainers: verify.Explainers{}, restorers: verify.Restorers{}, reviewers: verify.Reviewers{}, client: client}
	for _, p := range c.Processes(0) {
		name, process := p.Region.Name, inspect.NewClient(p.URL, client, token)
		r.cluster[name] = append(r.cluster[name], process)
		r.explainers[name] = append(r.explainers[name], process)
		r.restorers[name] = append(r.restorers[name], process)
		r.reviewers[name] = append(r.reviewers[name], process)
	}
	return r, nil
}

func (r *regions) close() { r.client.CloseIdleConnections() }

func (r *regions) verifier(c *config.Config) *verify.Verifier {
	return &verify.Verifier{Cluster: r.cluster, Window: c.Verify.ConsistencyWindow, Pause: pause, Clock: retry.System{}}
}
