package syncer

import (
	"context"
	"fmt"

	"meridian/internal/inspect"
	"meridian/internal/propagate"
	"meridian/internal/row"
)

// Reviewer tells which changes wait in this process's shards for a person's decision. It is safe for concurrent use.
func (s *Syncer) Reviewer() inspect.Reviewer { return inspector{s} }

// mostReviews bounds an answer.
const mostReviews = 100

// Reviews implements inspect.Reviewer.
func (i inspector) Reviews(ctx context.Context, after uint64) (*inspect.Reviews, error) {
	p, err := i.parts()
	if err != nil {
		return nil, err
	}
	pending, more, err := p.target.PendingReviews(ctx, i.s.cfg.ownedShards(), after, mostReviews)
	if err != nil {
		return nil, err
	}
	answer := &inspect.Reviews{Region: i.s.cfg.Region, Replica: i.s.cfg.Replica, Reviews: make([]inspect.Review, 0, len(pending))}
	for n := range pending {
		answer.Reviews = append(answer.Reviews, reviewOf(&pending[n]))
	}
	if more {
		answer.Next = pending[len(pending)-1].ID
	}
	return answer, nil
}

func reviewOf(p *propagate.PendingReview) inspect.Review {
	r := inspect.Review{
		KeyRef: inspect.KeyRef{Key: []byte(p.Key)}, ID: p.ID, Shard: p.Shard, Table: p.Table, Source: p.Source, Version: p.Version.String(), Since: p.Since, Detail: p.Detail,
	}
	remote, local, err := p.Changes()
	if err != nil {
		r.Detail += " (it cannot be read: " + err.Error() + ")"
	}
	r.Remote, r.Local = imageOf(remote), imageOf(local)
	if local != nil {
		r.LocalVersion = local.Version.String()
	}
	for _, c := range []*row.Change{local, remote} { // as the row is spelled here, if it is known
		if c != nil && c.Row() != nil {
			r.Text, r.Label = keyText(c.Table, c.KeyValues()), c.Table.KeyLabel(c.Row())
			return r
		}
	}
	r.Text = []string{fmt.Sprintf("0x%x", p.Key)}
	return r
}
