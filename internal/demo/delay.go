package demo

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// delayMetric is the histogram of how long changes took from the commit in one region until they were visible in another.
const delayMetric = "meridian_replication_delay_seconds"

// delays is a histogram over all regions: how many changes took at most so many seconds, by that bound.
type delays map[float64]uint64

// askDelays asks every region's /metrics.
func (w *watch) askDelays(ctx context.Context) (delays, error) {
	sum := delays{}
	for _, r := range w.regions {
		if err := w.addDelays(ctx, r, sum); err != nil {
			return nil, fmt.Errorf("the metrics of %s: %w", r.name, err)
		}
	}
	return sum, nil
}

func (w *watch) addDelays(ctx context.Context, r *region, sum delays) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin.Address()+"/metrics", nil)
	if err != nil {
		return err
	}
	response, err := w.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return err
	}
	for _, metric := range families[delayMetric].GetMetric() {
		for _, bucket := range buckets(metric) {
			sum[bucket.GetUpperBound()] += bucket.GetCumulativeCount()
		}
	}
	return nil
}

func buckets(m *dto.Metric) []*dto.Bucket { return m.GetHistogram().GetBucket() }

// quantile estimates how long the given share of the changes took at most, as Prometheus does: within a bucket the changes
// are taken to be spread evenly. False if there were none, or if they took longer than the greatest bound.
func (d delays) quantile(share float64) (time.Duration, bool) {
	bounds := make([]float64, 0, len(d))
	for bound := range d {
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	if len(bounds) < 2 || d[bounds[len(bounds)-1]] == 0 {
		return 0, false
	}
	rank := share * float64(d[bounds[len(bounds)-1]])
	lower, before := 0.0, 0.0
	for _, bound := range bounds[:len(bounds)-1] { // the last one is infinite
		count := float64(d[bound])
		if count >= rank {
			seconds := lower + (bound-lower)*(rank-before)/max(count-before, 1)
			return time.Duration(seconds * float64(time.Second)), true
		}
		lower, before = bound, count
	}
	return 0, false
}
