package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
)

// serverStatus is what `ragbus status` prints.
type serverStatus struct {
	Health client.Health `json:"health"`
	Queues []queue       `json:"queues"`
	// InLine is what was accepted and waits on record for its tenant's turn in the queue.
	InLine []inLine `json:"in_line"`
	// DeadLetters counts what was given up, over all tenants, by stage.
	DeadLetters map[string]float64 `json:"dead_letters"`
}

// queue is one consumer's state, read from the server's metrics.
type queue struct {
	Consumer      string  `json:"consumer"`
	Waiting       float64 `json:"waiting"`
	InWork        float64 `json:"in_work"`
	Pulls         float64 `json:"pulls"`
	OldestSeconds float64 `json:"oldest_seconds"`
}

// inLine is how many documents of all tenants wait for one step.
type inLine struct {
	Step          string  `json:"step"`
	Documents     float64 `json:"documents"`
	OldestSeconds float64 `json:"oldest_seconds"`
}

// status asks for health, which is 503 when something is wrong, and metrics.
func status(ctx context.Context, c *client.Client) (serverStatus, error) {
	var s serverStatus
	err := c.Do(ctx, http.MethodGet, "/health", nil, nil, &s.Health)
	if unwell, ok := errors.AsType[*client.Unwell](err); ok {
		s.Health, err = unwell.Health, nil
	}
	if err != nil {
		return s, err
	}
	text, err := c.Text(ctx, "/metrics")
	if err != nil {
		return s, err
	}
	if s.Queues, err = queues(text); err != nil {
		return s, err
	}
	if s.InLine, err = lines(text); err != nil {
		return s, err
	}
	s.DeadLetters, err = deadCounts(text)
	return s, err
}

// lines reads the ragbus_ingest_line_* metrics of the steps that something waits for.
func lines(text string) ([]inLine, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	byStep := func(name string) map[string]float64 {
		values := map[string]float64{}
		for _, m := range families[name].GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "step" {
					values[label.GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
		return values
	}
	waiting, oldest := byStep("ragbus_ingest_line_waiting"), byStep("ragbus_ingest_line_oldest_seconds")
	out := []inLine{}
	for _, step := range slices.Sorted(maps.Keys(waiting)) {
		if n := waiting[step]; n > 0 {
			out = append(out, inLine{Step: step, Documents: n, OldestSeconds: oldest[step]})
		}
	}
	return out, nil
}

// deadCounts reads ragbus_dead_letters, summed by stage.
func deadCounts(text string) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	out := map[string]float64{}
	for _, m := range families["ragbus_dead_letters"].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() == "stage" {
				out[label.GetValue()] += m.GetGauge().GetValue()
			}
		}
	}
	return out, nil
}

// queues reads the ragbus_queue_* metrics.
func queues(text string) ([]queue, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	byName := map[string]*queue{}
	for name, pick := range map[string]func(*queue) *float64{
		"ragbus_queue_waiting":        func(q *queue) *float64 { return &q.Waiting },
		"ragbus_queue_in_work":        func(q *queue) *float64 { return &q.InWork },
		"ragbus_queue_pulls":          func(q *queue) *float64 { return &q.Pulls },
		"ragbus_queue_oldest_seconds": func(q *queue) *float64 { return &q.OldestSeconds },
	} {
		family, ok := families[name]
		if !ok {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() != "consumer" {
					continue
				}
				if byName[label.GetValue()] == nil {
					byName[label.GetValue()] = &queue{Consumer: label.GetValue()}
				}
				*pick(byName[label.GetValue()]) = m.GetGauge().GetValue()
			}
		}
	}
	out := make([]queue, 0, len(byName))
	for _, q := range byName {
		out = append(out, *q)
	}
	slices.SortFunc(out, func(a, b queue) int { return strings.Compare(a.Consumer, b.Consumer) })
	return out, nil
}
